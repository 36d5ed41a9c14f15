"""Real esptool and real mpremote, unmodified, on one board: download, boot, prompt."""

import pytest

pytest.importorskip("bumble", reason="needs the extra `sim`")

from fanal.sim.chip import BOOT_LOOP, PROMPT, ROM
from fanal.sim.synthetic import synthetic_image
from fanal.sim.world import World

from tests.sim.flashing import MPREMOTE, enter_rom, esptool, image, image_file

pytestmark = pytest.mark.sim

CHIPS = ("esp32", "esp32c3", "esp32c6", "esp32s3")
TITLES = {
    "esp32": "ESP32-D0WD-V3 (revision v3.1)",
    "esp32c3": "ESP32-C3 (QFN32) (revision v0.4)",
    "esp32c6": "ESP32-C6FH4 (QFN32) (revision v0.1)",
    "esp32s3": "ESP32-S3 (QFN56) (revision v0.2)",
}


@pytest.fixture
async def world():
    async with World(firmware="", boot_ms=0) as world:
        yield world


@pytest.fixture(params=CHIPS)
async def board(request, world):
    board = world.add_board("b1", request.param, blank=True)
    await enter_rom(world, board)
    return board


async def test_flashed_it_boots_and_mpremote_finds_its_prompt(world, board, tmp_path):
    """The whole way on one line, from a blank flash; the version is that of the image."""
    place = image_file(tmp_path, board.chip, version="v1.27.0")
    outcome = await esptool(world, board, "--baud", "460800", "write-flash", *place)
    assert outcome.exit_code == 0, outcome.output
    assert TITLES[board.chip] in outcome.output
    assert board.identity.mac.hex(":") in outcome.output
    assert "compressed" in outcome.output
    assert "Hash of data verified" in outcome.output
    board.reset()
    await world.wait_until(lambda: board.state == PROMPT)
    code = (
        "import os, sys, machine; from esp32 import Partition\n"
        "app = bytearray(16); Partition(Partition.RUNNING).readblocks(0, app, 0x30)\n"
        "print(os.uname().release, sys.implementation.version, sys.version, app.decode())\n"
        "print(Partition(Partition.RUNNING).info()[4], len(machine.unique_id()))"
    )
    answer = await world.run_client(*MPREMOTE, "connect", board.port, "exec", code)
    said = "1.27.0 (1, 27, 0, '') 3.4.0; MicroPython v1.27.0 on 2026-04-06 v1.27.0"
    assert answer.output.replace("\0", "") == f"{said}\r\nfactory 6\r\n"
    assert f"v1.27.0 on 2026-04-06; {board.console._machine}" in board.console_text


async def test_without_the_stub_and_uncompressed(world, board, tmp_path):
    place = image_file(tmp_path, board.chip, app_bytes=8 << 10)
    for words in (("--no-stub", "write-flash"), ("write-flash", "--no-compress")):
        await enter_rom(world, board)
        outcome = await esptool(world, board, *words, *place)
        assert outcome.exit_code == 0, outcome.output
        assert "Hash of data verified" in outcome.output
        assert board.flash.read(int(place[0], 16), 1 << 20).startswith(
            image(board.chip, app_bytes=8 << 10)
        )
        await enter_rom(world, board)
        assert (await esptool(world, board, "erase-flash")).exit_code == 0
        assert set(board.flash_bytes()) == {0xFF}


async def test_reading_verifying_and_erasing(world, board, tmp_path):
    content = synthetic_image(board.chip)[:20000]
    board.flash.program(0x200000, content)
    read, wanted = tmp_path / "read.bin", tmp_path / "wanted.bin"
    wanted.write_bytes(content)
    for stub in ((), ("--no-stub",)):
        await enter_rom(world, board)
        size = "20000" if not stub else "300"  # the ROM gives 64 bytes a time
        outcome = await esptool(world, board, *stub, "read-flash", "0x200000", size, str(read))
        assert outcome.exit_code == 0, outcome.output
        assert read.read_bytes() == content[: int(size)]
    outcome = await esptool(world, board, "--no-stub", "verify-flash", "0x200000", str(wanted))
    assert (outcome.exit_code, "verification successful" in outcome.output.lower()) == (0, True)
    outcome = await esptool(world, board, "erase-region", "0x201000", "0x1000")
    assert outcome.exit_code == 0, outcome.output
    expected = content[:4096] + b"\xff" * 4096 + content[8192:]
    assert board.flash.read(0x200000, len(content)) == expected


async def test_a_wrong_chip_is_refused_before_anything_is_erased(world, board, tmp_path):
    other = CHIPS[CHIPS.index(board.chip) - 1]
    place = image_file(tmp_path, other)
    outcome = await esptool(world, board, "--chip", other, "write-flash", *place)
    assert outcome.exit_code == 2
    assert "Wrong chip argument" in outcome.output
    assert board.flash.operations == 0


async def test_an_image_of_another_chip_is_refused_too(world, board, tmp_path):
    other = CHIPS[CHIPS.index(board.chip) - 1]
    path = image_file(tmp_path, other)[1]
    place = image_file(tmp_path, board.chip)[0]
    outcome = await esptool(world, board, "write-flash", place, path)
    assert (outcome.exit_code, "is not an ESP32" in outcome.output) == (2, True), outcome.output
    assert board.flash.operations == 0


async def test_a_board_that_boots_nothing_answers_nobody(world, tmp_path):
    board = world.add_board("b1", "esp32c3", blank=True)
    await world.wait_until(lambda: board.state == BOOT_LOOP)
    outcome = await esptool(
        world, board, "--chip", "esp32c3", "--connect-attempts", "1", "read-mac"
    )
    assert (outcome.exit_code, "Failed to connect" in outcome.output) == (2, True), outcome.output
    assert board.state == BOOT_LOOP


async def test_the_stub_is_left_for_the_rom_and_the_rom_for_the_app(world, tmp_path):
    board = world.add_board("b1", "esp32s3", powered=False)
    board.strap(True)
    board.power_on()
    await world.wait_until(lambda: board.state == ROM)
    for _ in range(2):  # the second finds the ROM again, not the stub of the first
        outcome = await esptool(world, board, "flash-id")
        assert "Uploading stub" in outcome.output
        assert "Detected flash size: 4MB" in outcome.output
    board.strap(False)
    assert (await esptool(world, board, "--no-stub", "run")).exit_code == 0
    await world.wait_until(lambda: board.state == PROMPT)
