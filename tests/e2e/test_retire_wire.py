"""Retiring through the real wire: the keys leave the flash, whatever happens in between."""

import asyncio
import json
import sys

import pytest
from fanal.board_link import BoardLink
from fanal.error import BoardLost, FanalError
from fanal.provision import Request, provision
from fanal.registry import REGISTRY_FILE, RETIRED, Registry
from fanal.retire import retire
from fanal.status import read_status
from fanal_protocol import keys

from tests.unit.paper_fleet import PaperFleet

pytest.importorskip("bumble", reason="needs the extra `sim`")

from fanal.sim.flash import Cut
from fanal.sim.world import World

pytestmark = pytest.mark.sim


@pytest.fixture
async def world():
    async with World() as world:
        yield world


@pytest.fixture
async def board(world):
    return world.add_board("north")


@pytest.fixture
def fleet(tmp_path):
    fleet = PaperFleet(tmp_path)
    fleet.path.rename(tmp_path / REGISTRY_FILE)
    fleet.registry.close()
    fleet.registry = Registry(tmp_path / REGISTRY_FILE)
    yield fleet
    fleet.registry.close()


async def attached(board, act, answer_s=20.0):
    """Run act(link) in a thread, as a command would run beside the board."""

    def work():
        with BoardLink(board.port, attach_s=10.0, answer_s=answer_s) as wire:
            return act(wire)

    return await asyncio.to_thread(work)


async def made(board, fleet):
    """Give the board an identity; return its id, and its event key."""
    done = await attached(
        board, lambda wire: provision(wire, fleet.station, fleet.registry, Request("shelter-3"))
    )
    key = keys.first_event_key(fleet.station.root, done.public_key)
    assert key in board.flash_bytes()
    return done.beacon_id, key


async def fanal(world, folder, *args):
    return await world.run_client(sys.executable, "-m", "fanal", "--fleet", str(folder), *args)


async def test_its_keys_leave_the_flash_and_it_gets_others(world, board, fleet, tmp_path):
    beacon_id, key = await made(board, fleet)
    label = f"{beacon_id[:4]}-{beacon_id[4:]}".lower()
    args = ("retire", label, "--yes", "--json", "--port", board.port)
    for changed in (True, False):
        done = await fanal(world, tmp_path, *args)
        assert done.exit_code == 0, done.output
        (told,) = [line for line in done.output.splitlines() if line.startswith("{")]
        assert json.loads(told)["changed"] is changed
    assert key not in board.flash_bytes()
    assert fleet.registry.find(beacon_id).state == RETIRED
    told = await fanal(world, tmp_path, "history", label)
    assert "retired" in told.output
    new_id, _ = await made(board, fleet)
    assert new_id != beacon_id


# flash operations of the record that says "nothing is here", and of the erasing of the one before
@pytest.mark.parametrize(("operation", "where"), [(0, "inside"), (2, "before"), (2, "inside")])
async def test_a_cut_of_power_while_it_is_erased(board, fleet, operation, where):
    beacon_id, key = await made(board, fleet)

    def cut_short(wire):
        return retire(wire, fleet.registry, None, sure=lambda _: board.cut(Cut(operation, where)))

    with pytest.raises(BoardLost):
        await attached(board, cut_short, answer_s=1.0)
    assert fleet.registry.find(beacon_id).state != RETIRED
    board.cut(None)
    board.power_on()
    done = await attached(board, lambda wire: retire(wire, fleet.registry, None))
    assert (done.beacon_id, done.is_erased, done.changed) == (beacon_id, True, True)
    assert key not in board.flash_bytes()
    assert fleet.registry.find(beacon_id).state == RETIRED


async def test_an_event_goes_on_unless_it_is_meant(world, board, fleet):
    beacon_id, key = await made(board, fleet)
    await world.wait_until(lambda: board.state == "running", timeout_s=10)
    board.squeeze("hold")
    await world.wait_until(lambda: world.air.frames > 0, timeout_s=30)
    with pytest.raises(FanalError) as caught:
        await attached(board, lambda wire: retire(wire, fleet.registry, None))
    assert caught.value.code == "in_event"
    frames = world.air.frames
    await world.wait_until(lambda: world.air.frames > frames, timeout_s=30)
    done = await attached(board, lambda wire: retire(wire, fleet.registry, None, force=True))
    assert (done.beacon_id, done.is_erased) == (beacon_id, True)
    second = keys.next_event_key(key)
    assert second not in board.flash_bytes()
    frames = world.air.frames
    await world.wait_until(lambda: board.state == "running", timeout_s=10)
    status = await attached(board, read_status)
    assert (status.event, status.is_provisioned) == (None, False)
    assert world.air.frames == frames
