"""The real bleak over a real BlueZ over a real kernel; only the controller is virtual."""

import asyncio
import json
from collections import Counter

import pytest
from fanal.sim.chip import ASLEEP

from tests.bluez.sender import Sender, kind
from tests.unit.paper_beacon import PaperBeacon

pytestmark = pytest.mark.asyncio(loop_scope="session")

START_S = 240  # for Python, bleak and a passphrase, where the processor is emulated
HEARD_S = 60
# sooner than the 30 s of silence after which a scan is doubted in any case
NOTICED_S = 20


class Ears:
    """Bleak's scanner in the machine: what it called back with."""

    def __init__(self, program):
        self._program = program

    @classmethod
    async def open(cls, laptop, how):
        program = await laptop.script("ears.py", how)
        await program.wait_until(lambda it: it.out, START_S)
        return cls(program)

    async def close(self):
        await self._program.stop()

    def heard(self):
        """Return (address, payload) of each callback with a frame of ours."""
        calls = [json.loads(line) for line in self._program.out[1:]]
        return [(it["address"], bytes.fromhex(it["payload"])) for it in calls if it["payload"]]

    def rssi(self):
        return [json.loads(line)["rssi"] for line in self._program.out[1:]]


async def sent_to(laptop, world, how, units):
    """Return the sender and the ears after so many units of 2 s."""
    ears = await Ears.open(laptop, how)
    sender = Sender(world.air, PaperBeacon())
    await sender.send(units)
    await asyncio.sleep(1)  # what is on its way
    await ears.close()
    return sender, ears


def addresses(frames):
    return list(dict.fromkeys(address for address, _ in frames))


async def test_a_fresh_address_for_each_unit_brings_every_kind_through(laptop, world):
    sender, ears = await sent_to(laptop, world, "active", 18)
    heard = ears.heard()
    assert addresses(heard) == addresses(sender.sent), "of each unit something, in order"
    assert set(heard) <= set(sender.sent), "byte by byte, each from its own address"
    kinds = Counter(kind(payload) for _, payload in heard)
    assert set(kinds) == {"alert", "signature", "crumb"}
    # one of an address, and one more after each of the scan's own restarts
    assert len(heard) < 2 * len(addresses(heard))
    assert all(-105 <= rssi <= -20 for rssi in ears.rssi())


async def test_duplicate_data_changes_nothing(laptop, world):
    _, ears = await sent_to(laptop, world, "duplicates", 5)
    assert len(ears.heard()) < 10


async def test_a_filter_that_looks_at_the_data_lets_two_of_an_address_through(
    laptop, world, hearing
):
    hearing.filters_by_data = True
    sender, ears = await sent_to(laptop, world, "active", 5)
    assert addresses(ears.heard()) == addresses(sender.sent)
    # of the last unit one may still wait for the next frame; the scan may have restarted in one
    assert 9 <= len(ears.heard()) < 15


async def test_a_passive_scan_brings_every_frame(laptop, world):
    await laptop.kill_service()
    await laptop.start_service("--experimental")
    sender, ears = await sent_to(laptop, world, "passive", 5)
    assert set(ears.heard()) == set(sender.sent)


class Listener:
    """`fanal listen --bundle` in the machine; `states` are the kinds that it said, in order."""

    def __init__(self, program):
        self.program = program

    @classmethod
    async def start(cls, laptop):
        return cls(await laptop.fanal("listen", "--bundle", "/shared/bundle", "--jsonl"))

    def radio(self):
        return [json.loads(line)["radio"] for line in self.program.out]

    def warnings(self):
        return " ".join(json.loads(self.program.out[-1])["warnings"])

    async def becomes(self, state, timeout_s=START_S):
        await self.program.wait_until(lambda _: self.radio()[-1:] == [state], timeout_s)


async def hears_again(listener, door, world):
    """The listener says so, and what is sent from now on comes through the door."""
    await listener.becomes("hearing")
    sender = Sender(world.air, PaperBeacon())
    sending = asyncio.create_task(sender.send(30, event=len(door.deliveries) + 1))
    alerts = lambda door: set(door.payloads()) & {p for _, p in sender.sent if kind(p) == "alert"}  # noqa: E731
    try:
        await door.wait_until(alerts, HEARD_S)
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


async def test_a_volunteers_listener_delivers_and_lives_through_what_bluetooth_does(
    laptop, world, door
):
    listener = await Listener.start(laptop)
    await hears_again(listener, door, world)
    assert not any(payload in raw for raw in door.raw for payload in door.payloads())

    await laptop.kill_service()
    await listener.becomes("deaf", NOTICED_S)
    assert "service does not answer" in listener.warnings()
    await laptop.start_service()
    await hears_again(listener, door, world)

    await laptop.unplug()
    await listener.becomes("deaf", NOTICED_S)
    assert "No Bluetooth adapters" in listener.warnings()
    await laptop.plug_in()
    await hears_again(listener, door, world)

    await laptop.power("off")
    await listener.becomes("deaf", NOTICED_S)
    assert "No powered" in listener.warnings()
    await laptop.power("on")
    await hears_again(listener, door, world)

    assert await listener.program.stop() == 0
    assert [one.postmark.health.radio for one in door.deliveries].count("deaf") >= 1


async def test_a_service_that_is_restarted_at_once_is_noticed(laptop, world, door):
    listener = await Listener.start(laptop)
    await listener.becomes("hearing")
    await laptop.kill_service()
    await laptop.start_service()
    await hears_again(listener, door, world)
    assert await listener.program.stop() == 0


async def test_the_whole_command_from_a_squeeze_to_a_signature(laptop, world, beacon):
    await world.wait_until(lambda: beacon.state == ASLEEP, START_S)
    await laptop.machine.run("cp", "-r", "/shared/fleet", "/root/fleet")
    program = await laptop.fanal(
        "--fleet", "/root/fleet", "listen", "--jsonl", "--until", "signature",
        "--passphrase-file", "/shared/passphrase",
    )  # fmt: skip
    await program.wait_until(lambda it: '"hearing"' in "".join(it.out), START_S)
    beacon.squeeze("hold")
    assert await program.ended(HEARD_S) == 0
    events = [json.loads(line) for line in program.out]
    signature = next(event for event in events if event["type"] == "signature")
    assert (signature["beacon_id"], signature["event"]) == (beacon.id, 1)
    sighting = next(event for event in events if event["type"] == "sighting")
    assert (sighting["kind"], sighting["verdict"], sighting["battery_mv"]) == (
        "ALERT", "fresh", 3900,
    )  # fmt: skip


async def test_a_listener_that_starts_before_bluetooth_does(laptop, world, door):
    await laptop.kill_service()
    listener = await Listener.start(laptop)
    await listener.becomes("deaf")
    assert "The Bluetooth service does not answer." in listener.warnings()
    await laptop.start_service()
    await hears_again(listener, door, world)
    assert await listener.program.stop() == 0
