"""What a virtual board starts from: an image that reads back right, and nothing else."""

import hashlib

import pytest

pytest.importorskip("bumble", reason="needs the extra `sim`")

from fanal import esp_image, partition_table
from fanal.chips import CHIPS
from fanal.partition_table import VAULT, Partition
from fanal.sim import bootloader
from fanal.sim.bootloader import NotBootable, find_app
from fanal.sim.chip import ASLEEP, BOOT_LOOP, HELD, OFF, PROMPT, ROM
from fanal.sim.clock import run_virtual
from fanal.sim.flash import PARTITIONS, SECTOR, SIZE, Flash
from fanal.sim.synthetic import STOCK, synthetic_image
from fanal.sim.world import World

from tests.sim.flashing import enter_rom, image

pytestmark = pytest.mark.sim

CHIPS_HERE = ("esp32", "esp32c3", "esp32c6", "esp32s3")
APP_AT = 0x10000


@pytest.fixture
def flash(tmp_path):
    flash = Flash(tmp_path / "flash.bin")
    yield flash
    flash.close()


def put(flash, content, chip="esp32c3"):
    flash.erase(0, 0x200000)
    flash.program(CHIPS[chip].image_offset, content)


def change(flash, address, data):
    """Write bytes as they are, whatever was there."""
    sector = address // SECTOR * SECTOR
    content = bytearray(flash.read(sector, SECTOR))
    content[address - sector : address - sector + len(data)] = data
    flash.erase(sector, SECTOR)
    flash.program(sector, bytes(content))


def reason(flash, chip="esp32c3", needs_vault=True):
    with pytest.raises(NotBootable) as caught:
        find_app(flash, chip, needs_vault)
    return str(caught.value)


@pytest.mark.parametrize("chip", CHIPS_HERE)
def test_a_synthetic_image_is_one_for_the_host_and_for_the_chip(flash, chip):
    read = esp_image.read(synthetic_image(chip, version="v1.29.0-preview.7", app_bytes=100_000))
    assert (read.chip.name, read.version, read.partitions) == (chip, "1.29.0-preview.7", STOCK)
    assert abs(len(read.content) - (APP_AT - CHIPS[chip].image_offset) - 100_000) < 1000
    put(flash, esp_image.with_vault(read), chip)
    found = find_app(flash, chip, needs_vault=True)
    assert (found.version, found.date) == ("1.29.0-preview.7", "2026-04-06")
    assert (found.file_system.address, found.app.label) == (VAULT.end, "factory")


def test_synthetic_images_are_the_same_for_the_same_seed_and_else_not():
    synthetic_image.cache_clear()
    one = synthetic_image("esp32", seed=1)
    synthetic_image.cache_clear()
    assert one == synthetic_image("esp32", seed=1) != synthetic_image("esp32", seed=2)


def test_a_blank_flash(flash):
    assert reason(flash).startswith("invalid header: 0xffffffff")


def test_a_stock_image_has_no_vault_and_its_file_system_follows(flash):
    put(flash, synthetic_image("esp32c3"))
    assert "no vault" in reason(flash)
    found = find_app(flash, "esp32c3", needs_vault=False)
    assert (found.file_system.address, found.file_system.end) == (0x200000, SIZE)


@pytest.mark.parametrize("vault", [Partition("vault", 1, 0x40, 0x204000, 0x4000), None])
def test_a_vault_at_another_place_is_none(flash, vault):
    put(flash, image("esp32c3"))
    table = partition_table.build([*STOCK, *([vault] if vault else [])])
    change(flash, partition_table.ADDRESS, table)
    assert "no vault" in reason(flash)


def test_an_image_of_another_chip(flash):
    put(flash, image("esp32s3"))
    assert "mismatch chip ID, expected 5, found 9" in reason(flash)
    content = bytearray(image("esp32c3"))
    app = image("esp32s3")[APP_AT:]
    content[APP_AT:] = app
    put(flash, bytes(content))
    assert "mismatch chip ID, expected 5, found 9" in reason(flash)


def test_an_image_at_the_offset_of_another_chip(flash):
    put(flash, image("esp32c3"), "esp32")
    assert "invalid header" in reason(flash)


def test_every_part_that_is_damaged(flash):
    """One bit anywhere in bootloader, table or app, and it does not start."""
    good = image("esp32c3", app_bytes=8 << 10)
    boot_end = esp_image.check_image(good).length
    table_end = partition_table.ADDRESS + 32 * (len(PARTITIONS) + 1)
    app_end = APP_AT + esp_image.check_image(good, APP_AT).length
    places = [*range(0, boot_end, 97), 0, 1, 12, boot_end - 1, boot_end - 33]
    places += [*range(partition_table.ADDRESS, table_end, 5), table_end - 1]
    places += [*range(APP_AT, app_end, 331), APP_AT, APP_AT + 1, app_end - 1, app_end - 33]
    put(flash, good)
    assert find_app(flash, "esp32c3", needs_vault=True)
    for place in places:
        for bit in (1, 0x80):
            change(flash, place, bytes((good[place] ^ bit,)))
            try:
                find_app(flash, "esp32c3", needs_vault=True)
            except NotBootable:
                pass
            else:
                pytest.fail(f"it starts with another bit at 0x{place:x}")
        change(flash, place, good[place : place + 1])
    assert find_app(flash, "esp32c3", needs_vault=True)


@pytest.mark.parametrize(
    ("address", "size", "said"),
    [
        (0, SECTOR, "invalid header: 0xffffffff"),
        (0x1000, SECTOR, ""),
        (0x8000, SECTOR, "load partition table error!"),
        (APP_AT, SECTOR, "No bootable app partitions"),
        (APP_AT + SECTOR, SECTOR, "Checksum failed"),
        (APP_AT + 0x10000, SECTOR, ""),
    ],
)
def test_a_sector_that_was_not_written(flash, address, size, said):
    """What a write that stopped half way leaves."""
    put(flash, image("esp32c3", app_bytes=64 << 10))
    flash.erase(address, size)
    assert said in reason(flash)


def test_a_digest_that_does_not_fit_though_the_checksum_does(flash):
    content = bytearray(image("esp32c3"))
    place = APP_AT + 0x200
    content[place] ^= 1
    content[place + 1] ^= 1  # the checksum is the xor of all
    put(flash, bytes(content))
    assert "Image hash failed - image is corrupt" in reason(flash)


def test_a_table_without_an_app(flash):
    put(flash, image("esp32c3"))
    change(flash, partition_table.ADDRESS, partition_table.build([STOCK[0], VAULT]))
    assert "No bootable app partitions in the partition table" in reason(flash)


# --- the board ---


def in_world(act, **settings):
    async def inside():
        async with World(firmware="", boot_ms=0, **settings) as world:
            return await act(world)

    return run_virtual(inside())


def test_a_blank_board_prints_in_a_loop_as_a_real_one():
    async def act(world):
        board = world.add_board("b1", "esp32", blank=True)
        await world.wait_until(lambda: board.console_text.count("RTCWDT_RTC_RST") >= 3, 10)
        return board.state, board.boots, board.console_text

    state, boots, text = in_world(act)
    assert (state, boots) == (BOOT_LOOP, 0)
    assert text.count("rst:0x1 (POWERON),boot:0x13 (SPI_FAST_FLASH_BOOT)") == 1
    assert text.count("invalid header: 0xffffffff") >= 32


def test_a_stock_board_boots_with_its_file_system_where_the_vault_would_be():
    async def act(world):
        board = world.add_board("b1", "esp32s3", stock=True)
        await world.wait_until(lambda: board.state == PROMPT, 10)
        return board.flash.read(0x200000, 4096), board.identity.needs_vault

    first, needs_vault = in_world(act)
    assert (b"littlefs" in first, needs_vault) == (True, False)


def test_a_kept_stock_board_still_boots(tmp_path):
    async def first(world):
        world.add_board("b1", stock=True, powered=False)

    async def second(world):
        board = world.boards["b1"]
        board.power_on()
        await world.wait_until(lambda: board.state == PROMPT, 10)

    in_world(first, directory=tmp_path)
    in_world(second, directory=tmp_path)


def test_a_wake_looks_at_the_image_only_if_it_was_touched(folder, monkeypatch):
    looks = []
    look = bootloader.find_app
    monkeypatch.setattr(bootloader, "find_app", lambda *a: looks.append(a) or look(*a))
    main = "import machine; machine.deepsleep(1000)"

    async def act():
        async with World(firmware=folder(main), boot_ms=0) as world:
            board = world.add_board("b1")
            await world.wait_until(lambda: board.boots == 5, 60)
            seen = [len(looks)]
            await world.wait_until(lambda: board.state == ASLEEP, 60)
            board.flash.program(APP_AT, b"\0")
            await world.wait_until(lambda: board.state == BOOT_LOOP, 60)
            seen.append(len(looks))
            return seen, board.console_text

    seen, text = run_virtual(act())
    assert seen == [1, 2]
    assert "has invalid magic byte" in text


def test_straps_count_when_en_rises_and_at_power_on():
    async def act(world):
        board = world.add_board("b1", "esp32c3")
        await world.wait_until(lambda: board.state == PROMPT, 10)
        board.strap(True)
        await world.run_for(1)
        states = [board.state]  # nothing was reset
        board.reset()
        await world.wait_until(lambda: board.state == ROM, 10)
        board.strap(False)
        await world.run_for(1)
        states.append(board.state)
        board.power_off()
        states.append(board.state)
        board.power_on()
        await world.wait_until(lambda: board.state == PROMPT, 10)
        return states, board.console_text

    states, text = in_world(act)
    assert states == [PROMPT, ROM, OFF]
    assert "waiting for download" in text


def test_a_program_that_resets_does_not_enter_the_rom():
    """A reset by software does not look at the straps."""

    async def act(world):
        board = world.add_board("b1")
        await world.wait_until(lambda: board.state == PROMPT, 10)
        board.strap(True)
        with world.at_pace():
            board.type_in(b"import machine; machine.reset()\r")
            await world.wait_until(lambda: board.boots == 2 and board.state == PROMPT, 10)

    in_world(act)


def lines(board, *steps):
    """Have DTR and RTS, one letter each if asserted, follow one another; return the states."""
    states = []
    for step in steps:
        board.straps.set_lines("D" in step, "R" in step)
        states.append(board.state)
    return states


def test_two_transistors_make_dtr_and_rts_into_en_and_gpio0():
    async def act(world):
        board = world.add_board("b1")
        await world.wait_until(lambda: board.state == PROMPT, 10)
        told = lines(board, "D", "DR", "D", "", "DR", "D", "")  # opening and closing a port
        assert told == [PROMPT] * 7
        assert lines(board, "R", "R") == [HELD, HELD]
        await world.run_for(3)
        assert board.state == HELD
        lines(board, "")
        await world.wait_until(lambda: board.state == PROMPT, 10)
        # as esptool does it: through both, one after the other
        assert lines(board, "R", "DR")[-1] == HELD
        await world.run_for(0.3)
        lines(board, "D")
        await world.wait_until(lambda: board.state == ROM, 10)
        lines(board, "", "R", "")  # and out again
        await world.wait_until(lambda: board.state == PROMPT, 10)
        lines(board, "R", "DR")  # both for good: neither is low
        await world.wait_until(lambda: board.state == PROMPT, 10)
        lines(board, "R")
        board.power_off()
        lines(board, "")
        assert board.state == OFF

    in_world(act)


def test_a_new_board_is_made_of_parts_that_were_made_once(tmp_path):
    async def act(world):
        boards = [world.add_board(chip="esp32", powered=False) for _ in range(2)]
        return [hashlib.sha256(board.flash_bytes()).digest() for board in boards]

    one, two = in_world(act)
    assert one == two


async def test_what_the_rom_wrote_is_what_the_next_boot_reads(tmp_path):
    async with World(firmware="", boot_ms=0) as world:
        board = world.add_board("b1")
        await world.wait_until(lambda: board.state == PROMPT)
        await enter_rom(world, board)
        board.flash.erase(APP_AT, SECTOR)
        board.reset()
        await world.wait_until(lambda: board.state == BOOT_LOOP)


@pytest.mark.parametrize(
    ("chip", "how", "problem"),
    [("esp32c6", {}, "no firmware for esp32c6"), ("esp8266", {"blank": True}, "no such chip")],
)
def test_boards_that_cannot_be(chip, how, problem):
    async def act(world):
        with pytest.raises(ValueError, match=problem):
            world.add_board("b1", chip, **how)

    in_world(act)
