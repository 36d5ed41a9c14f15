"""Verifying on air, on paper: each row fails for its own reason, and a deaf radio is none."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from bleak.exc import BleakError
from fanal import air_ears
from fanal.air_check import AirCheck, air_check
from fanal.air_rows import Limits
from fanal.error import BoardLost, BoardRefused, EnvironmentFault, FanalError
from fanal.heard import Heard
from fanal.radio import Patience, Radio
from fanal.registry import Clash, Reservation
from fanal.verify import FAIL, OK, WARN, Verification
from fanal_protocol import alert

from tests.unit.jumping_loop import run
from tests.unit.paper_beacon import T0, PaperBeacon, lossy, one_per_address
from tests.unit.paper_fleet import PaperFleet
from tests.unit.paper_scanner import Scanner

SELF_TEST_S = 20
TEST_STATUS = 0x00
ROWS = {
    "heard", "activation", "event number", "rssi", "signature", "address", "frames",
    "battery on air", "duration", "silence", "registry",
}  # fmt: skip
Frames = Iterable[Heard]


@pytest.fixture(autouse=True)
def _clean_air() -> None:
    Scanner.reset()


@pytest.fixture
def fleet(tmp_path: Any) -> Iterator[PaperFleet]:
    fleet = PaperFleet(tmp_path)
    yield fleet
    fleet.registry.close()


@pytest.fixture
def beacon(fleet: PaperFleet) -> PaperBeacon:
    return registered(fleet, 1)


def registered(fleet: PaperFleet, number: int, station: int = 0) -> PaperBeacon:
    beacon = PaperBeacon(number, fleet.station.root)
    wanted = Reservation(beacon.id, beacon.public_key, f"02:00:00:00:00:{number:02x}", "esp32c3",
                         station, "shelter-3", "", "fixed")  # fmt: skip
    fleet.registry.reserve(wanted)
    return beacon


def now_ms() -> int:
    return T0 + round(1000 * (asyncio.get_running_loop().time() - 1000))


def own(address: str) -> str:
    """The address of a unit as a system shows it: non-resolvable private, so 00 above."""
    return ":".join(address[i : i + 2] for i in range(0, 12, 2))


def self_test(beacon: PaperBeacon, event: int = 1, seconds: int = SELF_TEST_S,
              status: int = TEST_STATUS) -> list[Heard]:  # fmt: skip
    """All that a beacon says in a self-test that began at T0."""
    frames = beacon.on_air(event, T0, seconds, status=status)
    return [replace(frame, address=own(frame.address)) for frame in frames]


class Stage:
    """One check: what is on air once it has begun, and what came of it."""

    def __init__(self, fleet: PaperFleet, beacon: PaperBeacon, next_event: int = 1) -> None:
        self.fleet = fleet
        self.wired = Verification(beacon.id, None, "", (), next_event, SELF_TEST_S)
        self.limits = Limits()
        self.patience = Patience()
        self.roots = {0: fleet.station.root}
        self.begin: Callable[[], Any] = lambda: None
        self.neighbour_s = 1.0
        self.lasted_s = 0.0
        self.steps: list[str] = []
        self.playing: list[asyncio.Task[None]] = []

    def check(self, frames: Frames) -> AirCheck:
        return run(self.work(frames))

    async def work(self, frames: Frames) -> AirCheck:
        async def begin() -> None:
            assert Scanner.running, "begun before anybody hears"
            self.begin()
            self.playing = [asyncio.create_task(_play(list(frames), now_ms() - T0)),
                            asyncio.create_task(_neighbour(self.neighbour_s))]  # fmt: skip

        radio = Radio(backend=Scanner, now_ms=now_ms, patience=self.patience)
        began_s = asyncio.get_running_loop().time()
        try:
            return await air_check(self.wired, self.fleet.registry, self.roots, radio, begin,
                                   limits=self.limits, on_step=self.steps.append)  # fmt: skip
        finally:
            self.lasted_s = asyncio.get_running_loop().time() - began_s
            for task in self.playing:
                task.cancel()


async def _play(frames: list[Heard], later_ms: int) -> None:
    for frame in frames:
        await asyncio.sleep(max(0, frame.t_ms + later_ms - now_ms()) / 1000)
        Scanner.advertise(frame.payload, rssi=frame.rssi_dbm, address=frame.address)


async def _neighbour(every_s: float) -> None:
    """Headphones that say something, so that the radio hears even when no beacon speaks."""
    while every_s:
        await asyncio.sleep(every_s)
        Scanner.advertise(None, address="C0:FF:EE:00:00:01")


def outcomes(result: AirCheck) -> dict[str, str]:
    return {row.name: row.outcome for row in result.checks}


def those(result: AirCheck, outcome: str) -> set[str]:
    return {row.name for row in result.checks if row.outcome == outcome}


def reason(result: AirCheck, name: str) -> str:
    return next(row.reason for row in result.checks if row.name == name)


def test_a_good_beacon_passes_every_row(fleet: PaperFleet, beacon: PaperBeacon) -> None:
    stage = Stage(fleet, beacon)
    result = stage.check(self_test(beacon))
    assert outcomes(result) == dict.fromkeys(ROWS, OK), result
    assert (result.exit_code, result.event, result.frames, result.addresses) == (0, 1, 200, 10)
    assert (result.first_alert_s, result.signature_s, result.rssi_dbm) == (0.0, 0.4, -60)
    assert fleet.registry.find(beacon.id).newest_event == 1
    assert len(fleet.registry.line(beacon.id, 1)) == 10
    assert SELF_TEST_S + stage.limits.margin_s <= stage.lasted_s < SELF_TEST_S + 12
    assert "advertisements of others heard" in reason(result, "silence")
    assert not Scanner.running


def bad_air(frames: Frames) -> Iterator[Heard]:
    return lossy(iter(frames), 0.6)


@pytest.mark.parametrize("air", [bad_air, lambda frames: one_per_address(iter(frames))],
                         ids=["60 % lost", "one per address"])  # fmt: skip
def test_a_bad_air_is_no_bad_beacon(fleet: PaperFleet, beacon: PaperBeacon, air: Any) -> None:
    assert those(Stage(fleet, beacon).check(air(self_test(beacon))), FAIL) == set()


def test_an_event_far_ahead_of_what_was_heard(fleet: PaperFleet, beacon: PaperBeacon) -> None:
    result = Stage(fleet, beacon, 41).check(self_test(beacon, 41))
    assert those(result, OK) == ROWS, result
    assert fleet.registry.find(beacon.id).newest_event == 41


# -- what a beacon may do wrong: frames in, frames out; which rows fail; the exit code


def no_pages(beacon: PaperBeacon) -> Frames:
    return [f for f in self_test(beacon) if len(f.payload) == 23]


def two_pages(beacon: PaperBeacon) -> Frames:
    some = beacon.pages(1, 0, TEST_STATUS)[:2]
    return [f for f in self_test(beacon) if len(f.payload) == 23 or f.payload in some]


def signed_by_another(beacon: PaperBeacon) -> Frames:
    beacon.private = PaperBeacon(9).private
    return self_test(beacon)


def signed_as_an_alert(beacon: PaperBeacon) -> Frames:
    said = dict(zip(beacon.pages(1, 0, 0), beacon.pages(1), strict=True))
    return [replace(f, payload=said.get(f.payload, f.payload)) for f in self_test(beacon)]


def one_address(beacon: PaperBeacon) -> Frames:
    return [replace(f, address="01:02:03:04:05:06") for f in self_test(beacon)]


def an_address_for_two_units(beacon: PaperBeacon) -> Frames:
    return [replace(f, address=own(f"{(f.t_ms - T0) // 4000:012x}")) for f in self_test(beacon)]


def an_address_that_changes_late(beacon: PaperBeacon) -> Frames:
    return [replace(f, address=own(f"{(f.t_ms - T0 + 1700) // 2000:012x}"))
            for f in self_test(beacon)]  # fmt: skip


def an_address_that_lingers(beacon: PaperBeacon) -> Frames:
    """Pages of a unit still come from the address of the unit before, and no second alert does."""
    return [
        replace(f, address=own(f"{(f.t_ms - T0 - 900) // 2000 & 0xFF:012x}"))
        if len(f.payload) == 27 else f
        for f in self_test(beacon)
    ]  # fmt: skip


def a_static_address(beacon: PaperBeacon) -> Frames:
    return [replace(f, address="C0" + f.address[2:]) for f in self_test(beacon)]


def a_resolvable_address(beacon: PaperBeacon) -> Frames:
    return [replace(f, address="40" + f.address[2:]) for f in self_test(beacon)]


def weak(beacon: PaperBeacon) -> Frames:
    return [replace(f, rssi_dbm=-81) for f in self_test(beacon)]


def strong(beacon: PaperBeacon) -> Frames:
    return [replace(f, rssi_dbm=-19) for f in self_test(beacon)]


def on_air_too_long(beacon: PaperBeacon) -> Frames:
    return self_test(beacon, seconds=26)


def pages_after_the_end(beacon: PaperBeacon) -> Frames:
    late = replace(self_test(beacon)[-1], t_ms=T0 + 29_000, address="00:00:00:00:00:aa")
    return [*self_test(beacon), replace(late, payload=beacon.pages(1, 0, TEST_STATUS)[0])]


def cut_short(beacon: PaperBeacon) -> Frames:
    return self_test(beacon, seconds=8)


def another_event(beacon: PaperBeacon) -> Frames:
    return self_test(beacon, 2)


def low_battery(beacon: PaperBeacon) -> Frames:
    return self_test(beacon, status=alert.status_byte(alert.SELF_TEST, battery_low=True))


def garbage_from_its_address(beacon: PaperBeacon) -> Frames:
    frames = self_test(beacon)
    spoiled = bytearray(frames[1].payload)
    spoiled[9] ^= 1
    return [*frames[:5], replace(frames[5], payload=bytes(spoiled)), *frames[6:]]


@pytest.mark.parametrize(
    ("spoiled", "rows", "exit_code"),
    [
        (no_pages, {"signature"}, 4), (two_pages, {"signature"}, 4),
        (signed_by_another, {"signature"}, 4), (signed_as_an_alert, {"signature"}, 4),
        (one_address, {"address"}, 1), (an_address_for_two_units, {"address"}, 1),
        (an_address_that_changes_late, {"address"}, 1),
        (an_address_that_lingers, {"address"}, 1), (a_static_address, {"address"}, 1),
        (a_resolvable_address, {"address"}, 1), (weak, {"rssi"}, 1), (strong, {"rssi"}, 1),
        (on_air_too_long, {"silence"}, 1), (pages_after_the_end, {"silence"}, 1),
        (cut_short, {"duration"}, 1), (low_battery, {"battery on air"}, 1),
        (another_event, {"event number", "signature"}, 4),
        (garbage_from_its_address, {"frames"}, 4),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)  # fmt: skip
def test_each_fault_fails_its_row(
    fleet: PaperFleet, beacon: PaperBeacon, spoiled: Any, rows: set[str], exit_code: int
) -> None:
    result = Stage(fleet, beacon).check(spoiled(beacon))
    assert those(result, FAIL) == rows, result
    assert result.exit_code == exit_code


STATUSES = {
    "an alert": alert.status_byte(alert.HOLD),
    "a drill": alert.status_byte(alert.HOLD, drill=True),
    "a test in a drill": alert.status_byte(alert.SELF_TEST, drill=True),
    "a resumption": alert.status_byte(alert.SELF_TEST, resumed=True),
    "unreadable": 0x01,
}


@pytest.mark.parametrize("status", STATUSES.values(), ids=STATUSES)
def test_what_is_no_self_test_is_not_waited_for(
    fleet: PaperFleet, beacon: PaperBeacon, status: int
) -> None:
    stage = Stage(fleet, beacon)
    result = stage.check(self_test(beacon, status=status))
    assert those(result, FAIL) == {"activation"}
    assert set(outcomes(result)) == {"heard", "activation", "event number", "rssi", "registry"}
    assert result.exit_code == 1
    assert stage.lasted_s < 2


@pytest.mark.parametrize("after_s", [6, 24], ids=["during it", "after it"])
def test_an_alert_meanwhile_ends_it(fleet: PaperFleet, beacon: PaperBeacon, after_s: int) -> None:
    stage = Stage(fleet, beacon)
    squeezed = [replace(f, t_ms=f.t_ms + 1000 * after_s, address=own(f"{f.t_ms // 2000:012x}"))
                for f in self_test(beacon, 2, status=0x20)]  # fmt: skip
    before = [f for f in self_test(beacon) if f.t_ms < T0 + 1000 * after_s]
    result = stage.check([*before, *squeezed])
    assert those(result, FAIL) == {"activation"}
    assert "event 2 says ALERT" in reason(result, "activation")
    assert stage.lasted_s < after_s + 2


def test_another_beacon_is_not_this_one(fleet: PaperFleet, beacon: PaperBeacon) -> None:
    result = Stage(fleet, beacon).check(self_test(registered(fleet, 2)))
    assert (set(outcomes(result)), those(result, FAIL)) == ({"heard"}, {"heard"})
    assert "200 frames of another beacon" in reason(result, "heard")
    assert result.exit_code == 1
    assert result.event is None
    assert fleet.registry.find(beacon.id).newest_event == 0


def test_another_beacon_beside_it_is_a_warning(fleet: PaperFleet, beacon: PaperBeacon) -> None:
    other = [replace(f, address="0A" + f.address[2:]) for f in self_test(registered(fleet, 2))]
    both = sorted([*self_test(beacon), *other], key=lambda frame: frame.t_ms)
    result = Stage(fleet, beacon).check(both)
    assert (those(result, FAIL), those(result, WARN)) == (set(), {"frames"})
    assert fleet.registry.find(PaperBeacon(2, fleet.station.root).id).newest_event == 0


def test_a_flood_hides_nothing(
    fleet: PaperFleet, beacon: PaperBeacon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever sends rubbish by the thousand does not make a beacon pass that stays on air."""
    monkeypatch.setattr(air_ears, "_MOST_FOREIGN", 100)
    flood = [replace(f, payload=bytes([0x20]) + f.t_ms.to_bytes(8, "big") + bytes(14),
                     address="0C:00:00:00:00:01") for f in on_air_too_long(beacon)]  # fmt: skip
    both = sorted([*on_air_too_long(beacon), *flood], key=lambda frame: frame.t_ms)
    result = Stage(fleet, beacon).check(both)
    assert (those(result, FAIL), those(result, WARN)) == ({"silence"}, {"frames"})


def heard_before(fleet: PaperFleet, beacon: PaperBeacon) -> list[Heard]:
    """Event 1 was heard an hour ago, and its frames are on air again."""
    for seq in (0, 1):
        fleet.registry.record_sighting(beacon.id, 1, slot=0, seq=seq, verdict="fresh",
                                       t_ms=T0 - 3_600_000 + 2000 * seq)  # fmt: skip
    return [replace(f, address="0B" + f.address[2:]) for f in self_test(beacon)]


def test_replays_are_not_this_self_test(fleet: PaperFleet, beacon: PaperBeacon) -> None:
    stage = Stage(fleet, beacon, 2)
    result = stage.check(heard_before(fleet, beacon))
    assert stage.lasted_s >= stage.limits.patience_s
    assert (set(outcomes(result)), result.exit_code) == ({"heard"}, 1)
    assert "only replays" in reason(result, "heard")
    assert fleet.registry.find(beacon.id).newest_event == 1


def test_replays_beside_it_are_named(fleet: PaperFleet, beacon: PaperBeacon) -> None:
    both = [*heard_before(fleet, beacon), *self_test(beacon, 2)]
    result = Stage(fleet, beacon, 2).check(sorted(both, key=lambda frame: frame.t_ms))
    assert (those(result, FAIL), result.exit_code) == ({"frames"}, 4)
    assert reason(result, "frames") == "replays of event 1"
    assert result.frames == 200


# -- what cannot be seen is a warning


def test_a_system_that_hides_addresses(fleet: PaperFleet, beacon: PaperBeacon) -> None:
    hidden = [replace(f, address=f"1B2C3D4E-0000-4000-8000-{f.address.replace(':', '')}")
              for f in self_test(beacon)]  # fmt: skip
    result = Stage(fleet, beacon).check(hidden)
    assert (those(result, WARN), those(result, FAIL)) == ({"address"}, set())
    assert "hides addresses" in reason(result, "address")


@pytest.mark.parametrize("rssi", [None, 127, 0])
def test_a_radio_that_does_not_know_the_strength(
    fleet: PaperFleet, beacon: PaperBeacon, rssi: int | None
) -> None:
    result = Stage(fleet, beacon).check([replace(f, rssi_dbm=rssi) for f in self_test(beacon)])
    assert (those(result, WARN), result.exit_code, result.rssi_dbm) == ({"rssi"}, 0, None)


@pytest.mark.parametrize(("limit", "outcome"), [(-61, OK), (-60, OK), (-59, FAIL)])
def test_the_edge_of_the_limit(
    fleet: PaperFleet, beacon: PaperBeacon, limit: int, outcome: str
) -> None:
    stage = Stage(fleet, beacon)
    stage.limits = Limits(rssi_min_dbm=limit)
    assert outcomes(stage.check(self_test(beacon)))["rssi"] == outcome


def test_a_registry_that_takes_nothing(
    fleet: PaperFleet, beacon: PaperBeacon, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(*_: Any, **__: Any) -> None:
        raise Clash("The registry is busy.")

    monkeypatch.setattr(fleet.registry, "record_sighting", busy)
    result = Stage(fleet, beacon).check(self_test(beacon))
    assert those(result, WARN) == {"registry"}
    assert "The registry is busy." in reason(result, "registry")


# -- what says nothing of the beacon


def test_silence_beside_others_is_a_finding(fleet: PaperFleet, beacon: PaperBeacon) -> None:
    stage = Stage(fleet, beacon)
    result = stage.check([])
    assert (those(result, FAIL), result.exit_code) == ({"heard"}, 1)
    assert "is its antenna there" in reason(result, "heard")
    assert stage.limits.patience_s <= stage.lasted_s < stage.limits.patience_s + 1


def test_silence_all_around_is_none(fleet: PaperFleet, beacon: PaperBeacon) -> None:
    stage = Stage(fleet, beacon)
    stage.neighbour_s = 0
    with pytest.raises(EnvironmentFault) as caught:
        stage.check([])
    assert (caught.value.code, caught.value.exit_code) == ("nothing_heard", 7)


def test_a_radio_that_does_not_start(fleet: PaperFleet, beacon: PaperBeacon) -> None:
    stage = Stage(fleet, beacon)
    stage.begin = lambda: pytest.fail("begun, and nobody hears")
    Scanner.failures.append(BleakError("adapter 'hci0' not found"))
    with pytest.raises(EnvironmentFault) as caught:
        stage.check(self_test(beacon))
    assert caught.value.exit_code == 7


@pytest.mark.parametrize("spoken_s", [0, 10, 20], ids=["before", "during", "after"])
def test_a_radio_that_goes_deaf(fleet: PaperFleet, beacon: PaperBeacon, spoken_s: int) -> None:
    stage = Stage(fleet, beacon)
    stage.neighbour_s = 0
    stage.patience = Patience(quiet_s=3.0)
    stage.begin = lambda: Scanner.failures.append(BleakError("adapter 'hci0' not found"))
    with pytest.raises(EnvironmentFault) as caught:
        stage.check(self_test(beacon, seconds=spoken_s))
    assert (caught.value.code, caught.value.exit_code) == ("deaf", 7)
    assert "adapter 'hci0' not found" in caught.value.sentence
    assert stage.lasted_s < spoken_s + 5


def test_a_refusal_is_a_finding_and_a_lost_cable_is_none(
    fleet: PaperFleet, beacon: PaperBeacon
) -> None:
    def refuse(error: FanalError) -> None:
        raise error

    stage = Stage(fleet, beacon)
    stage.begin = lambda: refuse(BoardRefused("An event is open.", code="event_open"))
    result = stage.check([])
    assert [(row.name, row.reason) for row in result.checks] == [("begun", "An event is open.")]
    assert result.exit_code == 1
    stage.begin = lambda: refuse(BoardLost("The beacon stopped answering."))
    with pytest.raises(BoardLost):
        stage.check([])
    assert not Scanner.running


def test_without_the_keys_of_its_station(fleet: PaperFleet) -> None:
    stage = Stage(fleet, registered(fleet, 3, station=1))
    stage.begin = lambda: pytest.fail("begun, and nobody would understand")
    with pytest.raises(FanalError, match="station 1") as caught:
        stage.check([])
    assert caught.value.code == "no_secret"


@pytest.mark.parametrize("after_s", [0.5, 12, 25])
def test_an_interruption_leaves_nothing_behind(
    fleet: PaperFleet, beacon: PaperBeacon, after_s: float
) -> None:
    stage = Stage(fleet, beacon)

    async def interrupted() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(after_s):
                await stage.work(self_test(beacon))

    run(interrupted())
    assert not Scanner.running
    assert fleet.registry.find(beacon.id).newest_event == 1
    # what was heard of it was recorded, so that the same event cannot be taken for a new one
    assert fleet.registry.line(beacon.id, 1)
