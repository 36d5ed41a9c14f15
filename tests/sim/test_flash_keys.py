"""`fanal flash` on boards whose keys are not where it would leave them, and on the wrong board."""

import asyncio
import os
from pathlib import Path

import pytest

pytest.importorskip("bumble", reason="needs the extra `sim`")

from fanal import firmware_image, flash
from fanal.error import FanalError
from fanal.flash_plan import Plan, Progress
from fanal.install import install
from fanal.partition_table import VAULT
from fanal.repl import Repl
from fanal.vault_place import RECORD_BEGINS

from tests.sim.sitting import PaperImages, flashed, provisioned, status, vault

pytestmark = [pytest.mark.sim, pytest.mark.usefixtures("impatient")]


async def with_firmware(board):
    """Copy the firmware onto MicroPython as published: such a board has no vault partition."""

    def copy():
        with Repl(board.port) as repl:
            install(repl, firmware_image.locate())

    await asyncio.to_thread(copy)


@pytest.mark.parametrize("is_asleep", [False, True])
async def test_keys_in_a_file_are_not_flashed_away(world, fleet, is_asleep):
    board = world.add_board("b1", stock=True)
    await with_firmware(board)
    known = await provisioned(board, fleet)
    if is_asleep:
        await world.wait_until(lambda: board.state == "running")
        board.fall_asleep()
    for again in (False, True):
        with pytest.raises(FanalError) as caught:
            await flashed(board, again=again)
        assert (caught.value.code, caught.value.exit_code) == ("layout", 3)
        assert "retire" in caught.value.hint
    answer = await status(board)
    assert (answer["id"], answer["provisioned"]) == (known.beacon_id, True)


async def test_no_keys_in_a_file_are_no_reason(world, fleet):
    board = world.add_board("b1", stock=True)
    await with_firmware(board)
    assert (await flashed(board)).image_written
    assert (await status(board))["vault"] == "partition"


async def swapped(folder, board, other, at_step):
    """Flash a board whose place another takes at a step; return what stopped it."""
    port = folder / "port"
    port.symlink_to(os.readlink(board.port))

    def step(text):
        if text == at_step:
            port.unlink()
            port.symlink_to(os.readlink(other.port))

    with pytest.raises(FanalError) as caught:
        await asyncio.to_thread(
            flash.flash, str(port), PaperImages(), firmware_image.locate(), Plan(),
            Progress(step=step),
        )  # fmt: skip
    return caught.value


async def test_a_board_that_came_in_the_place_of_one_that_does_not_start(world, fleet, tmp_path):
    """It sleeps, so that nothing but its chip can tell who it is."""
    silent, beacon = world.add_board("b1", blank=True), world.add_board("b2")
    await provisioned(beacon, fleet)
    await world.wait_until(lambda: beacon.state == "running")
    beacon.fall_asleep()
    before = beacon.flash_bytes()
    problem = await swapped(tmp_path, silent, beacon, "Waiting for its first start")
    assert problem.code == "other_board"
    assert beacon.flash_bytes() == before


async def test_a_beacon_that_came_in_the_place_of_a_board_without_a_vault(world, fleet, tmp_path):
    """Between reading and writing nobody can look; so nothing that could be a key is written."""
    stock, beacon = world.add_board("b1", stock=True), world.add_board("b2")
    known = await provisioned(beacon, fleet)
    keys = vault(beacon)
    problem = await swapped(tmp_path, stock, beacon, "Writing MicroPython")
    assert problem.code == "other_board"
    assert vault(beacon) == keys
    assert (await status(beacon))["id"] == known.beacon_id


async def test_a_vault_that_cannot_be_read_is_left_for_a_person_to_decide(world, fleet):
    board = world.add_board("b1")
    await provisioned(board, fleet)
    record = vault(board).index(RECORD_BEGINS)
    board.power_off()
    board.flash.program(VAULT.address + record + 20, bytes(8))
    board.power_on()
    spoiled = vault(board)
    for again in (False, True):
        await flashed(board, again=again)
        assert vault(board) == spoiled
    assert "vault_corrupt" in (await status(board))["faults"]


def test_a_record_begins_as_the_firmware_writes_it():
    source = Path(firmware_image.__file__).parents[2] / "firmware" / "beacon" / "vault.py"
    assert f"_MAGIC = {RECORD_BEGINS!r}".replace("'", '"') in source.read_text()
