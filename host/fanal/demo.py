"""One squeeze from end to end on the virtual bench, told as facts that were really observed.

The firmware runs on the real MicroPython interpreter; provisioning goes through a real mpremote;
what is heard comes from a real bleak scanner. Only the air, the flash and the force are virtual.
Every fact carries whether it was observed; the demo is good only if all of them were.
"""

import asyncio
import secrets
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fanal_protocol import advert
from fanal_protocol.line import FRESH, REPLAY

from fanal import fleet, provision, verify
from fanal.beacon_name import shown
from fanal.board_link import BoardLink
from fanal.firmware_image import locate
from fanal.keyring import Keyring
from fanal.listen import Recorder, first_keys
from fanal.registry import REGISTRY_FILE, Registry
from fanal.resolver import Resolver
from fanal.sighting import ALERT, TEST, Refusal, Sighting, SignatureVerified
from fanal.sim import clock, force, tape
from fanal.sim.air import Frame
from fanal.sim.chip import ASLEEP
from fanal.sim.ear import Ear
from fanal.sim.world import World
from fanal.story import Detail, Fact, Facts, Say, Scene

SITE, PLACE = "shelter-3", "room 12, under the desk"
_BATTERY_MV = 3900
_HOUR_S = 3600
# A short event, so that the next squeeze is a new one soon: two minutes, then over.
_SETTINGS = {"alert_s": 60, "event_s": 120}
_TOUCH_MV = 50
_BUMP_S = 30  # as long as the slowest of squeezes takes to be an alert
# What a pair of headphones nearby says; it shows that silence is not deafness.
_NEIGHBOUR = bytes.fromhex("0201060303fefe0a09686561647365742d31")
_NEIGHBOUR_EVERY_S = 0.25


def demo(folder: Path, say: Say) -> bool:
    """Play the story in `folder`, which must not exist or be empty; return whether all was so."""
    facts = Facts(say)
    clock.run_virtual(_play(folder, facts))
    return facts.are_all_so


async def _play(folder: Path, say: Say) -> None:
    async with World(folder / "bench", seed=7) as world:
        story = _Story(world, folder / "fleet", say)
        neighbour = asyncio.create_task(_neighbour(world))
        try:
            with world.at_pace():
                await story.prepare()
            await story.live()
        finally:
            neighbour.cancel()


async def _neighbour(world: World) -> None:
    address = tape.fresh_address(world.air)
    while True:
        tape.forge(world.air, _NEIGHBOUR, address)
        await asyncio.sleep(_NEIGHBOUR_EVERY_S)


class _Story:
    """The scenes, in order. `prepare` makes a beacon; `live` squeezes it."""

    def __init__(self, world: World, fleet_dir: Path, say: Say) -> None:
        self.world, self.fleet_dir, self.say = world, fleet_dir, say
        self.loop = asyncio.get_running_loop()
        self.tape: list[Frame] = []
        self.taped = 0  # how much of it is of event 1

    def fact(self, text: str, is_so: bool) -> None:
        self.say(Fact(text, bool(is_so)))

    # -- a beacon is made

    async def prepare(self) -> None:
        """A fleet, a board, its identity, the proof."""
        passphrase = secrets.token_urlsafe(12)
        self.say(Scene("The NGO creates its fleet"))
        made = await asyncio.to_thread(fleet.create, self.fleet_dir, passphrase)
        self.fact(f"{made.name}: keys sealed under a passphrase, station {made.station}", True)

        self.say(Scene("A technician plugs in a beacon"))
        board = self.board = self.world.add_board("beacon", "esp32c3")
        board.battery(_BATTERY_MV)
        self.world.air.tap(self._on_air)
        self.say(Detail(f"an ESP32-C3 at {board.port}, {board.flash.path.stat().st_size >> 20} MB "
                        "flash, the firmware on the real MicroPython interpreter"))  # fmt: skip
        self.registry = Registry(self.fleet_dir / REGISTRY_FILE)
        station = await asyncio.to_thread(self._unlock, passphrase)
        done = await asyncio.to_thread(self._provision, station)
        self.beacon_id = done.beacon_id
        self.fact(f"provisioned over its serial line by mpremote: {shown(done.beacon_id)}, "
                  f"{done.site}, {done.place}", done.changed)  # fmt: skip
        result = await asyncio.to_thread(self._verify)
        passed = sum(check.outcome == verify.OK for check in result.checks)
        self.fact(f"verified: {passed} of {len(result.checks)} checks ok (identity by challenge, "
                  "firmware hashes, vault, sensor, ...)", result.exit_code == 0)  # fmt: skip
        for check in result.checks:
            if check.outcome != verify.OK:
                self.say(Detail(f"{check.name}: {check.outcome}, {check.reason}"))
        roots = {station.number: station.root}
        resolver = Resolver(first_keys(self.registry.watched(), roots), self.registry.lines())
        self.ear = Ear(self.world, resolver, Recorder.into(self.registry))

    def _unlock(self, passphrase: str) -> Any:
        return Keyring.unlock(self.fleet_dir, passphrase).station()

    def _provision(self, station: Any) -> provision.Provisioned:
        with BoardLink(self.board.port) as link:
            return provision.provision(
                link, station, self.registry, provision.Request(SITE, PLACE, settings=_SETTINGS)
            )

    def _verify(self) -> verify.Verification:
        with BoardLink(self.board.port) as link:
            return verify.verify(link, self.registry, locate().manifest.files, version("fanal"))

    def _on_air(self, frame: Frame) -> None:
        if frame.data != _NEIGHBOUR:
            self.tape.append(frame)

    # -- it is squeezed

    async def live(self) -> None:
        """Silence, an alert, a power cut, a bump, a test, a replay, a forgery."""
        listening = asyncio.create_task(self.ear.run())
        try:
            await self._silence()
            await self._alert()
            await self._power_cut()
            await self._bump()
            await self._self_test()
            await self._attack()
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
            self.registry.close()

    async def _silence(self) -> None:
        self.say(Scene("Nobody squeezes it"))
        await self.world.wait_until(lambda: self.board.state == ASLEEP, timeout_s=300)
        adverts = self.ear.radio.counts["adverts"]
        with self.world.at_pace():
            await asyncio.sleep(2)
        heard = self.ear.radio.counts["adverts"] - adverts
        self.fact(
            f"the beacon sleeps and was silent since it was made: {len(self.tape)} of its packets "
            f"on air, while {heard} of a headset nearby were heard",
            not self.tape and heard > 0,
        )

    async def _alert(self) -> None:
        self.say(Scene("Somebody squeezes it and holds on"))
        squeezed_s = self.loop.time()
        with self.world.at_pace():
            self.board.squeeze(_without_lead(force.curve("hold")))
            alert = await self.ear.wait_for(squeezed_s, _is_fresh, 15)
            signed = await self.ear.wait_for(squeezed_s, _is_signature, 15)
        self.fact("an alert was heard, and its tag is right", alert is not None)
        if alert is None:
            return
        at_s, seen = alert
        first_s = next(f.t_ms for f in self.tape) / 1000 - squeezed_s
        self._explain(seen)
        self.fact("it says ALERT, hold, event 1, not a drill",
                  (seen.kind, seen.event, seen.drill) == (ALERT, 1, False))  # fmt: skip
        self.fact("signature complete and valid: the beacon itself made it", signed is not None)
        if signed is not None:
            self.say(Detail(
                f"seconds from the first touch, by the bench's clock: {first_s:.2f} to the first "
                f"packet (3 of them are the hold itself), {at_s - squeezed_s:.2f} to the verified "
                f"alert, {signed[0] - squeezed_s:.2f} to the verified signature"))  # fmt: skip

    def _explain(self, seen: Sighting) -> None:
        rssi = "unknown" if seen.rssi_dbm is None else f"{seen.rssi_dbm} dBm"
        at_least = "at least " if seen.resumed else ""
        self.say(Detail(
            f"{seen.kind}  {shown(seen.beacon_id)}  {SITE}, {PLACE}  event {seen.event}  "
            f"{'hold' if seen.activation else 'self-test'}"))  # fmt: skip
        self.say(Detail(
            f"squeezed {at_least}{seen.age_s} s before it was heard, battery "
            f"{seen.battery_mv / 1000:.2f} V, signal {rssi}"))  # fmt: skip

    async def _power_cut(self) -> None:
        self.say(Scene("Its battery falls out in the middle, and goes back in"))
        with self.world.at_pace():
            self.board.power_off()
            self.taped = len(self.tape)
            await asyncio.sleep(1)
            on_s = self.loop.time()
            self.board.power_on()
            came = await self.ear.wait_for(on_s, _is_fresh, 15)
        self.fact("it comes back as the next event, marked resumed",
                  came is not None and came[1].event == 2 and came[1].resumed)  # fmt: skip
        if came is not None:
            self._explain(came[1])

    async def _bump(self) -> None:
        self.say(Scene("An hour later the event is over; the beacon is bumped"))
        await self.world.wait_until(lambda: self.board.state == ASLEEP, timeout_s=2 * _HOUR_S)
        await self.world.run_for(_HOUR_S + 600)
        before = len(self.tape)
        with self.world.at_pace():
            self.board.squeeze("bump")
            await asyncio.sleep(1)
        await self.world.run_for(_BUMP_S)
        sent = len(self.tape) - before
        self.fact(f"an accidental bump does nothing: {sent} packets", sent == 0)

    async def _self_test(self) -> None:
        self.say(Scene("A technician squeezes the self-test pattern"))
        began_s = self.loop.time()
        with self.world.at_pace():
            self.board.squeeze("self-test")
            came = await self.ear.wait_for(began_s, _is_fresh, 30)
        self.fact("it shows as TEST, and alarms nobody",
                  came is not None and came[1].kind == TEST)  # fmt: skip
        if came is not None:
            self._explain(came[1])

    async def _attack(self) -> None:
        self.say(Scene("An hour later somebody replays what they recorded, and forges"))
        await self.world.run_for(_HOUR_S)
        recorded = [f for f in self.tape[self.taped :] if len(advert.unwrap(f.data)) == 23]
        began_s = self.loop.time()
        with self.world.at_pace():
            await tape.replay(self.world.air, recorded[:1])
            replayed = await self.ear.wait_for(began_s, lambda e: isinstance(e, Sighting), 5)
            self.fact("the recorded packet of event 2 is named replay and raises nothing",
                      replayed is not None and replayed[1].verdict == REPLAY)  # fmt: skip
            tape.forge(self.world.air, _forged(recorded[0]))
            forged = await self.ear.wait_for(began_s, lambda e: isinstance(e, Refusal), 5)
        self.fact("the forged packet is named unknown and raises nothing",
                  forged is not None and forged[1].reason == "unknown")  # fmt: skip
        raised = [s for s in self.ear.since(began_s, Sighting) if s.verdict != REPLAY]
        self.fact("nothing was raised by either", not raised)


def _without_lead(curve: force.Curve) -> force.Curve:
    """Return a force curve from its first touch on."""
    first_ms = next(t_ms for t_ms, mv in curve if mv > _TOUCH_MV)
    return [(t_ms - first_ms, mv) for t_ms, mv in curve if t_ms >= first_ms]


def _is_fresh(event: Any) -> bool:
    return isinstance(event, Sighting) and event.verdict == FRESH


def _is_signature(event: Any) -> bool:
    return isinstance(event, SignatureVerified)


def _forged(frame: Frame) -> bytes:
    """Return what somebody without keys can make: the right form, an identifier of nobody's."""
    payload = bytearray(advert.unwrap(frame.data))
    payload[1:9] = secrets.token_bytes(8)
    return bytes(advert.wrap(bytes(payload)))
