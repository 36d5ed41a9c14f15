"""The host's side of the serial loader, for tests that speak to it in-process."""

import struct

from fanal.sim.download import loader
from fanal.sim.flash import Flash
from fanal.sim.slip import Decoder, encode

SYNC = b"\x07\x07\x12\x20" + b"\x55" * 32
ENTRY = 0x40380000
(
    FLASH_BEGIN, FLASH_DATA, FLASH_END, MEM_BEGIN, MEM_END, MEM_DATA, SYNC_OP, WRITE_REG, READ_REG,
    SET_PARAMS,
) = range(2, 12)  # fmt: skip
ATTACH, READ_SLOW, BAUD, DEFL_BEGIN, DEFL_DATA, DEFL_END, MD5, SECURITY = range(0x0D, 0x15)
ERASE_FLASH, ERASE_REGION, READ_FLASH, RUN_USER = range(0xD0, 0xD4)
EVERY = [*range(2, 0x15), *range(0xD0, 0xD4)]


def request(op, data=b"", checksum=0):
    """Return a frame of the host, not yet escaped."""
    return struct.pack("<BBHI", 0, op, len(data), checksum) + data


def checksum(data):
    state = 0xEF
    for byte in data:
        state ^= byte
    return state


def block(data, seq=0):
    """Return the content of a DATA command."""
    return struct.pack("<IIII", len(data), seq, 0, 0) + data


class Host:
    """A loader on a fresh flash, and what it answered. `acts`: what it had the chip do."""

    def __init__(self, path, chip="esp32c3", mac=b"\x02\x11\x22\x33\x44\x55", bad=frozenset()):
        self.flash = Flash(path, bad)
        self.acts = []
        self._answers = Decoder()
        self.frames = []
        self.loader = loader(chip, mac, self.flash, self._take, self.acts.append)

    def _take(self, data):
        self.frames += self._answers.feed(data)

    def feed(self, data):
        """Send raw bytes; return the frames that come back."""
        self.frames.clear()
        self.loader.feed(data)
        return list(self.frames)

    def ask(self, op, data=b"", sum_=None):
        """Send one command; return (error, value, data) of its only answer."""
        if sum_ is None:
            sum_ = checksum(data[16:]) if op in (FLASH_DATA, MEM_DATA, DEFL_DATA) else 0
        (answer,) = self.feed(encode(request(op, data, sum_)))
        return self.read(answer, op)

    def read(self, answer, op):
        direction, said, size, value = struct.unpack_from("<BBHI", answer)
        assert (direction, said, size) == (1, op, len(answer) - 8)
        data = answer[8:]
        if self.loader.is_stub:
            return data[-2], value, data[:-2]
        assert data[-2:] == b"\0\0"
        assert bool(data[-4]) == bool(data[-3])
        return data[-3], value, data[:-4]

    def alive(self):
        """Does it still answer a SYNC? After two delimiters: what was half sent is over."""
        frames = self.feed(b"\xc0\xc0" + encode(request(SYNC_OP, SYNC)))
        return len([f for f in frames if f[1] == SYNC_OP]) == 8

    def attach(self):
        self.ask(ATTACH, bytes(4 if self.loader.is_stub else 8))
        self.ask(SET_PARAMS, struct.pack("<IIIIII", 0, 4 << 20, 0x10000, 0x1000, 256, 0xFFFF))

    def start_stub(self):
        """Upload something and start it, as esptool does with its stub."""
        code = bytes(64)
        self.ask(MEM_BEGIN, struct.pack("<IIII", len(code), 1, 0x1800, ENTRY))
        self.ask(MEM_DATA, block(code))
        frames = self.feed(encode(request(MEM_END, struct.pack("<II", 0, ENTRY + 8))))
        assert frames[-1] == b"OHAI"
        assert self.loader.is_stub

    def begin(self, size, address, op=FLASH_BEGIN, block_size=0x400):
        blocks = -(-size // block_size)
        return self.ask(op, struct.pack("<IIIII", size, blocks, block_size, address, 0))

    def close(self):
        self.flash.close()
