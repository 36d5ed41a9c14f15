"""The serial loader of a chip: its ROM, and what esptool's stub does once it has been uploaded.

A request is a SLIP frame: 0, command, u16 length, u32 checksum, then data (little-endian); an
answer 1, command, u16 length, u32 value, then data and status. Nothing that is uploaded is ever
executed: a program that starts inside an uploaded segment is taken for the stub.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import reduce
from operator import xor

from fanal.sim.flash import Flash
from fanal.sim.registers import Registers
from fanal.sim.rom_flash import (
    INVALID,
    STUB_CHECKSUM,
    STUB_LENGTH,
    STUB_UNKNOWN,
    WRONG_CHECKSUM,
    FlashSession,
    Refused,
)
from fanal.sim.slip import Decoder, encode

# what the loader asks of the chip around it
RUN_APP, RESET, CRASH = "run the app", "reset", "crash"

_HEADER = struct.Struct("<BBHI")
_SYNC = b"\x07\x07\x12\x20" + b"\x55" * 32
_SYNC_VALUE = 0x20120707
_REPEATS = 8
_CHECKSUM_SEED = 0xEF
_BLOCK_HEADER = 16
_RAM = range(0x3F800000, 0x60000000)
_BAD_RAM_ADDRESS = 0x0F


class Loader:
    """One stay in download mode, from reset to reset.

    write: takes what goes to the host. act: takes RUN_APP, RESET or CRASH, after the answer.
    `is_stub` tells which of the two answers. Raises PowerCut out of `feed` when the power fails.
    """

    def __init__(
        self,
        flash: Flash,
        registers: Registers,
        write: Callable[[bytes], None],
        act: Callable[[str], None],
    ) -> None:
        self._registers, self._write, self._act = registers, write, act
        self._frames = Decoder()
        self._flash = FlashSession(flash, self._send)
        self._segments: list[range] = []
        self._segment_left = 0
        self._is_over = False
        self.is_stub = False

    def feed(self, data: bytes) -> None:
        """Take what came from the host."""
        for frame in self._frames.feed(data):
            if self._is_over:
                return
            if self._flash.is_reading:
                self._flash.acknowledged(frame)
            else:
                self._take(frame)

    def _take(self, frame: bytes) -> None:
        if len(frame) < _HEADER.size or frame[0] != 0:
            return
        _, command, length, checksum = _HEADER.unpack_from(frame)
        data = frame[_HEADER.size :]
        handler = _COMMANDS.get(command)
        if handler is None or (command in _OF_STUB) > self.is_stub or self._lacks(command):
            self._refuse_unknown(command)
            return
        try:
            if length != len(data):
                raise Refused(STUB_LENGTH if self.is_stub else INVALID)
            if command in _CHECKED:
                self._check(data, checksum)
            handler(self, data)
        except Refused as refused:
            self._answer(command, error=refused.code)
        except struct.error:
            self._answer(command, error=STUB_LENGTH if self.is_stub else INVALID)

    def _lacks(self, command: int) -> bool:
        if command == _READ_SLOW:
            return self.is_stub
        return command == _SECURITY and not self._registers.silicon.has_security_info

    def _refuse_unknown(self, command: int) -> None:
        if self.is_stub:
            self._answer(command, error=STUB_UNKNOWN)
        else:
            for _ in range(_REPEATS):  # as the ROM does, and not under the command's own number
                self._answer(0, error=INVALID)

    def _check(self, data: bytes, checksum: int) -> None:
        (length,) = struct.unpack_from("<I", data)
        block = data[_BLOCK_HEADER:]
        if length != len(block):
            raise Refused(STUB_LENGTH if self.is_stub else INVALID)
        if reduce(xor, block, _CHECKSUM_SEED) != checksum:
            raise Refused(STUB_CHECKSUM if self.is_stub else WRONG_CHECKSUM)

    def _answer(self, command: int, value: int = 0, data: bytes = b"", error: int = 0) -> None:
        data += bytes((error, 0)) if self.is_stub else bytes((error > 0, error, 0, 0))
        self._send(_HEADER.pack(1, command, len(data), value) + data)

    def _send(self, frame: bytes) -> None:
        self._write(encode(frame))

    def _leave(self, act: str) -> None:
        self._is_over = True
        self._act(act)

    # --- commands that have nothing to do with flash ---

    def _sync(self, data: bytes) -> None:
        if data != _SYNC:
            raise Refused(INVALID)
        for _ in range(_REPEATS):
            self._answer(_SYNC_COMMAND, 0 if self.is_stub else _SYNC_VALUE)

    def _read_register(self, data: bytes) -> None:
        (address,) = struct.unpack("<I", data)
        self._answer(_READ_REGISTER, self._registers.read(address))

    def _write_registers(self, data: bytes) -> None:
        if not data:
            raise Refused(INVALID)
        for address, value, mask, _delay_us in struct.iter_unpack("<IIII", data):
            self._registers.write(address, value, mask)
        self._answer(_WRITE_REGISTER)

    def _begin_memory(self, data: bytes) -> None:
        size, _blocks, _block_size, address = struct.unpack("<IIII", data)
        if address not in _RAM or address + size not in _RAM:
            raise Refused(_BAD_RAM_ADDRESS)
        self._segments.append(range(address, address))
        self._segment_left = size
        self._answer(_MEM_BEGIN)

    def _take_memory(self, data: bytes) -> None:
        size = len(data) - _BLOCK_HEADER
        if not self._segments or size > self._segment_left:
            raise Refused(STUB_LENGTH if self.is_stub else INVALID)
        segment = self._segments[-1]
        self._segments[-1] = range(segment.start, segment.stop + size)
        self._segment_left -= size
        self._answer(_MEM_DATA)

    def _end_memory(self, data: bytes) -> None:
        has_no_entry, entry = struct.unpack("<II", data)
        self._answer(_MEM_END)
        if has_no_entry:
            return
        if any(entry in segment for segment in self._segments):
            self._segments.clear()
            self.is_stub = True
            self._flash.is_stub = True
            self._send(b"OHAI")
        else:
            self._leave(CRASH)

    def _change_baud(self, data: bytes) -> None:
        (baud, _old) = struct.unpack("<II", data)
        if not baud:
            raise Refused(INVALID)
        self._answer(_CHANGE_BAUD)
        self._registers.baud = baud

    def _tell_security(self, _: bytes) -> None:
        chip_id = self._registers.silicon.image_id
        self._answer(_SECURITY, data=struct.pack("<I8xII", 0, chip_id, 0))

    # --- flash ---

    def _attach(self, data: bytes) -> None:
        if len(data) != (4 if self.is_stub else 8):
            raise Refused(STUB_LENGTH if self.is_stub else INVALID)
        self._flash.is_attached = True
        self._answer(_SPI_ATTACH)

    def _set_flash_size(self, data: bytes) -> None:
        _id, size, _block, _sector, _page, _mask = struct.unpack("<IIIIII", data)
        self._flash.set_size(size)
        self._answer(_SPI_SET_PARAMS)

    def _begin(self, command: int, data: bytes) -> None:
        is_long = self.is_stub or self._registers.silicon.has_security_info
        if len(data) != (20 if is_long else 16):
            raise Refused(STUB_LENGTH if self.is_stub else INVALID)
        size, _blocks, block_size, address = struct.unpack_from("<IIII", data)
        self._flash.begin(address, size, block_size, command == _DEFL_BEGIN)
        self._answer(command)

    def _begin_plain(self, data: bytes) -> None:
        self._begin(_FLASH_BEGIN, data)

    def _begin_deflated(self, data: bytes) -> None:
        self._begin(_DEFL_BEGIN, data)

    def _write_plain(self, data: bytes) -> None:
        self._flash.write(data[_BLOCK_HEADER:], is_deflated=False)
        self._answer(_FLASH_DATA)

    def _write_deflated(self, data: bytes) -> None:
        self._flash.write(data[_BLOCK_HEADER:], is_deflated=True)
        self._answer(_DEFL_DATA)

    def _end(self, command: int, data: bytes) -> None:
        (stays,) = struct.unpack("<I", data)
        self._flash.end()
        self._answer(command)
        if not stays:
            self._leave(RESET)
        elif not self.is_stub:
            self._leave(RUN_APP)  # the ROM leaves in either case; the stub stays

    def _end_plain(self, data: bytes) -> None:
        self._end(_FLASH_END, data)

    def _end_deflated(self, data: bytes) -> None:
        self._end(_DEFL_END, data)

    def _tell_md5(self, data: bytes) -> None:
        address, size, _, _ = struct.unpack("<IIII", data)
        digest = self._flash.md5(address, size)
        self._answer(_MD5, data=digest if self.is_stub else digest.hex().encode())

    def _read_slowly(self, data: bytes) -> None:
        address, size = struct.unpack("<II", data)
        self._answer(_READ_SLOW, data=self._flash.read_slowly(address, size))

    def _read(self, data: bytes) -> None:
        address, size, block_size, most_ahead = struct.unpack("<IIII", data)
        self._flash.check_read(address, size, block_size, most_ahead)
        self._answer(_READ_FLASH)
        self._flash.start_reading(address, size, block_size, most_ahead)

    def _erase_all(self, _: bytes) -> None:
        self._flash.erase_all()
        self._answer(_ERASE_FLASH)

    def _erase_region(self, data: bytes) -> None:
        address, size = struct.unpack("<II", data)
        self._flash.erase(address, size)
        self._answer(_ERASE_REGION)

    def _run_app(self, _: bytes) -> None:
        self._leave(RUN_APP)


_FLASH_BEGIN, _FLASH_DATA, _FLASH_END = 0x02, 0x03, 0x04
_MEM_BEGIN, _MEM_END, _MEM_DATA = 0x05, 0x06, 0x07
_SYNC_COMMAND, _WRITE_REGISTER, _READ_REGISTER = 0x08, 0x09, 0x0A
_SPI_SET_PARAMS, _SPI_ATTACH, _READ_SLOW, _CHANGE_BAUD = 0x0B, 0x0D, 0x0E, 0x0F
_DEFL_BEGIN, _DEFL_DATA, _DEFL_END, _MD5, _SECURITY = 0x10, 0x11, 0x12, 0x13, 0x14
_ERASE_FLASH, _ERASE_REGION, _READ_FLASH, _RUN_APP = 0xD0, 0xD1, 0xD2, 0xD3

_CHECKED = {_FLASH_DATA, _MEM_DATA, _DEFL_DATA}
_OF_STUB = {_ERASE_FLASH, _ERASE_REGION, _READ_FLASH, _RUN_APP}
_COMMANDS: dict[int, Callable[[Loader, bytes], None]] = {
    _FLASH_BEGIN: Loader._begin_plain,
    _FLASH_DATA: Loader._write_plain,
    _FLASH_END: Loader._end_plain,
    _MEM_BEGIN: Loader._begin_memory,
    _MEM_END: Loader._end_memory,
    _MEM_DATA: Loader._take_memory,
    _SYNC_COMMAND: Loader._sync,
    _WRITE_REGISTER: Loader._write_registers,
    _READ_REGISTER: Loader._read_register,
    _SPI_SET_PARAMS: Loader._set_flash_size,
    _SPI_ATTACH: Loader._attach,
    _READ_SLOW: Loader._read_slowly,
    _CHANGE_BAUD: Loader._change_baud,
    _DEFL_BEGIN: Loader._begin_deflated,
    _DEFL_DATA: Loader._write_deflated,
    _DEFL_END: Loader._end_deflated,
    _MD5: Loader._tell_md5,
    _SECURITY: Loader._tell_security,
    _ERASE_FLASH: Loader._erase_all,
    _ERASE_REGION: Loader._erase_region,
    _READ_FLASH: Loader._read,
    _RUN_APP: Loader._run_app,
}
