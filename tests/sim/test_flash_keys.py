"""`fanal flash` on boards whose keys are not where it would leave them, and on the wrong board."""

import asyncio
import os

import pytest

pytest.importorskip("bumble", reason="needs the extra `sim`")

from fanal import firmware_image, flash
from fanal.error import FanalError
from fanal.flash import Plan, Progress
from fanal.install import install
from fanal.repl import Repl
from fanal.sim.world import World

from tests.sim.sitting import PaperImages, flashed, provisioned, status
from tests.unit.paper_fleet import PaperFleet

pytestmark = pytest.mark.sim


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """A virtual board starts at once or never."""
    monkeypatch.setattr(flash, "_BOOT_S", 3.0)


@pytest.fixture
async def world():
    async with World(hands=True) as world:
        yield world


@pytest.fixture
def fleet(tmp_path):
    fleet = PaperFleet(tmp_path)
    yield fleet
    fleet.registry.close()


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


async def test_a_board_that_came_in_the_place_of_one_that_does_not_start(world, fleet, tmp_path):
    """It sleeps, so that nothing but its chip can tell who it is."""
    silent, beacon = world.add_board("b1", blank=True), world.add_board("b2")
    await provisioned(beacon, fleet)
    await world.wait_until(lambda: beacon.state == "running")
    beacon.fall_asleep()
    before = beacon.flash_bytes()
    port = tmp_path / "port"
    port.symlink_to(os.readlink(silent.port))

    def step(text):
        if text == "Waiting for its first start":
            port.unlink()
            port.symlink_to(os.readlink(beacon.port))

    with pytest.raises(FanalError) as caught:
        await asyncio.to_thread(
            flash.flash, str(port), PaperImages(), firmware_image.locate(), Plan(),
            Progress(step=step),
        )  # fmt: skip
    assert caught.value.code == "other_board"
    assert beacon.flash_bytes() == before
