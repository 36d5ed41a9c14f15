"""A virtual board at the end of a real serial line, and the real mpremote in between."""

import asyncio
import json
import sys

import pytest
from fanal.beacon_name import shown
from fanal.board_link import BoardLink
from fanal.error import BoardLost, FanalError
from fanal.firmware_image import locate
from fanal.provision import Request, provision
from fanal.registry import REGISTRY_FILE, RETIRED, Registry
from fanal.verify import OK, verify
from fanal_protocol import keys

from tests.unit.paper_fleet import PaperFleet

pytest.importorskip("bumble", reason="needs the extra `sim`")

from fanal.sim.flash import Cut
from fanal.sim.world import World

pytestmark = pytest.mark.sim

REQUEST = Request("shelter-3", "room 12")
PASSPHRASE = "correct horse battery staple"


@pytest.fixture
async def world():
    async with World() as world:
        yield world


@pytest.fixture
async def board(world):
    return world.add_board("north")


def link(board, **patience):
    return BoardLink(board.port, **{"attach_s": 10.0, "answer_s": 20.0, **patience})


async def attached(board, act, **patience):
    """Run act(link) in a thread, as a command would run beside the board."""

    def work():
        with link(board, **patience) as wire:
            return act(wire)

    return await asyncio.to_thread(work)


async def provisioned(board, fleet, request=REQUEST, **patience):
    def give(wire):
        return provision(wire, fleet.station, fleet.registry, request)

    return await attached(board, give, **patience)


async def fanal(world, folder, *args):
    return await world.run_client(
        sys.executable, "-m", "fanal", "--fleet", str(folder), *args
    )  # fmt: skip


async def test_the_story_of_a_technician(world, board, tmp_path, monkeypatch):
    monkeypatch.setenv("FANAL_PASSPHRASE", PASSPHRASE)
    folder = tmp_path / "fleet"
    made = await fanal(world, folder, "fleet", "init")
    assert made.exit_code == 0, made.output
    port = ("--port", board.port)
    for word in ("Provisioned", "Already provisioned, nothing changed"):
        done = await fanal(world, folder, "provision", "--site", "shelter-3", *port)
        assert done.exit_code == 0, done.output
        assert f"{word}: " in done.output
    checked = await fanal(world, folder, "verify", "--json", *port)
    result = json.loads(checked.output.splitlines()[-1])
    assert [row for row in result["checks"] if row["outcome"] != OK] == []
    assert checked.exit_code == 0
    listed = await fanal(world, folder, "list")
    assert shown(result["beacon_id"]) in listed.output
    assert "verified" in listed.output
    drill = await fanal(world, folder, "drill", "--minutes", "5", *port)
    assert drill.exit_code == 0, drill.output
    with Registry(folder / REGISTRY_FILE) as registry:
        assert [b.site for b in registry.beacons()] == ["shelter-3"]


async def test_a_beacon_that_was_handed_back_is_on_guard(world, board, fleet):
    await provisioned(board, fleet)
    with pytest.raises(ZeroDivisionError):
        await attached(board, lambda _: 1 / 0)
    frames = world.air.frames
    await world.wait_until(lambda: board.state == "running", timeout_s=10)
    board.squeeze("hold")
    await world.wait_until(lambda: world.air.frames > frames, timeout_s=30)


async def test_an_event_is_not_disturbed_for_an_identity(world, board, fleet):
    await provisioned(board, fleet)
    await world.wait_until(lambda: board.state == "running", timeout_s=10)
    board.squeeze("hold")
    await world.wait_until(lambda: world.air.frames > 0, timeout_s=30)
    with pytest.raises(FanalError) as caught:
        await provisioned(board, fleet)
    assert caught.value.code == "in_event"
    frames = world.air.frames
    await world.wait_until(lambda: world.air.frames > frames, timeout_s=30)


# flash operations of the two commits: the new identity, and the first event key
@pytest.mark.parametrize(
    ("operation", "where"), [(0, "before"), (1, "inside"), (3, "inside"), (5, "before")]
)
async def test_a_cut_of_power_while_it_is_provisioned(board, fleet, operation, where):
    board.cut(Cut(operation, where, 7))
    with pytest.raises(BoardLost):
        await provisioned(board, fleet, answer_s=1.0)
    board.cut(None)
    board.power_on()
    done = await provisioned(board, fleet)
    assert [b.beacon_id for b in fleet.registry.watched()] == [done.beacon_id]
    result = await attached(
        board, lambda wire: verify(wire, fleet.registry, locate().manifest.files, "0.1.0")
    )
    assert {row.name: row.outcome for row in result.checks}["identity"] == OK


KILLED = """
import sys
from fanal.board_link import BoardLink
with BoardLink(sys.argv[1]) as board:
    board.call("create_identity")
    print("made", flush=True)
    while True:
        board.call("self_test")
"""


async def test_a_command_that_is_killed_leaves_a_board_that_can_be_attached(board, fleet):
    doomed = await asyncio.create_subprocess_exec(
        sys.executable, "-c", KILLED, board.port, stdout=asyncio.subprocess.PIPE
    )
    assert await doomed.stdout.readline() == b"made\n"
    doomed.kill()
    await doomed.wait()
    await provisioned(board, fleet)


async def test_an_erased_board_gets_another_identity(board, fleet):
    first = await provisioned(board, fleet)
    second = await provisioned(board, fleet, Request("depot", wipe=first.beacon_id))
    assert second.beacon_id != first.beacon_id
    assert fleet.registry.find(first.beacon_id).state == RETIRED
    first_key = keys.first_event_key(fleet.station.root, first.public_key)
    assert first_key not in board.flash_bytes()


async def test_a_board_of_another_fleet(board, fleet, tmp_path):
    await provisioned(board, PaperFleet(tmp_path, 90))
    with pytest.raises(FanalError) as caught:
        await provisioned(board, fleet)
    assert caught.value.code == "foreign"
    assert fleet.registry.beacons() == []


async def test_two_commands_on_one_port(world, board, tmp_path):
    PaperFleet(tmp_path).path.rename(tmp_path / REGISTRY_FILE)

    def second(_):
        return asyncio.run_coroutine_threadsafe(
            fanal(world, tmp_path, "verify", "--port", board.port), board.loop
        ).result()

    done = await attached(board, second)
    assert done.exit_code == 7
    assert f"{board.port} is in use by" in done.output


async def test_a_board_without_fanal(fleet):
    async with World(firmware="") as world:
        board = world.add_board("blank")
        with pytest.raises(BoardLost) as caught:
            await provisioned(board, fleet)
    assert caught.value.code == "not_fanal"


async def test_a_board_without_power(board, fleet):
    board.power_off()
    with pytest.raises(BoardLost) as caught:
        await provisioned(board, fleet, attach_s=0.5)
    assert caught.value.code == "no_answer"
