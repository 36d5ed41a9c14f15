"""A listener's life over simulated time: what it hears, records, tells, and survives."""

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from bleak.exc import BleakError
from fanal.error import FanalError
from fanal.heard import Heard
from fanal.listen import NotRecorded, Recorder, first_keys, listen
from fanal.radio import DEAF, HEARING, QUIET, Radio, RadioState
from fanal.registry import Registry, Reservation
from fanal.resolver import Resolver
from fanal.sighting import (
    ALERT,
    DRILL,
    TEST,
    Refusal,
    Sighting,
    SignatureVerified,
)
from fanal_protocol.line import DUPLICATE, FRESH, REPLAY

from tests.unit.jumping_loop import run
from tests.unit.paper_beacon import T0, PaperBeacon, heard, lossy, one_per_address
from tests.unit.paper_fleet import PaperFleet
from tests.unit.paper_scanner import Scanner

HOUR_MS = 3600_000
FLEET_FILL = 7


@pytest.fixture(autouse=True)
def _clean_air() -> None:
    Scanner.reset()


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[PaperFleet]:
    fleet = PaperFleet(tmp_path, FLEET_FILL)
    yield fleet
    fleet.registry.close()


@pytest.fixture
def beacon(fleet: PaperFleet) -> PaperBeacon:
    return registered(fleet, 1)


def registered(fleet: PaperFleet, number: int) -> PaperBeacon:
    beacon = PaperBeacon(number, fleet.station.root)
    mac = f"02:00:00:00:00:{number:02x}"
    wanted = Reservation(beacon.id, beacon.public_key, mac, "esp32c3", 0, "shelter-3",
                         "room 12", "fixed")  # fmt: skip
    fleet.registry.reserve(wanted)
    return beacon


def now_ms() -> int:
    return T0 + round(1000 * (asyncio.get_running_loop().time() - 1000))


async def play(frames: Iterable[Heard]) -> None:
    """Put every frame on the air at its time."""
    for frame in frames:
        await asyncio.sleep(max(0, frame.t_ms - now_ms()) / 1000)
        Scanner.advertise(frame.payload, rssi=frame.rssi_dbm, address=frame.address)


def sit(fleet: PaperFleet, frames: Iterable[Heard], seconds: float, **more: Any) -> list[Any]:
    """Listen with the fleet's registry, from its stored lines, and return every event."""

    async def work() -> list[Any]:
        registry = fleet.registry
        roots = {0: fleet.station.root}
        resolver = Resolver(first_keys(registry.watched(), roots), registry.lines())
        radio = Radio(backend=Scanner, now_ms=now_ms)
        more.setdefault("record", Recorder(lambda seen: write(registry, seen)))
        found: list[Any] = []
        playing = asyncio.create_task(play(frames))
        try:
            async with asyncio.timeout(seconds), aclosing(listen(resolver, radio, **more)) as all_:
                async for event in all_:
                    found.append(event)
        except TimeoutError:
            pass
        assert playing.done()
        playing.result()
        return found

    found: list[Any] = run(work())
    assert not Scanner.running
    return found


def write(registry: Registry, seen: Sighting) -> None:
    registry.record_sighting(
        seen.beacon_id, seen.event, slot=seen.slot, seq=seen.seq, t_ms=seen.t_ms,
        verdict=seen.verdict, rssi_dbm=seen.rssi_dbm, left=seen.left,
    )  # fmt: skip


def of(kind: type, found: list[Any]) -> list[Any]:
    return [event for event in found if isinstance(event, kind)]


def test_an_alert_and_its_signature_within_two_seconds(
    fleet: PaperFleet, beacon: PaperBeacon
) -> None:
    found = sit(fleet, beacon.on_air(1, T0 + 5000, 20), 30)
    first = of(Sighting, found)[0]
    (signed,) = of(SignatureVerified, found)
    assert (first.kind, first.verdict, first.t_ms) == (ALERT, FRESH, T0 + 5000)
    assert signed.t_ms - first.t_ms <= 500
    assert [s.verdict for s in of(Sighting, found) if s.verdict not in (FRESH, DUPLICATE)] == []
    # a row for each unit, none for what was heard three times a second
    assert len(fleet.registry.line(beacon.id, 1)) == 10


def test_sixty_percent_loss(fleet: PaperFleet, beacon: PaperBeacon) -> None:
    found = sit(fleet, lossy(beacon.on_air(1, T0, 60), 0.6), 70)
    assert of(Sighting, found)[0].t_ms - T0 < 3000
    assert of(SignatureVerified, found)[0].t_ms - T0 < 6000


def test_one_frame_per_address(fleet: PaperFleet, beacon: PaperBeacon) -> None:
    found = sit(fleet, one_per_address(beacon.on_air(1, T0, 60)), 70)
    assert of(Sighting, found)
    assert of(SignatureVerified, found)[0].t_ms - T0 < 30_000


def test_a_drill_a_test_and_a_resumption(fleet: PaperFleet, beacon: PaperBeacon) -> None:
    frames = [
        *beacon.on_air(1, T0 + 1000, 10, status=0x30),
        *beacon.on_air(2, T0 + 100_000, 10, status=0x00),
        *beacon.on_air(3, T0 + 200_000, 10, status=0x22),
    ]
    found = sit(fleet, frames, 300)
    kinds = {s.event: (s.kind, s.resumed) for s in of(Sighting, found)}
    assert kinds == {1: (DRILL, False), 2: (TEST, False), 3: (ALERT, True)}
    assert [v.event for v in of(SignatureVerified, found)] == [1, 2, 3]


def test_a_replay_an_hour_later_moves_nothing(fleet: PaperFleet, beacon: PaperBeacon) -> None:
    event = list(beacon.on_air(1, T0, 20))
    again = [Heard(f.payload, f.rssi_dbm, f.t_ms + HOUR_MS, "evil") for f in event]
    found = sit(fleet, [*event, *again], 2 * 3600)
    late = [s for s in of(Sighting, found) if s.t_ms >= T0 + HOUR_MS]
    assert late
    assert {s.verdict for s in late} == {REPLAY}
    assert len(of(SignatureVerified, found)) == 1
    assert len(fleet.registry.line(beacon.id, 1)) == 10


def test_a_replay_after_a_restart_is_still_one(fleet: PaperFleet, beacon: PaperBeacon) -> None:
    event = list(beacon.on_air(1, T0, 20))
    sit(fleet, event, 30)
    again = [Heard(f.payload, f.rssi_dbm, f.t_ms + HOUR_MS, "evil") for f in event]
    found = sit(fleet, again, 2 * 3600)
    assert {s.verdict for s in of(Sighting, found)} == {REPLAY}
    # and the event goes on for a listener that was away for a moment
    found = sit(fleet, [heard(beacon.alert(1, 60), T0 + 60_000)], 70)
    assert [s.verdict for s in of(Sighting, found)] == [FRESH]


def test_a_forgery_is_unknown_and_raises_nothing(fleet: PaperFleet, beacon: PaperBeacon) -> None:
    stranger = PaperBeacon(9)
    found = sit(fleet, stranger.on_air(1, T0, 4), 10)
    assert {r.reason for r in of(Refusal, found)} == {"unknown"}
    assert len(of(Refusal, found)) == 40
    assert not of(Sighting, found)


@pytest.mark.parametrize("event", [41, 700])
def test_unheard_events_are_found_without_more_traffic(
    fleet: PaperFleet, beacon: PaperBeacon, event: int
) -> None:
    found = sit(fleet, [heard(beacon.alert(event), T0 + 1000)], 10)
    assert [r.reason for r in of(Refusal, found)] == ["unknown"]
    assert [s.event for s in of(Sighting, found)] == [event]
    assert list(fleet.registry.lines()) == [(beacon.id, event)]


def test_a_beacon_provisioned_while_we_listen(fleet: PaperFleet) -> None:
    late: list[PaperBeacon] = []
    known: set[str] = set()

    def frames() -> Iterator[Heard]:
        beacon = registered(fleet, 3)
        late.append(beacon)
        yield from beacon.on_air(1, T0 + 60_000, 10)

    def refresh() -> None:
        new = [b for b in fleet.registry.watched() if b.beacon_id not in known]
        known.update(b.beacon_id for b in new)
        work["resolver"].watch(first_keys(new, {0: fleet.station.root}))

    work: dict[str, Any] = {}
    original = Resolver.__init__

    def remembering(self: Resolver, *args: Any, **kw: Any) -> None:
        original(self, *args, **kw)
        work["resolver"] = self

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Resolver, "__init__", remembering)
        found = sit(fleet, frames(), 90, refresh=refresh)
    assert {s.beacon_id for s in of(Sighting, found)} == {late[0].id}
    assert not of(Refusal, found)


def test_deafness_is_an_event_and_ends(fleet: PaperFleet, beacon: PaperBeacon) -> None:
    def frames() -> Iterator[Heard]:
        yield heard(beacon.alert(1, 0), T0)
        Scanner.failures += [BleakError("adapter gone")] * 3
        yield heard(beacon.alert(1, 100), T0 + 100_000)

    found = sit(fleet, frames(), 110)
    states = [s.kind for s in of(RadioState, found)]
    assert states == [HEARING, QUIET, DEAF, HEARING, QUIET, HEARING]
    assert [s.age_s for s in of(Sighting, found)] == [0, 100]


def test_a_registry_that_fails_does_not_silence_an_alert(
    fleet: PaperFleet, beacon: PaperBeacon
) -> None:
    def failing(_: Sighting) -> None:
        raise FanalError("The registry is in use.", code="busy")

    found = sit(fleet, beacon.on_air(1, T0, 4), 10, record=failing)
    assert of(Sighting, found)[0].kind == ALERT
    assert of(NotRecorded, found)[0].error.code == "busy"


def test_a_flood_keeps_nobody_from_a_turn(beacon: PaperBeacon) -> None:
    async def work() -> None:
        turns = 0

        async def others() -> None:
            nonlocal turns
            while turns < 10_000:
                turns += 1
                await asyncio.sleep(0)

        radio = Radio(backend=Scanner, now_ms=now_ms)
        async with aclosing(listen(Resolver([beacon.first_keys()]), radio)) as events:
            await anext(events)
            for i in range(3000):
                Scanner.advertise(bytes([0x20, i % 256, i // 256]) + bytes(20))
            Scanner.advertise(beacon.alert(1))
            task = asyncio.create_task(others())
            for _ in range(3000):
                assert isinstance(await anext(events), Refusal)
            assert turns >= 2900
            assert isinstance(await anext(events), Sighting)
            task.cancel()

    run(work())


def test_keys_of_other_stations_are_left_out(fleet: PaperFleet, beacon: PaperBeacon) -> None:
    watched = fleet.registry.watched()
    assert [k.event_key for k in first_keys(watched, {0: fleet.station.root})] == [beacon.key(1)]
    assert first_keys(watched, {1: fleet.station.root}) == []


def test_replays_by_the_thousand_are_one_row_a_minute(beacon: PaperBeacon) -> None:
    written: list[Sighting] = []
    recorder = Recorder(written.append)
    resolver = Resolver([beacon.first_keys()])
    payload = beacon.alert(1)
    for i in range(3000):
        t_ms = T0 + i if i < 10 else T0 + HOUR_MS + 60 * i
        for outcome in resolver.take(heard(payload, t_ms)):
            recorder(outcome)  # type: ignore[arg-type]
    assert [s.verdict for s in written] == [FRESH, REPLAY, REPLAY, REPLAY]
