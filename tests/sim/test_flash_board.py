"""`fanal flash` on the model of the ROM: every state that a board can come in, and be left in."""

import asyncio

import pytest

pytest.importorskip("bumble", reason="needs the extra `sim`")

from fanal.chips import CHIPS
from fanal.error import FanalError
from fanal.flash_plan import OneImage
from fanal.partition_table import VAULT
from fanal.sim.chip import BOOT_LOOP
from fanal.sim.world import World

from tests.sim.sitting import PaperImages, flashed, is_ready, provisioned, status, vault

pytestmark = [pytest.mark.sim, pytest.mark.usefixtures("impatient")]


@pytest.mark.parametrize("chip", ["esp32", "esp32c3", "esp32s3"])
async def test_a_blank_board_becomes_a_beacon_and_is_then_left_alone(world, fleet, chip):
    board = world.add_board("b1", chip, blank=True)
    first = await flashed(board)
    assert (first.chip, first.image_written) == (chip, True)
    assert first.mac == board.identity.mac.hex(":")
    before = board.flash_bytes()
    again = await flashed(board)
    assert (again.changed, again.mac) == (False, first.mac)
    assert board.flash_bytes() == before
    await is_ready(board, fleet)


async def test_a_board_with_micropython_as_published(world, fleet):
    board = world.add_board("b1", stock=True)
    assert (await flashed(board)).image_written
    await is_ready(board, fleet)


async def test_a_file_system_where_the_vault_goes_is_no_spoiled_vault(world, fleet):
    board = world.add_board("b1", stock=True)
    board.flash.program(VAULT.address, bytes(range(256)) * 64)
    await flashed(board)
    await is_ready(board, fleet)


async def test_a_beacon_in_service_is_updated_and_keeps_its_keys(world, fleet):
    board = world.add_board("b1")
    known = await provisioned(board, fleet)
    keys = vault(board)
    done = await flashed(board, PaperImages("v1.28.1", seed=1))
    assert (done.image_written, done.micropython) == (True, "1.28.1")
    assert done.beacon_id == known.beacon_id
    assert vault(board) == keys
    answer = await status(board)
    assert (answer["id"], answer["provisioned"]) == (known.beacon_id, True)


async def test_another_build_of_the_same_version_is_another_image(world):
    board = world.add_board("b1")
    assert not (await flashed(board)).changed
    assert (await flashed(board, PaperImages(seed=7))).image_written


async def test_only_files_that_differ_are_written(world):
    board = world.add_board("b1")
    await spoil(board, "import os; os.remove('/main.py')\n"
                       "for name in ('life.mpy', 'life.py', 'life.mpy.new'):\n"
                       "    with open('/lib/beacon/' + name, 'w') as file:\n"
                       "        file.write('x')")  # fmt: skip
    done = await flashed(board)
    assert (done.written, done.removed) == (
        ("lib/beacon/life.mpy", "main.py"), ("lib/beacon/life.mpy.new", "lib/beacon/life.py")
    )  # fmt: skip
    assert not done.image_written


async def spoil(board, code):
    from fanal.repl import Repl

    def act():
        with Repl(board.port) as repl:
            repl.run(code)

    await asyncio.to_thread(act)


@pytest.mark.parametrize(
    "boot", ["import machine; machine.reset()", "while True:\n    try:\n        1/0\n"
             "    except BaseException:\n        pass"],
)  # fmt: skip
async def test_a_board_that_cannot_be_talked_to_is_rescued_and_keeps_its_keys(world, fleet, boot):
    board = world.add_board("b1")
    known = await provisioned(board, fleet)
    keys = vault(board)
    await spoil(board, f"with open('/boot.py','w') as file: file.write({boot!r})")
    done = await flashed(board)
    assert done.beacon_id == known.beacon_id
    assert vault(board) == keys
    again = await provisioned(board, fleet)
    assert again.beacon_id == known.beacon_id


@pytest.mark.parametrize("address", [0x0, 0x8000, 0x10000, 0x12000])
async def test_half_an_image_is_made_whole_and_no_key_is_lost(world, fleet, address):
    board = world.add_board("b1")
    known = await provisioned(board, fleet)
    keys = vault(board)
    board.flash.erase(address, 0x1000)
    board.reset()
    await world.wait_until(lambda: board.state == BOOT_LOOP)
    done = await flashed(board)
    assert (done.image_written, done.beacon_id) == (True, known.beacon_id)
    assert vault(board) == keys


async def test_a_beacon_that_sleeps_is_woken_by_the_reset(world, fleet):
    board = world.add_board("b1")
    known = await provisioned(board, fleet)
    await world.wait_until(lambda: board.state == "running")
    board.fall_asleep()
    done = await flashed(board)
    assert (done.image_written, done.beacon_id) == (False, known.beacon_id)


async def test_a_beacon_in_an_event_is_not_disturbed(world, fleet):
    board = world.add_board("b1")
    await provisioned(board, fleet)
    await world.wait_until(lambda: board.state == "running")
    board.squeeze("hold")
    await world.wait_until(lambda: world.air.frames > 0, timeout_s=30)
    before = board.flash_bytes()[: VAULT.address]
    with pytest.raises(FanalError) as caught:
        await flashed(board)
    assert caught.value.code == "in_event"
    frames = world.air.frames
    await world.wait_until(lambda: world.air.frames > frames, timeout_s=30)
    assert board.flash_bytes()[: VAULT.address] == before


async def test_a_port_of_the_chips_own_goes_and_comes_with_each_start(world, fleet):
    """As a native USB port does when it is enumerated again."""
    board = world.add_board("b1", blank=True)
    boot = board.boot

    def enumerate_again(cause, wake_reason=0):
        boot(cause, wake_reason)
        if not board.straps.is_download:
            board.unplug()
            board.loop.call_later(0.8, board.plug)

    board.boot = enumerate_again
    assert (await flashed(board)).image_written
    await world.wait_until(lambda: board.is_plugged)
    assert not (await flashed(board)).changed


async def test_a_file_system_of_garbage_is_made_anew_and_no_key_is_lost(world, fleet):
    board = world.add_board("b1")
    known = await provisioned(board, fleet)
    keys = vault(board)
    board.power_off()
    board.flash.program(VAULT.end, bytes(0x10000))
    board.power_on()
    done = await flashed(board)
    assert done.beacon_id == known.beacon_id
    assert vault(board) == keys
    again = await provisioned(board, fleet)
    assert again.beacon_id == known.beacon_id


# -- what is refused before anything is erased


async def test_an_image_for_another_chip(world):
    for board in (world.add_board("b1", blank=True), world.add_board("b2")):
        before = board.flash_bytes()
        other = OneImage(PaperImages().for_chip(CHIPS["esp32s3"]))
        with pytest.raises(FanalError) as caught:
            await flashed(board, other)
        assert (caught.value.code, caught.value.exit_code) == ("wrong_chip", 3)
        assert board.flash_bytes() == before


async def test_a_chip_that_fanal_has_no_pins_for(world):
    board = world.add_board("b1", "esp32c6", blank=True)
    with pytest.raises(FanalError) as caught:
        await flashed(board)
    assert (caught.value.code, caught.value.exit_code) == ("unsupported", 3)
    assert set(board.flash_bytes()) == {0xFF}


async def test_nobody_presses_the_button_until_the_hint_says_so(monkeypatch):
    monkeypatch.setenv("ESPTOOL_CONNECT_ATTEMPTS", "1")
    async with World() as world:
        board = world.add_board("b1", blank=True)
        with pytest.raises(FanalError) as caught:
            await flashed(board)
        assert (caught.value.code, caught.value.exit_code) == ("no_rom", 3)
        assert "BOOT" in caught.value.hint
        board.strap(True)
        board.reset()
        task = asyncio.create_task(flashed(board))
        await world.wait_until(lambda: board.flash.operations > 10 or task.done(), timeout_s=30)
        board.strap(False)
        await world.wait_until(lambda: not board.is_open, timeout_s=30)
        board.reset()  # nothing else starts what was written
        assert (await task).image_written
