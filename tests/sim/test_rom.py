"""The serial loader in-process: every command, every error code, and what no host ever sends."""

import hashlib
import struct
import zlib

import pytest
from fanal.sim import slip
from fanal.sim.flash import SECTOR, SIZE, Cut, PowerCut
from fanal.sim.registers import SILICON
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.sim import rom_host as rom
from tests.sim.rom_host import Host, block, request

pytestmark = pytest.mark.sim

CHIPS = sorted(SILICON)
MAC = bytes.fromhex("02 11 22 33 44 55")
DATA = bytes(range(256)) * 8  # 2 KB


@pytest.fixture
def host(tmp_path):
    host = Host(tmp_path / "flash.bin")
    yield host
    host.close()


@pytest.fixture
def stub(host):
    host.start_stub()
    host.attach()
    return host


@pytest.fixture
def ready(host):
    host.attach()
    return host


# --- framing ---


@given(st.lists(st.binary(min_size=1, max_size=80)), st.integers(1, 7))
def test_slip_gives_back_every_frame_in_any_pieces(frames, size):
    stream = b"".join(map(slip.encode, frames))
    decoder = slip.Decoder()
    found = [f for at in range(0, len(stream), size) for f in decoder.feed(stream[at : at + size])]
    assert found == frames


def test_slip_drops_what_is_no_frame_and_goes_on():
    good = slip.encode(b"good")
    for bad in (
        b"before any delimiter",
        b"\xc0\xdb\xc0",
        b"\xc0a\xdbb\xc0",
        b"\xc0\xdb\xdb\xdc\xc0",
        b"\xc0\xc0\xc0",
        b"\xc0" + bytes(slip.MOST_BYTES + 1) + b"\xc0",
        b"\xc0" + bytes(3 * slip.MOST_BYTES) + b"\xc0",
    ):
        assert slip.Decoder().feed(bad + good) == [b"good"], bad[:20]
    assert slip.Decoder().feed(b"\xc0" + bytes(slip.MOST_BYTES) + b"\xc0")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.lists(st.binary(max_size=60), max_size=8), st.booleans())
def test_no_bytes_confuse_it_for_good(tmp_path, pieces, as_frames):
    host = Host(tmp_path / "flash.bin")
    for piece in pieces:
        host.feed(slip.encode(piece) if as_frames else piece)
    assert host.alive()
    host.close()


@pytest.mark.parametrize("is_stub", [False, True])
def test_every_command_at_every_length(tmp_path, is_stub):
    """Answered with an error, answered, or not at all; and never the end of it."""
    host = Host(tmp_path / "flash.bin")
    if is_stub:
        host.start_stub()
    for op in range(256):
        for size in range(40):
            host.acts.clear()
            for frame in host.feed(slip.encode(request(op, bytes(size)))):
                assert frame[0] == 1
            if host.acts:  # it left: a new stay begins
                host.close()
                host = Host(tmp_path / "flash.bin")
                if is_stub:
                    host.start_stub()
        assert host.alive(), op
    host.close()


def test_a_length_field_that_lies_is_refused(host):
    frame = bytearray(request(rom.READ_REG, bytes(4)))
    frame[2] = 5
    (answer,) = host.feed(slip.encode(bytes(frame)))
    assert host.read(answer, rom.READ_REG)[0] == 0x05


@pytest.mark.parametrize("frame", [b"", b"\0", b"\0\x08\0\0\0\0\0", b"\1" + request(8)[1:]])
def test_what_is_no_request_is_not_answered(host, frame):
    assert host.feed(slip.encode(frame)) == []


# --- who it is ---


def test_sync_is_answered_eight_times_and_only_the_true_one(host):
    frames = host.feed(slip.encode(request(rom.SYNC_OP, rom.SYNC)))
    assert len(frames) == 8
    assert all(host.read(f, rom.SYNC_OP) == (0, 0x20120707, b"") for f in frames)
    assert host.ask(rom.SYNC_OP, rom.SYNC[:-1])[0] == 0x05
    host.start_stub()
    assert host.feed(slip.encode(request(rom.SYNC_OP, rom.SYNC)))[0][4:8] == bytes(4)


@pytest.mark.parametrize("chip", CHIPS)
def test_chips_are_told_apart(tmp_path, chip):
    host = Host(tmp_path / "flash.bin", chip, MAC)
    magic = host.ask(rom.READ_REG, struct.pack("<I", 0x40001000))[1]
    assert (magic == 0x00F01D83) == (chip == "esp32")
    if chip == "esp32":
        frames = host.feed(slip.encode(request(rom.SECURITY)))
        assert len(frames) == 8
        assert all(f[1] != rom.SECURITY and f[8:10] == b"\x01\x05" for f in frames)
    else:
        _, _, info = host.ask(rom.SECURITY)
        assert struct.unpack("<I8xII", info)[1] == SILICON[chip].image_id
    low, high = (host.ask(rom.READ_REG, struct.pack("<I", at))[1] for at in SILICON[chip].mac)
    assert struct.pack(">II", high, low)[2:] == MAC
    host.close()


def test_fuses_do_not_change_and_other_registers_do(host):
    for at, before in ((SILICON["esp32c3"].mac[0], 0x22334455), (0x60000000, 0)):
        assert host.ask(rom.READ_REG, struct.pack("<I", at))[1] == before
        host.ask(rom.WRITE_REG, struct.pack("<IIII", at, 0xABCD, 0xFF, 0))
        after = host.ask(rom.READ_REG, struct.pack("<I", at))[1]
        assert after == (before or 0xCD)


def test_the_watchdog_resets_the_chip(host):
    host.ask(rom.WRITE_REG, struct.pack("<IIII", 0x60008090, 1 << 31, 0xFFFFFFFF, 0))
    assert host.acts == ["reset"]


def test_the_clock_divider_follows_the_speed(host):
    for baud in (115200, 460800):
        assert host.ask(rom.BAUD, struct.pack("<II", baud, 0))[0] == 0
        divider = host.ask(rom.READ_REG, struct.pack("<I", 0x60000014))[1]
        assert round(divider * baud / 1e6) == 40
    assert host.ask(rom.BAUD, bytes(8))[0] == 0x05


# --- the stub ---


def test_only_a_program_that_was_uploaded_becomes_the_stub(host):
    frames = host.feed(slip.encode(request(rom.MEM_END, struct.pack("<II", 0, rom.ENTRY))))
    assert (len(frames), host.loader.is_stub, host.acts) == (1, False, ["crash"])


def test_memory_takes_no_more_than_was_announced(host):
    assert host.ask(rom.MEM_DATA, block(b"1"))[0] == 0x05
    assert host.ask(rom.MEM_BEGIN, struct.pack("<IIII", 4, 1, 4, 0x1000))[0] == 0x0F
    host.ask(rom.MEM_BEGIN, struct.pack("<IIII", 4, 1, 4, rom.ENTRY))
    assert host.ask(rom.MEM_DATA, block(b"12345"))[0] == 0x05
    assert host.ask(rom.MEM_DATA, block(b"1234"), sum_=0)[0] == 0x07
    assert host.ask(rom.MEM_DATA, block(b"1234"))[0] == 0
    assert host.ask(rom.MEM_END, struct.pack("<II", 1, 0))[0] == 0
    assert not host.acts


def test_what_only_one_of_them_knows(host):
    for op in (rom.ERASE_FLASH, rom.ERASE_REGION, rom.READ_FLASH, rom.RUN_USER, 0x77):
        assert len(host.feed(slip.encode(request(op, bytes(16))))) == 8
    host.start_stub()
    assert host.ask(rom.READ_SLOW, bytes(8))[0] == 0xC3
    assert host.ask(0x77)[0] == 0xC3
    assert host.feed(slip.encode(request(rom.RUN_USER))) == []
    assert host.acts == ["run the app"]
    assert host.feed(slip.encode(request(rom.SYNC_OP, rom.SYNC))) == []  # nobody listens now


# --- downloads ---


def test_the_rom_erases_first_and_writes(ready):
    ready.flash.program(0x10000, bytes(3 * SECTOR))
    assert ready.begin(len(DATA), 0x10000)[0] == 0
    assert ready.flash.read(0x10000, 2 * SECTOR) == b"\xff" * SECTOR + bytes(SECTOR)
    for at in (0, 1024):
        assert ready.ask(rom.FLASH_DATA, block(DATA[at : at + 1024]))[0] == 0
    assert ready.flash.read(0x10000, len(DATA)) == DATA
    _, _, digest = ready.ask(rom.MD5, struct.pack("<IIII", 0x10000, len(DATA), 0, 0))
    assert digest.decode() == hashlib.md5(DATA).hexdigest()


def test_the_stub_erases_as_it_goes_and_tells_the_digest_raw(stub):
    stub.flash.program(0x10000, bytes(3 * SECTOR))
    stub.begin(2 * SECTOR, 0x10000)
    assert stub.flash.read(0x10000, SECTOR) == bytes(SECTOR)
    stub.ask(rom.FLASH_DATA, block(DATA[:1024]))
    assert stub.flash.read(0x10000, 2 * SECTOR) == (
        DATA[:1024] + b"\xff" * (SECTOR - 1024) + bytes(SECTOR)
    )
    _, _, digest = stub.ask(rom.MD5, struct.pack("<IIII", 0x10000, 1024, 0, 0))
    assert digest == hashlib.md5(DATA[:1024]).digest()


def test_the_end_of_the_last_block_is_filler(ready):
    ready.begin(1000, 0)
    ready.ask(rom.FLASH_DATA, block(DATA[:1000] + bytes(24)))
    assert ready.flash.read(0, 1024) == DATA[:1000] + b"\xff" * 24


@pytest.mark.parametrize("is_stub", [False, True])
def test_a_checksum_that_does_not_fit(host, is_stub):
    if is_stub:
        host.start_stub()
    host.attach()
    host.begin(1024, 0)
    error, _, _ = host.ask(rom.FLASH_DATA, block(DATA[:1024]), sum_=1)
    assert error == (0xC1 if is_stub else 0x07)
    assert host.flash.read(0, 1024) == b"\xff" * 1024


def test_what_was_not_erased_reads_back_wrong(tmp_path):
    host = Host(tmp_path / "flash.bin", bad={0x1000})
    host.attach()
    host.begin(SECTOR + 1024, 0, block_size=SECTOR)
    assert host.ask(rom.FLASH_DATA, block(bytes(SECTOR)))[0] == 0
    assert host.ask(rom.FLASH_DATA, block(bytes(1024)))[0] == 0x08
    host.close()


def test_no_flash_before_it_is_attached_and_no_data_before_a_begin(host):
    assert host.begin(1024, 0)[0] == 0x06
    assert host.ask(rom.READ_SLOW, struct.pack("<II", 0, 64))[0] == 0x09
    host.attach()
    assert host.ask(rom.FLASH_DATA, block(DATA[:16]))[0] == 0x06
    assert host.ask(rom.FLASH_END, bytes(4))[0] == 0x06
    host.begin(1024, 0)
    assert host.ask(rom.DEFL_DATA, block(DATA[:16]))[0] == 0x06  # it is another kind of download
    assert host.ask(rom.FLASH_DATA, block(DATA[:1025]))[0] == 0x05


def test_the_rom_knows_two_megabytes_until_it_is_told(host):
    host.ask(rom.ATTACH, bytes(8))
    assert host.begin(SECTOR, 2 << 20)[0] == 0x06
    host.attach()
    assert host.begin(SECTOR, 2 << 20)[0] == 0


@pytest.mark.parametrize("is_stub", [False, True])
@pytest.mark.parametrize(
    ("address", "size"), [(SIZE - 1, 2), (SIZE, 1), (0, SIZE + 1), (0xFFFFFFFF, 0xFFFFFFFF)]
)
def test_out_of_range(host, is_stub, address, size):
    if is_stub:
        host.start_stub()
    host.attach()
    before = host.flash.operations
    where = struct.pack("<II", address, size)
    for op, data in (
        (rom.FLASH_BEGIN, struct.pack("<IIIII", size, 1, 0x400, address, 0)),
        (rom.DEFL_BEGIN, struct.pack("<IIIII", size, 1, 0x400, address, 0)),
        (rom.MD5, where + bytes(8)),
        (rom.ERASE_REGION, where) if is_stub else (rom.READ_SLOW, where),
        (rom.READ_FLASH, where + struct.pack("<II", SECTOR, 64))
        if is_stub
        else (rom.MD5, where * 2),
    ):
        assert host.ask(op, data)[0] in ((0xC0, 0xC4) if is_stub else (0x06, 0x09, 0x0A)), op
    assert host.flash.operations == before


@pytest.mark.parametrize("is_stub", [False, True])
def test_deflated_downloads(host, is_stub):
    if is_stub:
        host.start_stub()
    host.attach()
    packed = zlib.compress(DATA, 9)
    assert host.begin(len(DATA), 0x3000, rom.DEFL_BEGIN)[0] == 0
    for at in range(0, len(packed), 100):
        assert host.ask(rom.DEFL_DATA, block(packed[at : at + 100]))[0] == 0
    assert host.flash.read(0x3000, len(DATA)) == DATA
    assert host.ask(rom.DEFL_END, struct.pack("<I", 1))[0] == 0
    assert host.acts == ([] if is_stub else ["run the app"])


def test_deflated_data_that_is_none_too_much_or_too_little(stub):
    packed = zlib.compress(DATA, 9)
    stub.begin(len(DATA), 0, rom.DEFL_BEGIN)
    assert stub.ask(rom.DEFL_DATA, block(b"\xff" * 16))[0] == 0xC7
    stub.begin(len(DATA) - 1, 0, rom.DEFL_BEGIN)
    assert stub.ask(rom.DEFL_DATA, block(packed))[0] == 0xC9
    assert stub.flash.read(0, len(DATA)) == DATA[:-1] + b"\xff"
    stub.begin(len(DATA) + 1, 0, rom.DEFL_BEGIN)
    assert stub.ask(rom.DEFL_DATA, block(packed))[0] == 0xC8
    bomb = zlib.compress(bytes(64 << 20), 9)[:0x4000]
    stub.begin(SECTOR, 0, rom.DEFL_BEGIN, block_size=0x4000)
    assert stub.ask(rom.DEFL_DATA, block(bomb))[0] == 0xC9
    assert stub.flash.read(SECTOR, 16) == b"\xff" * 16


@pytest.mark.parametrize(
    ("stays", "is_stub", "acts"),
    [(1, False, ["run the app"]), (0, False, ["reset"]), (1, True, []), (0, True, ["reset"])],
)
def test_the_end_of_a_download(host, stays, is_stub, acts):
    if is_stub:
        host.start_stub()
    host.attach()
    host.begin(0, 0)
    assert host.ask(rom.FLASH_END, struct.pack("<I", stays))[0] == 0
    assert host.acts == acts


@pytest.mark.parametrize("where", ["before", "inside", "after"])
def test_power_fails_at_every_operation_of_a_write(tmp_path, where):
    """What was written before is there, what comes later is as it was."""
    content = DATA * 6
    for number in range(6):
        host = Host(tmp_path / f"{number}.bin")
        host.start_stub()
        host.flash.program(0, bytes(3 * SECTOR))
        host.begin(len(content), 0, block_size=SECTOR)
        host.flash.arm(Cut(number, where, 100))
        with pytest.raises(PowerCut):
            write_all(host, content)
        done = number // 2 * SECTOR  # an erase and a program each
        assert host.flash.read(0, done) == content[:done]
        behind = done + SECTOR
        assert host.flash.read(behind, 3 * SECTOR - behind) == bytes(3 * SECTOR - behind)
        host.close()


def write_all(host, content):
    for at in range(0, len(content), SECTOR):
        host.ask(rom.FLASH_DATA, block(content[at : at + SECTOR]))


# --- reading and erasing ---


def test_the_rom_reads_64_bytes_at_a_time(ready):
    ready.flash.program(0x5000, DATA)
    for size in (1, 63, 64):
        error, _, data = ready.ask(rom.READ_SLOW, struct.pack("<II", 0x5001, size))
        assert (error, data) == (0, DATA[1 : 1 + size].ljust(64, b"\0"))
    assert ready.ask(rom.READ_SLOW, struct.pack("<II", 0, 65))[0] == 0x0A
    assert ready.ask(rom.READ_SLOW, struct.pack("<II", 0, 0))[0] == 0x0A


def test_the_stub_reads_in_blocks_as_they_are_acknowledged(stub):
    stub.flash.program(0x5000, DATA)
    ask = struct.pack("<IIII", 0x5000, len(DATA), 512, 2)
    answer, *blocks = stub.feed(slip.encode(request(rom.READ_FLASH, ask)))
    assert stub.read(answer, rom.READ_FLASH)[0] == 0
    assert len(blocks) == 2
    got = b"".join(blocks)
    while len(got) < len(DATA):
        (more,) = stub.feed(slip.encode(struct.pack("<I", len(got) - 512)))
        got += more
    assert stub.feed(slip.encode(struct.pack("<I", len(DATA) - 512))) == []
    (digest,) = stub.feed(slip.encode(struct.pack("<I", len(DATA))))
    assert (got, digest) == (DATA, hashlib.md5(DATA).digest())
    assert stub.alive()


def test_a_reading_ends_when_the_host_says_something_else(stub):
    stub.feed(slip.encode(request(rom.READ_FLASH, struct.pack("<IIII", 0, SIZE, 4096, 1))))
    assert stub.feed(slip.encode(request(rom.SYNC_OP, rom.SYNC))) == []
    assert stub.alive()


def test_erasing(stub):
    stub.flash.program(0, bytes(3 * SECTOR))
    for bad in ((1, SECTOR), (0, 1), (0, 0), (SIZE, SECTOR)):
        assert stub.ask(rom.ERASE_REGION, struct.pack("<II", *bad))[0] == 0xC0
    assert stub.ask(rom.ERASE_REGION, struct.pack("<II", SECTOR, SECTOR))[0] == 0
    assert stub.flash.read(0, 3 * SECTOR) == bytes(SECTOR) + b"\xff" * SECTOR + bytes(SECTOR)
    assert stub.ask(rom.ERASE_FLASH)[0] == 0
    assert stub.flash.read(0, SIZE) == b"\xff" * SIZE
