"""Beacons in arrays say what beacons in objects say: the one is held against the other."""

import builtins
import os
import random
import secrets
from functools import cache

import pytest
from fanal.event_keys import EventKeys
from fanal.heard import Heard, Receipt
from fanal.resolver import WIDE, Resolver
from fanal.sighting import Outcome, Refusal, Sighting
from fanal.watch import Watch
from fanal.wide_watch import WideWatch
from fanal_protocol import keys
from fanal_protocol.line import DUPLICATE, FRESH, REPLAY

from tests.unit.paper_beacon import T0, PaperBeacon, heard

HOUR_MS = 3_600_000
ALL, FEW, NONE = 0xFFFF_FFFF, 0xF000_0000, 0  # bits of a head that count
BEACONS = [PaperBeacon(number) for number in range(1, 6)]


@cache
def alert(number: int, event: int, age_s: int) -> bytes:
    return BEACONS[number].alert(event, age_s)


@cache
def page(number: int, event: int) -> bytes:
    return BEACONS[number].pages(event)[0]


def wide(anchors: list[EventKeys], *, behind: int = 1, head_mask: int = ALL) -> Resolver:
    resolver = Resolver([], behind=behind)
    resolver._watch = WideWatch(2, behind, head_mask)
    resolver.watch(anchors)
    return resolver


def plain(anchors: list[EventKeys], *, behind: int = 1) -> Resolver:
    """Every frame opened, judged and looked up in a table of objects."""
    resolver = Resolver([], behind=behind)
    resolver._repeats.known = lambda _: None
    resolver.watch(anchors)
    assert isinstance(resolver._watch, Watch)
    return resolver


def table(resolver: Resolver) -> WideWatch:
    assert isinstance(resolver._watch, WideWatch)
    return resolver._watch


def anchor(number: int, event: int) -> EventKeys:
    return BEACONS[number].first_keys().later(event, BEACONS[number].key(event))


AGES_S = (0, 2, 40, 900, 2000)
OFFS_MS = (-40_000, -3000, 0, 0, 0, 1000, 5000, 21_000, 40_000, 3_000_000)


def deeds(dice: random.Random) -> list[tuple]:
    """What may happen to five beacons: mostly alerts, of events that come one after another."""
    at = [1] * 5
    told: list[tuple] = []
    for _ in range(120):
        number = dice.randrange(5)
        event = max(1, at[number] + dice.choice((-2, -1, 0, 0, 0, 0, 1, 1, 2, 3, 9)))
        at[number] = event if event < at[number] + 4 and event < 30 else at[number]
        kind = dice.choice(("take",) * 9 + ("page", "watch", "search", "let go", "settle"))
        told.append({
            "take": (kind, number, event, dice.choice(AGES_S), dice.choice(OFFS_MS),
                     dice.random() < 0.15),
            "page": (kind, number, event),
            "watch": (kind, number),
            "search": (kind, dice.randrange(1, 60)),
            "let go": (kind, number, max(2, event - dice.randrange(4))),
            "settle": (kind, dice.random() < 0.5),
        }[kind])  # fmt: skip
        if kind == "take" and dice.random() < 0.5:  # and others hear it too
            last = told[-1]
            told += [(*last[:4], last[4] + off_ms, dice.random() < 0.1)
                     for off_ms in (300, -200, 150)]  # fmt: skip
    return told


def done(resolver: Resolver, deed: tuple, watched: set[int]) -> list[Outcome]:
    match deed:
        case "take", number, event, age_s, off_ms, is_hearsay:
            t_ms = T0 + event * HOUR_MS + 1000 * age_s + off_ms
            receipt = Receipt("a", t_ms, t_ms, is_hearsay=is_hearsay)
            return resolver.take(Heard(alert(number, event, age_s), -60, t_ms, "", receipt))
        case "page", number, event:
            return resolver.take(heard(page(number, event), T0 + event * HOUR_MS))
        case "watch", number:
            if number not in watched:
                resolver.watch([anchor(number, 1)])
        case "search", budget:
            return resolver.search_deeper(budget)
        case "let go", number, event:
            newest = max((b.newest for b in every_beacon(resolver)
                          if b.anchor.beacon_id == BEACONS[number].id), default=0)  # fmt: skip
            if event < newest:
                resolver.let_go({BEACONS[number].id: anchor(number, event)})
        case "settle", is_whole:
            if isinstance(resolver._watch, WideWatch):
                index = resolver._watch.index
                index.compact() if is_whole else index.settle()
    return []


def every_beacon(resolver: Resolver) -> list:
    return [resolver._watch.beacon(place) for place in range(len(resolver._watch))]


@pytest.mark.parametrize("seed", range(24))
def test_arrays_and_objects_say_the_same(seed: int) -> None:
    dice = random.Random(seed)
    behind, head_mask = dice.choice((1, 9, 64)), dice.choice((ALL, FEW))
    first = [anchor(0, 1), anchor(1, 3)]
    ours, oracle = wide(first, behind=behind, head_mask=head_mask), plain(first, behind=behind)
    watched = {0, 1}
    for deed in deeds(dice):
        assert done(ours, deed, watched) == done(oracle, deed, watched), deed
        if deed[0] == "watch":
            watched.add(deed[1])
    assert ours.counts == oracle.counts
    assert [b.newest for b in every_beacon(ours)] == [b.newest for b in every_beacon(oracle)]
    assert {FRESH, DUPLICATE, "unknown"} <= ours.counts.keys()


def test_every_identifier_may_be_anybodys() -> None:
    resolver = wide([b.first_keys() for b in BEACONS[:2]], head_mask=NONE)
    first, second = (resolver.take(heard(alert(n, 2, 900)))[0] for n in (0, 1))
    assert [(s.beacon_id, s.event, s.slot) for s in (first, second)] == [
        (BEACONS[0].id, 2, 1), (BEACONS[1].id, 2, 1),
    ]  # fmt: skip
    assert isinstance(resolver.take(heard(alert(2, 1, 0)))[0], Refusal)


def test_a_watch_grows_wide_with_all_it_knows() -> None:
    resolver = Resolver([b.first_keys() for b in BEACONS])
    assert resolver.take(heard(alert(0, 1, 0)))[0].verdict == FRESH
    assert resolver.take(heard(alert(1, 9, 0)))[0].reason == "unknown"
    while resolver.has_unsearched:
        resolver.search_deeper(50)
    said = Heard(alert(3, 2, 0), -60, T0, "", Receipt("x", T0, T0, is_hearsay=True))
    assert resolver.take(said)[0].verdict == FRESH
    resolver.watch(strangers(WIDE))
    assert len(table(resolver)) == WIDE + 5
    assert resolver.take(heard(alert(0, 1, 0), T0 + 1000))[0].verdict == DUPLICATE
    assert resolver.take(heard(alert(0, 1, 0), T0 + HOUR_MS))[0].verdict == REPLAY
    assert resolver.take(heard(alert(1, 9, 0)))[0].verdict == DUPLICATE
    assert resolver.take(heard(alert(1, 11, 0), T0 + HOUR_MS))[0].verdict == FRESH
    assert resolver.take(Heard(said.payload, -60, T0 + 1, "", said.receipt))[0].verdict == DUPLICATE
    assert resolver.take(heard(alert(4, 2, 0)))[0].verdict == FRESH


def strangers(count: int, seed: int = 1) -> list[EventKeys]:
    dice = random.Random(seed)
    return [
        EventKeys(keys.beacon_id(public := dice.randbytes(32)), public, 1, dice.randbytes(32))
        for _ in range(count)
    ]


def test_what_waited_is_found_when_a_thousand_are_added() -> None:
    resolver = wide([])
    for event in (1, 2, 3):
        assert resolver.take(heard(alert(0, event, 0), T0 + event * HOUR_MS))[0].reason == "unknown"
    resolver.watch([*strangers(500), BEACONS[0].first_keys(), *strangers(500, 2)])
    assert [s.event for s in resolver.search_deeper(0)] == [1, 2, 3]


def test_without_numpy_the_table_of_objects_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: object) -> object:
        if name.startswith(("numpy", "fanal.wide_watch")):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    resolver = Resolver([*strangers(WIDE), BEACONS[0].first_keys()])
    assert isinstance(resolver._watch, Watch)
    assert resolver.take(heard(alert(0, 20, 0)))[0].reason == "unknown"
    found = []
    while resolver.has_unsearched:
        found += resolver.search_deeper(5000)
    assert [s.event for s in found] == [20]


def test_out_of_date_entries_leave_when_runs_join() -> None:
    resolver = wide([b.first_keys() for b in BEACONS])
    index = table(resolver).index
    for event in range(1, 12, 2):
        for number in range(5):
            t_ms = T0 + event * HOUR_MS
            assert resolver.take(heard(alert(number, event, 0), t_ms))[0].verdict == FRESH
    assert len(index) > 5 * 4 * 96
    index.compact()
    # events 10 to 13, and 2 to 5, which have the same references
    assert len(index) == 5 * 8 * 96
    assert [len(run) for run in index.runs] == [len(index)]
    for number in range(5):
        assert resolver.take(heard(alert(number, 12, 0), T0 + 12 * HOUR_MS))[0].verdict == FRESH


def test_two_beacons_of_one_id_are_both_let_go() -> None:
    resolver = wide([BEACONS[0].first_keys(), BEACONS[0].first_keys(), BEACONS[1].first_keys()])
    assert table(resolver).rows.places_of(BEACONS[0].id) == [0, 1]
    assert table(resolver).rows.places_of("ZZZZZZZZ") == []
    resolver.take(heard(alert(0, 2, 0)))
    resolver.let_go({BEACONS[0].id: anchor(0, 2), "nobody": anchor(1, 2)})
    assert resolver.take(heard(alert(0, 1, 0)))[0].reason == "unknown"


def test_what_is_no_id_of_ours_is_refused() -> None:
    with pytest.raises(ValueError, match="8 letters"):
        wide([EventKeys("short", bytes(32), 1, bytes(32))])
    with pytest.raises(ValueError, match="32 bytes"):
        wide([EventKeys("ABCDEFGH", bytes(32), 1, bytes(31))])


def test_a_day_replayed_is_replays_and_moves_nothing() -> None:
    resolver = wide([b.first_keys() for b in BEACONS])
    day = [
        (T0 + 1000 * age_s, alert(number, event, age_s))
        for number in range(5) for event in (1,) for age_s in range(0, 86_400, 3600)
    ]  # fmt: skip
    day.sort()
    for _ in range(2):  # heard by two
        for t_ms, payload in day:
            resolver.take(heard(payload, t_ms))
    assert resolver.counts == {FRESH: len(day), DUPLICATE: len(day)}
    newest = [b.newest for b in every_beacon(resolver)]
    for t_ms, payload in day:
        assert resolver.take(heard(payload, t_ms + 86_400_000))[0].verdict == REPLAY
    assert [b.newest for b in every_beacon(resolver)] == newest


@pytest.mark.skipif("FANAL_LONG_TESTS" not in os.environ, reason="set FANAL_LONG_TESTS to run it")
@pytest.mark.timeout(1200)
def test_a_million_random_packets_are_nobodys() -> None:
    resolver = wide([*strangers(20_000), *(b.first_keys() for b in BEACONS)])
    for at in range(1_000_000):
        payload = b"\x20" + secrets.token_bytes(8) + b"\x00\x01" + secrets.token_bytes(12)
        assert isinstance(resolver.take(heard(payload, T0 + at))[0], Refusal)
    seen = resolver.take(heard(alert(0, 1, 0), T0 + 1_000_000))[0]
    assert isinstance(seen, Sighting)
    assert resolver.counts["unknown"] == 1_000_000


@pytest.mark.parametrize("is_wide", [False, True])
def test_an_anchor_that_was_moved_keeps_its_number(is_wide: bool) -> None:
    make = wide if is_wide else plain
    resolver = make([anchor(0, 6)], behind=64)
    assert resolver.take(heard(alert(0, 6, 0)))[0].event == 6
    assert resolver.take(heard(alert(0, 7, 0), T0 + HOUR_MS))[0].event == 7
    resolver = make([anchor(0, 6)], behind=64)
    assert resolver.take(heard(alert(0, 20, 0)))[0].reason == "unknown"
    found = []
    while resolver.has_unsearched:
        found += resolver.search_deeper(100)
    assert [s.event for s in found] == [20]


@pytest.mark.parametrize("is_wide", [False, True])
def test_the_newest_event_is_believed_of_who_knows_it(is_wide: bool) -> None:
    resolver = (wide if is_wide else plain)([], behind=64)
    resolver.watch([anchor(0, 6)], newest={BEACONS[0].id: 9})
    for event in (11, 9, 6):
        seen = resolver.take(heard(alert(0, event, 0), T0 + event * HOUR_MS))[0]
        assert isinstance(seen, Sighting)
        assert seen.event == event
