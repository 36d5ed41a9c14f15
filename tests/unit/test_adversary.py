"""What somebody with a transmitter, an old copy or a wrong clock can do to whoever listens.

`FANAL_ADVERSARY=SEED,COUNT` makes the floods COUNT packets long, by another seed, and prints what
was done.
"""

import os
import random
import resource
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from fanal import deep_search
from fanal import resolver as resolver_module
from fanal.believed import believed
from fanal.cli.sitting import Show, Sitting, as_object
from fanal.event_keys import EventKeys
from fanal.heard import Heard
from fanal.high_water import HighWater
from fanal.hub import enrolment, enrolment_file
from fanal.hub.inbox import Inbox, Incoming, Taken
from fanal.hub.resolving import Resolving
from fanal.hub.tables import IncidentRow
from fanal.listen import Recorder
from fanal.log_verify import verify
from fanal.registry import Registry, Reservation
from fanal.registry_merge import merge
from fanal.resolver import Resolver
from fanal.schema import BeaconRow, RevocationRow
from fanal.sighting import Refusal, Sighting, SignatureVerified
from fanal.watch import Watch
from fanal_protocol.line import DUPLICATE, FRESH, LATE, REPLAY
from sqlalchemy import select

from tests.unit.paper_beacon import T0, PaperBeacon, heard, lossy
from tests.unit.paper_enrolment import hub_keyring
from tests.unit.paper_fleet import NOW, PaperFleet
from tests.unit.paper_listener import PaperHub, PaperListener
from tests.unit.test_registry_merge import Laptop

HOUR_MS = 3_600_000
WIDE = 40  # beacons from which on they are in arrays here
DAY_MS = 24 * HOUR_MS
SEED, COUNT = (int(part) for part in os.environ.get("FANAL_ADVERSARY", "1,12000").split(","))
BEACONS = [PaperBeacon(number) for number in range(1, 6)]
MEMORY_BYTES = 60_000_000  # all that is bounded in a resolver, full


def strangers(count: int) -> Iterator[EventKeys]:
    """Beacons of the fleet that nobody squeezes."""
    dice = random.Random("strangers")
    for number in range(count):
        name = f"{number:08d}"
        yield EventKeys(name, dice.randbytes(32), 1, dice.randbytes(32))


def of_fleet(is_wide: bool) -> list[EventKeys]:
    return [b.first_keys() for b in BEACONS] + list(strangers(WIDE if is_wide else 0))


@pytest.fixture(params=["objects", "arrays"])
def resolver(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Resolver:
    """A resolver of a few beacons, by either table."""
    monkeypatch.setattr(resolver_module, "WIDE", WIDE)
    is_wide = request.param == "arrays"
    made = Resolver(of_fleet(is_wide))
    assert isinstance(made._watch, Watch) != is_wide
    return made


def searched(resolver: Resolver, most: int = 100_000) -> list:
    """All that a deep search of so many events finds, up to the first of ours."""
    found: list = []
    while resolver.has_unsearched and most > 0 and not sightings(found):
        found += resolver.search_deeper(5000)
        most -= 5000
    return found


def sightings(outcomes: list) -> list[Sighting]:
    return [one for one in outcomes if isinstance(one, Sighting)]


def with_another_tag(payload: bytes) -> bytes:
    return payload[:-1] + bytes([payload[-1] ^ 1])


# -- identifiers that are echoed


def test_an_echo_ahead_of_a_beacon_does_not_hide_it(
    resolver: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deep_search, "DEEPEST", 64)
    genuine = BEACONS[0].alert(43)
    resolver.take(heard(with_another_tag(genuine), T0))
    for _ in range(46):  # as far as the echo, and not to the end
        assert sightings(resolver.search_deeper(len(resolver._watch))) == []
    resolver.take(heard(genuine, T0 + 5000))
    assert [s.event for s in sightings(searched(resolver))] == [43]


def test_what_waits_for_a_search_is_bounded() -> None:
    resolver = Resolver([BEACONS[0].first_keys()])
    dice = random.Random(SEED)
    for minute in range(200):
        for at in range(240):
            resolver.take(heard(b"\x20" + dice.randbytes(8) + b"\0\1" + dice.randbytes(12),
                                T0 + 60_000 * minute + at))  # fmt: skip
    assert len(resolver._unsearched) <= 40_000
    resolver.take(heard(BEACONS[0].alert(43), T0 + 201 * 60_000))
    found = []
    for _ in range(3):
        found += sightings(resolver.search_deeper(256))
    assert [s.event for s in found] == [43]


# -- a million packets of nobody, and of somebody who has seen ours


def forged(dice: random.Random, genuine: list[bytes]) -> bytes:
    """One payload that no beacon of ours sent: noise, or noise of our form, or ours spoilt."""
    kind = dice.randrange(6)
    if kind == 0:
        return dice.randbytes(dice.randrange(32))
    if kind == 1:
        return b"\x20" + dice.randbytes(8) + dice.randrange(450).to_bytes(2) + dice.randbytes(12)
    if kind in (2, 3):
        return bytes([0x28 if kind == 2 else 0x30, dice.randrange(12)]) + dice.randbytes(25)
    true = bytearray(dice.choice(genuine))
    if kind == 4:
        true[dice.randrange(len(true))] ^= 1 << dice.randrange(8)
        return bytes(true)
    return bytes(true[:9]) + dice.randbytes(len(true) - 9)


def test_a_flood_of_forgeries_shows_nothing_and_hides_nobody(
    resolver: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deep_search, "DEEPEST", 64)
    dice = random.Random(SEED)
    genuine = [one.alert(event, age_s) for one in BEACONS for event in (1, 2) for age_s in (0, 2)]
    genuine += [page for one in BEACONS for page in (*one.pages(1)[:4], one.crumb_page(1, 0))]
    for one in BEACONS:
        resolver.take(heard(one.alert(1), T0))
    memory = []
    for at in range(COUNT):
        t_ms = T0 + 60 * at
        told = resolver.take(heard(forged(dice, genuine), t_ms))
        assert {type(one) for one in told} == {Refusal}, told
        if at % (COUNT // 4) == COUNT // 8:
            number = at // (COUNT // 4)
            beacon = BEACONS[number]
            assert sightings(resolver.take(heard(beacon.alert(2), t_ms)))[0].verdict == FRESH
            signed = [o for page in beacon.pages(2)[:3] for o in resolver.take(heard(page, t_ms))]
            assert any(isinstance(o, SignatureVerified) for o in signed)
            # in a minute in which what waits is not full yet, by SPEC 3.4
            next_ms = t_ms - t_ms % 60_000 + 60_000
            resolver.take(heard(beacon.alert(43), next_ms))
            assert [s.event for s in sightings(searched(resolver))] == [43]
            memory.append(resident_bytes())
    assert memory[-1] - memory[0] < MEMORY_BYTES
    for one in BEACONS:
        newest = 43 if one in BEACONS[:4] else 1
        beacon_now = resolver._watch.beacon(BEACONS.index(one))
        assert beacon_now.newest == newest
    if "FANAL_ADVERSARY" in os.environ:
        print(f"seed {SEED}: {COUNT} forgeries, {dict(resolver.counts)},"
              f" {(memory[-1] - memory[0]) // 1000} kB more")  # fmt: skip


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


# -- a day that was recorded, and is played again


def recorded(dice: random.Random) -> list[tuple[int, bytes]]:
    """A day of three beacons over a bad air: drills, tests, alerts that go on, pages, crumbs."""
    day: list[Heard] = []
    for beacon in BEACONS[:3]:
        began_ms, event = T0 + dice.randrange(HOUR_MS), 0
        while began_ms < T0 + 20 * HOUR_MS:
            event += dice.choice((1, 1, 1, 2, 4))  # some that nobody hears
            status = dice.choice((0x20, 0x20, 0x30, 0x00, 0x22))
            frames = beacon.on_air(event, began_ms, 20, status=status)
            day += lossy(frames, dice.choice((0.3, 0.7)), dice.randrange(1 << 30))
            day += [heard(beacon.crumb_page(event, i), began_ms + 1000 * i) for i in range(3)]
            ages_s = range(900, dice.choice((0, 7200)), 600)
            day += [heard(beacon.alert(event, age_s, status=status, phase=1),
                          began_ms + 1000 * age_s) for age_s in ages_s]  # fmt: skip
            began_ms += 1000 * max((20, *ages_s)) + dice.randrange(60_000, 5 * HOUR_MS)
    return sorted((one.t_ms, one.payload) for one in day)


def played(resolver: Resolver, frames: Iterable[tuple[int, bytes]]) -> list:
    """All that comes of frames, and of a search after each that is nobody's."""
    found = []
    for t_ms, payload in frames:
        found += resolver.take(heard(payload, t_ms))
        while resolver.has_unsearched:
            found += resolver.search_deeper(5000)
    return found


def held(resolver: Resolver) -> list:
    """Where the windows and the event clocks of the beacons stand."""
    some = [resolver._watch.beacon(place) for place in range(len(BEACONS))]
    return [
        (one.newest, sorted((number, event.line.began_ms(), len(event.line.entries()))
                            for number, event in one.events.items() if event.is_heard))
        for one in some
    ]  # fmt: skip


def lines_of(found: list) -> dict[tuple[str, int], list[tuple[int, int, int]]]:
    """What a registry would have written of these."""
    lines: dict[tuple[str, int], list[tuple[int, int, int]]] = {}
    for one in sightings(found):
        line = lines.setdefault((one.beacon_id, one.event), [])
        for entry in one.left:
            line.remove(tuple(entry))
        if one.verdict in (FRESH, LATE):
            line.append((one.t_ms, one.slot, one.seq))
    return lines


@pytest.mark.parametrize("is_restarted", [False, True])
def test_a_recorded_day_is_replays_however_it_is_played(
    resolver: Resolver, is_restarted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deep_search, "DEEPEST", 16)
    dice = random.Random(SEED)
    day = recorded(dice)
    found = played(resolver, day)
    assert len({(s.beacon_id, s.event) for s in sightings(found)}) > 10
    assert any(isinstance(one, SignatureVerified) for one in found)
    before = held(resolver)
    if is_restarted:
        resolver = restarted(resolver, lines_of(found), tmp_path / "index")
        assert held(resolver) == before
    shuffled = dice.sample(day, len(day))
    for play in (
        [(T0 + 22 * HOUR_MS + (t_ms - T0) // 48, payload) for t_ms, payload in day],
        [(t_ms + DAY_MS, payload) for t_ms, payload in day],
        [(T0 + 2 * DAY_MS + 50 * at, payload) for at, (_, payload) in enumerate(shuffled)],
        [(T0 + 3 * DAY_MS + 3 * (t_ms - T0), payload) for t_ms, payload in day],
        [(T0 + 7 * DAY_MS + 50 * at, payload) for at, (_, payload) in enumerate(reversed(day))],
    ):
        verdicts = Counter(one.verdict for one in sightings(played(resolver, play)))
        assert set(verdicts) == {REPLAY}
        assert held(resolver) == before
    for number, beacon in enumerate(BEACONS[:3]):  # and beside it the beacons themselves
        event = before[number][0] + 1
        live = [(T0 + 9 * DAY_MS + 2000 * unit, beacon.alert(event, 2 * unit)) for unit in range(9)]
        again = [(T0 + 9 * DAY_MS + 7 * at, payload) for at, (_, payload) in enumerate(shuffled)]
        told = sightings(played(resolver, sorted(live + again)))
        assert [s.verdict for s in told if (s.beacon_id, s.event) == (beacon.id, event)] == 9 * [
            FRESH
        ]
        assert {s.verdict for s in told if (s.beacon_id, s.event) != (beacon.id, event)} <= {REPLAY}


def restarted(
    resolver: Resolver, lines: dict[tuple[str, int], list[tuple[int, int, int]]], index: Path
) -> Resolver:
    """The same beacons in another process: a large table from its file."""
    is_wide = resolver.save(index, bytes(32))
    if not is_wide:
        return Resolver(of_fleet(is_wide), lines)
    other = Resolver([])
    assert other.watch_saved(index, bytes(32), of_fleet(is_wide), lines) is None
    return other


# -- the same day at a hub, from strangers and from its own listeners, who say when it was


def test_a_recorded_day_opens_no_incident_at_a_hub(tmp_path: Path) -> None:
    dice = random.Random(SEED)
    day = recorded(dice)[:1500]
    hub = PaperHub(tmp_path / "hub.db", 3)
    own, stranger = PaperListener(1), PaperListener(2)
    hub.confirm(own)
    told: Counter[str] = Counter()

    def resolved(listener: PaperListener, frames: list[tuple[int, bytes]], sent_ms: int) -> None:
        hub.now_ms = sent_ms
        for at in range(0, len(frames), 300):
            some = [heard(payload, t_ms) for t_ms, payload in frames[at : at + 300]]
            item = Incoming(listener.delivery(sent_ms, [listener.group(some)]), "", sent_ms)
            assert isinstance(Inbox(hub.store, hub.opener).take([item])[0], Taken)
        worker = Resolving(hub.store, hub.keys, "one",
                           changed=lambda _, __, why: told.update([why]))  # fmt: skip
        while worker.step() or worker.has_more:
            pass

    def incidents() -> list[tuple]:
        with hub.store.reading() as session:
            rows = session.scalars(select(IncidentRow).order_by(IncidentRow.id))
            return [(one.beacon, one.event, one.kind, one.state, one.is_replay, one.began_ms)
                    for one in rows]  # fmt: skip

    for at in range(0, len(day), 100):
        resolved(own, day[at : at + 100], day[min(at + 99, len(day) - 1)][0])
    before = incidents()
    assert told["opened"] == len(before) > 3
    told.clear()
    base_ms = T0 + 2 * DAY_MS
    for listener in (stranger, own):
        shuffled = dice.sample(day, len(day))
        plays = [
            [(base_ms - 30_000 + 20 * at, payload) for at, (_, payload) in enumerate(day)],
            [(base_ms - 30_000 + 20 * at, payload) for at, (_, payload) in enumerate(shuffled)],
            [(t_ms + HOUR_MS, payload) for t_ms, payload in day],
        ]
        if listener is stranger:  # whose word for an earlier time is not taken
            plays += [
                [(t_ms - 60_000, payload) for t_ms, payload in day],
                sorted((dice.randrange(T0, base_ms), payload) for _, payload in day),
            ]
        for frames in plays:
            resolved(listener, frames, base_ms)
            assert (incidents(), told) == (before, {})
            base_ms += 60_000
    newest = max(event for name, event, *_ in before if name == BEACONS[0].id)
    resolved(stranger, [(base_ms, BEACONS[0].alert(newest + 1))], base_ms)
    assert told == {"opened": 1}
    assert incidents()[:-1] == before
    hub.close()


# -- two listeners that share a registry


def test_what_another_heard_is_a_replay_here(resolver: Resolver) -> None:
    beacon = BEACONS[0]
    resolver.catch_up({(beacon.id, 1): [(T0 + 1000 * age_s, 0, age_s // 2) for age_s in (0, 20)]})
    for event, age_s, t_ms, verdict in (
        (1, 10, T0 + HOUR_MS, REPLAY), (1, 10, T0 + 10_000, LATE), (1, 20, T0 + 20_100, DUPLICATE),
        (1, 40, T0 + 40_000, FRESH),
    ):  # fmt: skip
        (seen, *_) = sightings(resolver.take(heard(beacon.alert(event, age_s), t_ms)))
        assert (seen.verdict, seen.began_ms) == (verdict, T0), age_s


@pytest.mark.parametrize("event", [2, 5, 60])
def test_an_event_that_another_heard_moves_the_window_and_wakes(
    resolver: Resolver, event: int
) -> None:
    beacon = BEACONS[1]
    resolver.take(heard(beacon.alert(1), T0))
    resolver.take(heard(beacon.alert(event + 2, 0), T0 + 2 * HOUR_MS))
    resolver.catch_up({(beacon.id, event): [(T0 + HOUR_MS, 0, 0)], (beacon.id, 1): [(T0, 0, 0)],
                       ("NOBODY00", 3): [(T0, 0, 0)]})  # fmt: skip
    assert resolver.take(heard(beacon.alert(event), T0 + HOUR_MS))[0].verdict == DUPLICATE
    assert resolver.take(heard(beacon.alert(event, 4), T0 + 9 * HOUR_MS))[0].verdict == REPLAY
    again = resolver.take(heard(beacon.alert(1, 4), T0 + 9 * HOUR_MS))[0]
    assert not isinstance(again, Sighting) or again.verdict == REPLAY
    now = resolver.take(heard(beacon.alert(event + 2, 0), T0 + 2 * HOUR_MS))[0]
    assert (now.event, now.verdict) == (event + 2, FRESH)


def test_two_that_catch_up_agree(resolver: Resolver) -> None:
    other = Resolver([b.first_keys() for b in BEACONS])
    dice = random.Random(SEED)
    frames = [heard(BEACONS[0].alert(event, age_s), T0 + event * DAY_MS + 1000 * age_s)
              for event in (1, 2, 4, 5) for age_s in range(0, 120, 2)]  # fmt: skip
    lines: list[dict] = [{}, {}]
    for one in frames:
        which = dice.randrange(2)
        seen = (resolver, other)[which].take(one)[0]
        if isinstance(seen, Sighting):
            lines[which].setdefault((seen.beacon_id, seen.event), []).append(
                (seen.t_ms, seen.slot, seen.seq)
            )
        resolver.catch_up(lines[1])
        other.catch_up(lines[0])
        lines = [{}, {}]
    for one in frames:
        later = Heard(one.payload, -60, one.t_ms + DAY_MS, "evil")
        told = [(s.verdict, s.event, s.began_ms) for r in (resolver, other)
                for s in sightings(r.take(later)[:1])]  # fmt: skip
        assert {verdict for verdict, *_ in told} <= {REPLAY}


# -- `fanal listen`: a registry that is shared, copied back, merged


class Ears:
    """One run of `fanal listen` without its radio: what it hears is told, recorded, and kept."""

    def __init__(self, fleet: PaperFleet, state: Path, now_ms: int = T0) -> None:
        self.now = now_ms
        kept = HighWater(state, bytes(32))
        self.registry = Registry(fleet.path)
        self.sitting = Sitting(self.registry, {0: fleet.station.root}, Show.silent(), None, kept)
        self.sitting.radio = SimpleNamespace(now_ms=lambda: self.now)  # type: ignore[assignment]
        self.sitting._watch_new()
        self.record = Recorder.into(self.registry)

    def hear(self, payload: bytes, t_ms: int) -> list[Sighting]:
        """Return what a frame is, and what it makes of what waited."""
        self.now = t_ms
        seen = sightings(self.sitting.resolver.take(heard(payload, t_ms)))
        for one in seen:
            self.record(one)
            self.sitting._take(one)
        return seen

    def refresh(self, now_ms: int) -> None:
        self.now = now_ms
        self.sitting._refresh()

    def marks(self, payload: bytes, t_ms: int) -> tuple[str, list[str]] | None:
        """Return verdict and marks of a frame, None if it is nobody's."""
        seen = self.hear(payload, t_ms)
        if not seen:
            return None
        told = as_object(seen[0], self.sitting.revoked, self.sitting.horizons)
        return told["verdict"], told["marks"]

    def close(self) -> None:
        self.registry.close()


@pytest.fixture
def at(fleet: PaperFleet, tmp_path: Path) -> Iterator[Callable[..., Ears]]:
    """Begin to listen at the fleet's registry."""
    open_ears: list[Ears] = []

    def begin(now_ms: int = T0, state: str = "state") -> Ears:
        open_ears.append(Ears(fleet, tmp_path / state, now_ms))
        return open_ears[-1]

    yield begin
    for one in open_ears:
        one.close()


def registered(fleet: PaperFleet, number: int = 1) -> PaperBeacon:
    beacon = PaperBeacon(number, fleet.station.root)
    fleet.registry.reserve(
        Reservation(beacon.id, beacon.public_key, f"02:00:00:00:00:{number:02x}", "esp32c3", 0,
                    "shelter-3", "room 12", "fixed")
    )  # fmt: skip
    return beacon


def test_two_that_listen_at_one_registry_know_the_same(fleet, at) -> None:
    beacon = registered(fleet)
    one, two = at(), at()
    for age_s in range(0, 20, 2):
        one.hear(beacon.alert(1, age_s), T0 + 1000 * age_s)
    two.refresh(T0 + 20_000)
    for age_s in (10, 30):
        assert two.hear(beacon.alert(1, age_s), T0 + HOUR_MS)[0].verdict == REPLAY
    two.hear(beacon.alert(1, 40), T0 + 40_000)
    one.refresh(T0 + 42_000)
    assert one.hear(beacon.alert(1, 40), T0 + 42_000)[0].verdict == DUPLICATE
    two.hear(beacon.alert(4), T0 + HOUR_MS)  # the window of one ends before
    two.sitting.resolver.search_deeper(1000)
    found = two.hear(beacon.alert(4, 2), T0 + HOUR_MS + 2000)
    assert found
    one.refresh(T0 + HOUR_MS + 4000)
    assert one.hear(beacon.alert(4, 2), T0 + HOUR_MS + 60_000)[0].verdict == REPLAY
    assert fleet.registry.line(beacon.id, 1) == [
        (T0 + 1000 * age_s, 0, age_s // 2) for age_s in (*range(0, 20, 2), 40)
    ]


@pytest.mark.parametrize("error_ms", [-DAY_MS, -HOUR_MS, -60_000, 60_000, HOUR_MS, 2 * 365 * DAY_MS,
                                      -T0, -T0 - DAY_MS])  # fmt: skip
def test_a_listener_with_a_wrong_clock_silences_no_other(fleet, at, error_ms: int) -> None:
    beacon = registered(fleet)
    right, wrong = at(), at(T0 + error_ms)
    for age_s in range(0, 8, 2):
        for ears, error in ((wrong, error_ms), (right, 0)):
            t_ms = T0 + 1000 * age_s + error
            ears.refresh(t_ms)
            assert ears.hear(beacon.alert(1, age_s), t_ms)[0].verdict == FRESH, (age_s, error)


def test_what_a_station_heard_is_no_news_at_the_office(fleet, at) -> None:
    beacon = registered(fleet)
    with fleet.registry.change() as session:  # as a merge does
        session.get_one(BeaconRow, beacon.id).newest_event = 50
    ears = at()
    assert ears.marks(beacon.alert(1), T0) is None
    assert ears.marks(beacon.alert(50), T0 + 1000) == (FRESH, ["may_be_replay"])
    assert ears.marks(beacon.alert(51), T0 + HOUR_MS) == (FRESH, [])


def test_a_registry_of_yesterday_takes_nothing_of_today_for_news(fleet, at) -> None:
    beacon = registered(fleet)
    yesterday = fleet.path.read_bytes()
    ears = at()
    today = [(beacon.alert(event, age_s), T0 + event * HOUR_MS + 1000 * age_s)
             for event in range(1, 7) for age_s in (0, 2, 900)]  # fmt: skip
    for payload, t_ms in today:
        assert ears.hear(payload, t_ms)[0].verdict == FRESH
    ears.close()
    fleet.path.write_bytes(yesterday)
    ears = at(T0 + DAY_MS)
    told = [ears.marks(payload, t_ms + DAY_MS) for payload, t_ms in today]
    assert set(map(repr, told)) <= {
        "None", "('fresh', ['may_be_replay'])", "('late', ['may_be_replay'])",
        "('replay', ['may_be_replay'])",
    }  # fmt: skip
    assert None in told
    assert ears.marks(beacon.alert(7), T0 + 2 * DAY_MS) == (FRESH, [])


@pytest.mark.parametrize("kept", ['{"%s": 1%s}', '{"%s": -1, "x": 1%s}', '["%s%s"]', "{%s%s"])
def test_marks_that_somebody_wrote_silence_nobody(fleet, at, tmp_path: Path, kept: str) -> None:
    beacon = registered(fleet)
    path = HighWater(tmp_path / "state", bytes(32)).path
    path.parent.mkdir()
    path.write_text(kept % (beacon.id, "0" * 100))
    assert at().hear(beacon.alert(1), T0)[0].verdict == FRESH


# -- clocks that were wrong


@pytest.mark.parametrize("wrong_ms", [0, 86_000, T0 - 100 * DAY_MS, T0 + 2 * 365 * DAY_MS])
@pytest.mark.parametrize("was_heard", [False, True])
def test_a_clock_that_was_wrong_silences_no_beacon(fleet, at, wrong_ms: int, was_heard) -> None:
    fleet.ticks = T0 - DAY_MS
    beacon = registered(fleet)
    if was_heard:
        right = at()
        for age_s in (0, 2):
            assert right.hear(beacon.alert(1, age_s), T0 + 1000 * age_s)[0].verdict == FRESH
        right.close()
    wrong = at(wrong_ms)
    for event, age_s in ((1, 20), (1, 22), (2, 0)):
        assert wrong.hear(beacon.alert(event, age_s), wrong_ms + 1000 * age_s)
    wrong.close()
    right = at(T0 + HOUR_MS)
    for age_s in (4, 6):
        t_ms = T0 + HOUR_MS + 1000 * age_s
        assert right.hear(beacon.alert(2, age_s), t_ms)[0].verdict == FRESH
    assert right.marks(beacon.alert(2, 8), T0 + HOUR_MS + 8000) == (FRESH, ["may_be_replay"])
    assert right.marks(beacon.alert(3), T0 + 2 * HOUR_MS) == (FRESH, [])
    again = right.hear(beacon.alert(2, 4), T0 + 5 * HOUR_MS)
    assert [one.verdict for one in again] == [REPLAY]


def test_lines_without_the_times_that_cannot_be() -> None:
    lines = {
        ("A", 2): [(5 * DAY_MS, 0, 0), (DAY_MS, 0, 1), (4 * DAY_MS, 0, 2)],
        ("A", 1): [(3 * DAY_MS, 0, 0), (0, 0, 1)],
        ("B", 1): [(7 * DAY_MS, 0, 0)],
        ("C", 9): [(6 * DAY_MS, 0, 0), (6 * DAY_MS + 20_001, 0, 1)],
    }  # fmt: skip
    assert believed(lines, {"A": 2 * DAY_MS, "B": 9 * DAY_MS + 1}, 6 * DAY_MS) == {
        ("A", 1): [(3 * DAY_MS, 0, 0)],
        ("A", 2): [(5 * DAY_MS, 0, 0), (4 * DAY_MS, 0, 2)],
        ("C", 9): [(6 * DAY_MS, 0, 0)],
    }
    assert believed(lines, {}, 9 * DAY_MS).keys() == lines.keys()


# -- stations whose clocks are ahead


def test_a_station_with_a_fast_clock_does_not_undo_what_the_office_did(fleet, tmp_path) -> None:
    laptop = Laptop(tmp_path, 3, start=10_000_000)
    beacon_id = laptop.provision(1)
    file = laptop.file()
    merge(fleet.registry, file)
    fleet.registry.moved(beacon_id, "hospital", "ward 2")
    for _ in range(2):
        assert not merge(fleet.registry, file).is_news
        assert fleet.registry.find(beacon_id).site == "hospital"
    assert verify(fleet.registry).findings == ()
    laptop.registry.close()


@pytest.mark.parametrize(
    ("changes", "is_taken"),
    [
        ({"newest_event": 2**40}, False), ({"newest_event": 1_000_001}, False),
        ({"newest_event": -5}, False), ({"newest_event": 1000}, True),
        ({"site": "a" * 5000, "place": "\x1b[2J\n\0"}, True), ({"profile": "\x1b" * 99}, True),
        ({"chip": "\ud7ff\u202e"}, True), ({"settings": "[]"}, False),
        ({"last_ms": 2**62, "first_ms": -(2**62)}, True),
    ],
)  # fmt: skip
def test_no_station_spoils_what_the_officer_hands_to_a_hub(
    fleet, tmp_path, changes: dict, is_taken: bool
) -> None:
    laptop = Laptop(tmp_path, 3)
    good, bad = laptop.provision(1), laptop.provision(2)
    with laptop.registry.change() as session:
        row = session.get_one(BeaconRow, bad)
        row.revocation = RevocationRow(at_ms=2**62, reason="\x1b\n" * 400)
        for name, value in changes.items():
            setattr(row, name, value)
        session.flush()
        laptop.registry.enter(session, "changed", 5, of=row)
    done = merge(fleet.registry, laptop.file())
    assert [one.beacon_id for one in done.conflicts] == ([] if is_taken else [bad])
    keyring = hub_keyring(tmp_path / "hub")
    request = keyring.request()
    made = enrolment.make(fleet.officer, fleet.registry, request, NOW)
    told = enrolment_file.read(keyring.open(made.sealed), request.log_key)
    assert {one.beacon_id for one in told.beacons} == ({good, bad} if is_taken else {good})
    laptop.registry.close()
