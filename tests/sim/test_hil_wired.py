"""The hardware suite's rig for real boards, at a virtual one: RFC 2217, reset line, an air."""

import asyncio
import contextlib
import sys
from xml.etree import ElementTree

import pytest

pytest.importorskip("bumble", reason="needs the extra `sim`")

from fanal.sim import tape
from fanal.sim.world import World

from tests.hil.outcome import INFRA, INFRA_EXIT_CODE

pytestmark = [pytest.mark.sim, pytest.mark.timeout(120)]

NEIGHBOUR = bytes.fromhex("0201060303fefe0a09686561647365742d31")


async def neighbour(world):
    address = tape.fresh_address(world.air)
    while True:
        tape.forge(world.air, NEIGHBOUR, address)
        await asyncio.sleep(0.5)


async def suite(world, board, folder, *flags):
    """Run the suite at the board's URL, with the world's air as its radio; return what came."""
    junit = folder / "junit.xml"
    done = await world.run_client(
        sys.executable, "-m", "pytest", "tests/hil", "-q", "-p", "no:cacheprovider",
        "--beacon", board.url, "--radio", f"air:{world.air_address}",
        "--hil-state", str(folder / "state"), "--junitxml", str(junit), *flags,
    )  # fmt: skip
    cases = {case.get("name"): [child.tag for child in case if child.tag != "properties"]
             for case in ElementTree.parse(junit).getroot().iter("testcase")}  # fmt: skip
    return done, cases


async def test_its_reset_line_is_found_and_used_and_its_air_heard(tmp_path):
    async with World() as world:
        board = world.add_board("north")
        speaking = asyncio.create_task(neighbour(world))
        done, cases = await suite(world, board, tmp_path, "-k", "reset_opens")
        speaking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await speaking
    assert done.exit_code == 0, done.output
    assert list(cases.values()) == [[]], done.output


async def test_an_air_without_anybody_is_no_fault_of_the_beacon(tmp_path):
    async with World() as world:
        board = world.add_board("north")
        done, cases = await suite(
            world, board, tmp_path, "-k", "silent_before or first_packet_comes or known_answers"
        )
    assert done.exit_code == INFRA_EXIT_CODE, done.output
    assert sorted(cases.values()) == [[], ["error"], ["skipped"]]
    assert INFRA in done.output
    assert "hears no device" in done.output
