"""`fanal verify --air` from end to end: a virtual board, real mpremote, real bleak on its air."""

import asyncio
import json
import signal
import sys
from dataclasses import replace
from functools import partial
from xml.etree import ElementTree

import pytest

pytest.importorskip("bumble", reason="needs the extra `sim`")

from fanal.air_check import air_check
from fanal.board_link import BoardLink
from fanal.firmware_image import locate
from fanal.heard import ArrivalClock
from fanal.provision import Request, provision
from fanal.radio import Radio
from fanal.registry import PROVISIONED, REGISTRY_FILE, VERIFIED, Registry
from fanal.sim.air_scanner import scanner_backend
from fanal.sim.chip import ASLEEP, RUNNING
from fanal.sim.clock import run_virtual
from fanal.sim.world import World
from fanal.verify import FAIL, OK, verify

pytestmark = pytest.mark.sim

PASSPHRASE = "correct horse battery staple"


class Bench:
    """A board with an identity, in virtual time but while the cable is in use."""

    def __init__(self, world, fleet, chip, name="north"):
        self.world, self.fleet = world, fleet
        self.board = world.add_board(name, chip)

    async def wired(self, act):
        def work():
            with BoardLink(self.board.port) as link:
                return act(link)

        with self.world.at_pace():
            return await asyncio.to_thread(work)

    async def prepare(self):
        fleet = self.fleet
        await self.wired(lambda link: provision(link, fleet.station, fleet.registry, Request("x")))
        manifest = locate().manifest.files
        self.passed = await self.wired(
            partial(verify, registry=fleet.registry, manifest=manifest, version="0.1.0")
        )
        assert {row.outcome for row in self.passed.checks} == {OK}

    async def asleep(self):
        await self.world.wait_until(lambda: self.board.state == ASLEEP, 300)

    async def check(self, begin, next_event):
        seconds = asyncio.get_running_loop().time
        backend = scanner_backend(self.world.air_address)
        radio = Radio(backend=backend, now_ms=ArrivalClock(steady_s=seconds).now_ms)
        roots = {0: self.fleet.station.root}
        expected = replace(self.passed, next_event=next_event)
        work = air_check(expected, self.fleet.registry, roots, radio, begin)
        task = asyncio.create_task(work)
        await self.world.wait_until(task.done, 300)
        return task.result()

    async def squeeze(self, curve):
        await self.asleep()
        await self.world.run_for(15)  # the pattern begins with rest
        self.board.squeeze(curve)

    async def ask(self):
        self.board.reset()
        await self.wired(lambda link: link.call("begin_self_test"))


def failed(result):
    return {row.name for row in result.checks if row.outcome == FAIL}


@pytest.mark.parametrize("chip", ["esp32", "esp32c3", "esp32s3"])
def test_by_wire_by_hand_from_afar_and_a_hold(fleet, chip):
    async def live():
        async with World() as world:
            bench = Bench(world, fleet, chip)
            await bench.prepare()
            by_wire = await bench.check(bench.ask, 1)
            assert [r.name for r in by_wire.checks if r.outcome != OK] == [], by_wire
            assert by_wire.addresses == 10
            by_hand = await bench.check(partial(bench.squeeze, "self-test"), 2)
            assert [r.name for r in by_hand.checks if r.outcome != OK] == [], by_hand
            world.air.place(bench.board.identity.mac, 30)
            assert failed(await bench.check(bench.ask, 3)) == {"rssi"}
            held = await bench.check(partial(bench.squeeze, "hold"), 4)
            assert failed(held) == {"activation", "rssi"}
            return by_wire.first_alert_s

    assert run_virtual(live()) < 2
    assert fleet.registry.beacons()[0].newest_event == 4


def test_a_transmitter_that_is_mute_is_a_finding(fleet):
    async def live():
        async with World() as world:
            other, bench = Bench(world, fleet, "esp32", "south"), Bench(world, fleet, "esp32")
            for one in (other, bench):
                await one.prepare()

            async def ask_both():
                world.air.reception.loss = 1.0
                await bench.ask()
                await world.run_for(25)
                world.air.reception.loss = 0.0
                await other.ask()

            return await bench.check(ask_both, 1)

    result = run_virtual(live())
    assert failed(result) == {"heard"}
    assert "of another beacon" in result.checks[0].reason


async def fanal(world, folder, *args):
    command = (sys.executable, "-m", "fanal", "--fleet", str(folder), *args)
    return await world.run_client(*command)


async def made(world, board, folder):
    """Create a fleet and provision the board, as a technician does."""
    assert (await fanal(world, folder, "fleet", "init")).exit_code == 0
    given = await fanal(
        world, folder, "provision", "--site", "depot", "--set", "self_test_s=4",
        "--port", board.port,
    )  # fmt: skip
    assert given.exit_code == 0, given.output


async def test_the_command_and_its_interruption(tmp_path, monkeypatch):
    monkeypatch.setenv("FANAL_PASSPHRASE", PASSPHRASE)
    folder, junit = tmp_path / "fleet", tmp_path / "verify.xml"
    async with World() as world:
        board = world.add_board("north")
        await made(world, board, folder)
        on_air = ("verify", "--air", "--air-from", world.air_address, "--port", board.port)
        told = []
        asked_for = lambda _: '"n": 1' in board.console_text  # noqa: E731  and not begun yet
        on_its_air = lambda frames: world.air.frames > frames + 15  # noqa: E731
        for moment in (asked_for, on_its_air):
            board.reset()
            frames = world.air.frames
            doomed = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "fanal", "--fleet", str(folder), *on_air, "--trigger",
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            )  # fmt: skip
            await world.wait_until(partial(moment, frames), 60)
            doomed.send_signal(signal.SIGINT)
            output, _ = await doomed.communicate()
            told.append((doomed.returncode, output.decode()))
            # it was handed back: whatever it was asked for, it is on guard
            await world.wait_until(lambda: board.state == RUNNING, 10)
        assert told == [(130, "Interrupted.\n")] * 2
        with Registry(folder / REGISTRY_FILE) as registry:
            (beacon,) = registry.beacons()
            assert beacon.state == PROVISIONED
        board.reset()
        done = await fanal(world, folder, *on_air, "--trigger", "--json", "--junit", str(junit))
    assert done.exit_code == 0, done.output
    result = json.loads(done.output.splitlines()[-1])
    assert result["ok"]
    assert {row["outcome"] for row in result["checks"] + result["air"]["checks"]} == {OK}
    assert result["air"]["event"] == result["next_event"]
    suites = ElementTree.parse(junit).getroot().findall("testsuite")
    counts = [(s.get("name"), s.get("failures"), s.get("errors")) for s in suites]
    assert counts == [("wired", "0", "0"), ("air", "0", "0")]
    with Registry(folder / REGISTRY_FILE) as registry:
        (beacon,) = registry.beacons()
        assert (beacon.state, beacon.newest_event) == (VERIFIED, result["next_event"])
    told = done.output + junit.read_text()
    assert PASSPHRASE not in told
