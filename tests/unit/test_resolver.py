"""Heard in, sightings and named refusals out: what a resolver must never get wrong."""

import random

import pytest
from fanal.event_keys import all_rids
from fanal.resolver import Resolver
from fanal.sighting import ALERT, DRILL, TEST, Refusal, Sighting
from fanal_protocol import keys, slot
from fanal_protocol.line import DUPLICATE, FRESH, LATE, REPLAY
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.paper_beacon import T0, PaperBeacon, heard, lossy, one_per_address

BEACON = PaperBeacon()
HOUR_MS = 3600_000


@pytest.fixture
def resolver() -> Resolver:
    return Resolver([BEACON.first_keys()])


def sighting(resolver: Resolver, payload: bytes, t_ms: int = T0) -> Sighting:
    outcome = resolver.take(heard(payload, t_ms))[0]
    assert isinstance(outcome, Sighting), outcome
    return outcome


def refusal(resolver: Resolver, payload: bytes, t_ms: int = T0) -> str:
    outcome = resolver.take(heard(payload, t_ms))[0]
    assert isinstance(outcome, Refusal), outcome
    return outcome.reason


def test_an_alert_says_who_when_and_what(resolver: Resolver) -> None:
    seen = sighting(resolver, BEACON.alert(1, 64, battery=160, crumbs=3, resumed=True), T0)
    assert (seen.beacon_id, seen.event, seen.slot, seq := seen.seq) == (BEACON.id, 1, 0, 32), seq
    assert (seen.age_s, seen.began_ms, seen.verdict) == (64, T0 - 64_000, FRESH)
    assert (seen.battery_mv, seen.crumbs, seen.phase, seen.resumed) == (3200, 3, 0, True)
    assert (seen.kind, seen.readable, seen.rssi_dbm) == (ALERT, True, -60)


def test_kinds() -> None:
    def kind(**what: object) -> str:
        return sighting(Resolver([BEACON.first_keys()]), BEACON.alert(1, **what)).kind

    assert kind() == ALERT
    assert kind(drill=True) == DRILL
    assert kind(activation=0) == TEST
    assert kind(activation=0, drill=True) == TEST


@pytest.mark.parametrize(
    ("status", "phase"), [(0x40, 0), (0x21, 0), (0x24, 0), (0x20, 2), (0xF0, 0), (0x01, 0)]
)
def test_what_cannot_be_read_is_an_alert_and_counts(status: int, phase: int) -> None:
    resolver = Resolver([BEACON.first_keys()])
    seen = sighting(resolver, BEACON.alert(1, status=status, phase=phase))
    assert (seen.readable, seen.kind, seen.verdict) == (False, ALERT, FRESH)
    assert sighting(resolver, BEACON.alert(1, status=status, phase=phase)).verdict == DUPLICATE


def test_refusals_by_name_in_their_order(resolver: Resolver) -> None:
    good = BEACON.alert(1)
    assert refusal(resolver, good[:-1]) == "length"
    assert refusal(resolver, bytes([0x40]) + good[1:]) == "version"
    assert refusal(resolver, bytes([0x38]) + good[1:]) == "type"
    assert refusal(resolver, bytes([0x21]) + good[1:]) == "reserved"
    assert refusal(resolver, bytes([0x28]) + good[1:]) == "length"
    assert refusal(resolver, good[:9] + b"\x01\xc2" + good[11:]) == "seq"
    assert refusal(resolver, BEACON.pages(1)[0].replace(b"\x28\x00", b"\x28\x0c", 1)) == "page"
    assert refusal(resolver, PaperBeacon(2).alert(1)) == "unknown"
    assert refusal(resolver, BEACON.pages(1)[0]) == "unknown"
    assert refusal(resolver, good[:-1] + bytes([good[-1] ^ 1])) == "tag"
    assert resolver.counts == {"length": 2, "version": 1, "type": 1, "reserved": 1, "seq": 1,
                               "page": 1, "unknown": 2, "tag": 1}  # fmt: skip


def test_every_flipped_bit_and_every_truncation_is_refused(resolver: Resolver) -> None:
    good = BEACON.alert(1)
    for bit in range(8 * len(good)):
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        refusal(resolver, bytes(bad))
    for length in range(len(good)):
        refusal(resolver, good[:length])
    assert sighting(resolver, good).verdict == FRESH


@given(st.binary(max_size=32))
def test_any_bytes_get_a_name(payload: bytes) -> None:
    assert refusal(Resolver([BEACON.first_keys()]), payload)


def test_the_table_is_that_of_the_protocol() -> None:
    rid_key = keys.rid_key(BEACON.key(3))
    assert all_rids(rid_key) == [slot.rid(rid_key, s) for s in range(96)]


def test_the_window_holds_the_one_before_and_two_more(resolver: Resolver) -> None:
    assert refusal(resolver, BEACON.alert(3)) == "unknown"
    for event in (1, 2, 4):
        assert sighting(resolver, BEACON.alert(event), T0 + event * HOUR_MS).event == event
    assert sighting(resolver, BEACON.alert(3), T0 + 5 * HOUR_MS).verdict == REPLAY
    assert refusal(resolver, BEACON.alert(2), T0 + 5 * HOUR_MS) == "unknown"
    assert refusal(resolver, BEACON.alert(7), T0 + 5 * HOUR_MS) == "unknown"
    assert sighting(resolver, BEACON.alert(6), T0 + 5 * HOUR_MS).event == 6


def test_a_replay_moves_no_window() -> None:
    resolver = Resolver([BEACON.first_keys()])
    sighting(resolver, BEACON.alert(2), T0)
    assert sighting(resolver, BEACON.alert(1), T0 + HOUR_MS).verdict == REPLAY
    assert sighting(resolver, BEACON.alert(4), T0 + 2 * HOUR_MS).event == 4


def test_verdicts(resolver: Resolver) -> None:
    first = BEACON.alert(1, 0)
    assert sighting(resolver, first, T0).verdict == FRESH
    assert sighting(resolver, first, T0 + 300).verdict == DUPLICATE
    assert sighting(resolver, BEACON.alert(1, 20), T0 + 20_000).verdict == FRESH
    assert sighting(resolver, BEACON.alert(1, 10), T0 + 21_000).verdict == LATE
    assert sighting(resolver, first, T0 + HOUR_MS).verdict == REPLAY


def test_a_genuine_frame_unmasks_the_replay_before_it(resolver: Resolver) -> None:
    delayed = sighting(resolver, BEACON.alert(1, 0), T0 + 600_000)
    assert (delayed.verdict, delayed.began_ms) == (FRESH, T0 + 600_000)
    honest = sighting(resolver, BEACON.alert(1, 610), T0 + 610_000)
    assert honest.left == ((T0 + 600_000, 0, 0),)
    assert honest.began_ms == T0


def test_a_restart_forgets_no_replay() -> None:
    before = Resolver([BEACON.first_keys()])
    seen = sighting(before, BEACON.alert(5 - 4, 8), T0)
    lines = {(seen.beacon_id, seen.event): [(seen.t_ms, seen.slot, seen.seq)]}
    after = Resolver([BEACON.first_keys()], lines)
    assert sighting(after, BEACON.alert(1, 8), T0 + HOUR_MS).verdict == REPLAY
    assert sighting(after, BEACON.alert(1, 8), T0 + 1000).verdict == DUPLICATE
    assert sighting(after, BEACON.alert(3), T0 + HOUR_MS).verdict == FRESH


def test_a_restart_with_a_high_event_number_needs_no_search() -> None:
    resolver = Resolver([BEACON.first_keys()], {(BEACON.id, 41): [(T0, 0, 0)]})
    assert sighting(resolver, BEACON.alert(43), T0 + HOUR_MS).event == 43
    assert sighting(resolver, BEACON.alert(42), T0 + HOUR_MS).event == 42


def test_forty_unheard_events_are_found(resolver: Resolver) -> None:
    others = [PaperBeacon(n).first_keys() for n in range(2, 12)]
    resolver = Resolver([*others, BEACON.first_keys()])
    assert refusal(resolver, BEACON.alert(41, 10), T0) == "unknown"
    assert refusal(resolver, BEACON.alert(41, 20), T0 + 10_000) == "unknown"
    found, calls = [], 0
    while resolver.has_unsearched:
        found += resolver.search_deeper(16)
        calls += 1
    assert [(s.beacon_id, s.event, s.age_s, s.verdict) for s in found] == [
        (BEACON.id, 41, 10, FRESH), (BEACON.id, 41, 20, FRESH),
    ]  # fmt: skip
    assert calls <= 41 * 11 / 16 + 2
    assert sighting(resolver, BEACON.alert(43), T0 + HOUR_MS).event == 43


def test_a_search_is_bounded_and_ends(resolver: Resolver) -> None:
    assert resolver.search_deeper(1000) == []
    refusal(resolver, PaperBeacon(9).alert(1))
    calls = 0
    while resolver.has_unsearched:
        assert resolver.search_deeper(100) == []
        calls += 1
    assert 10 <= calls <= 12
    refusal(resolver, PaperBeacon(9).alert(1))  # the same again starts no new search
    assert not resolver.has_unsearched


def test_an_echoed_identifier_makes_no_event(resolver: Resolver) -> None:
    real = BEACON.alert(30)
    assert refusal(resolver, real[:-8] + bytes(8)) == "unknown"
    while resolver.has_unsearched:
        assert resolver.search_deeper(500) == []
    assert sighting(resolver, BEACON.alert(2)).event == 2


def test_what_waited_is_resolved_when_the_window_moves(resolver: Resolver) -> None:
    assert refusal(resolver, BEACON.alert(4, 0), T0 + HOUR_MS) == "unknown"
    assert refusal(resolver, BEACON.alert(6, 0), T0 + 2 * HOUR_MS) == "unknown"
    outcomes = resolver.take(heard(BEACON.alert(2, 0), T0))
    assert [(s.event, s.verdict) for s in outcomes] == [(2, FRESH), (4, FRESH), (6, FRESH)]
    assert resolver.counts["found_later"] == 2


def test_a_new_beacon_is_found_in_what_waited() -> None:
    resolver = Resolver([])
    refusal(resolver, BEACON.alert(1))
    refusal(resolver, BEACON.alert(9), T0 + HOUR_MS)
    while resolver.has_unsearched:
        assert resolver.search_deeper(500) == []
    resolver.watch([BEACON.first_keys()])
    assert [s.event for s in resolver.search_deeper(500)] == [1, 9]


def test_waiting_is_bounded_per_minute_and_ends_after_48_hours(resolver: Resolver) -> None:
    dice = random.Random(5)
    for _ in range(1000):
        resolver.take(heard(b"\x20" + dice.randbytes(8) + b"\x00\x01" + dice.randbytes(12), T0))
    assert resolver.counts["alerts_crowded"] == 1000 - 240
    refusal(resolver, BEACON.alert(4), T0 + 60_000)
    refusal(resolver, PaperBeacon(3).alert(1), T0 + 60_001 + 48 * HOUR_MS)
    assert resolver.counts["alerts_expired"] == 241
    assert len(resolver.take(heard(BEACON.alert(2), T0 + 50 * HOUR_MS))) == 1


def test_a_colliding_identifier_is_decided_by_the_tag() -> None:
    twin = PaperBeacon(7)
    resolver = Resolver([BEACON.first_keys(), twin.first_keys()])
    events = [e for b in resolver._watch.beacons for e in b.events.values() if e.number == 1]
    rid = BEACON.rid(1, 0)
    resolver._watch._table[rid] = [(events[1], 0), (events[0], 0)]
    assert sighting(resolver, BEACON.alert(1)).beacon_id == BEACON.id
    sighting(resolver, BEACON.alert(3), T0 + HOUR_MS)  # event 1 leaves the table
    assert [c[0] for c in resolver._watch.candidates(rid)] == [events[1]]


def test_no_key_is_shown(resolver: Resolver) -> None:
    shown = repr(BEACON.first_keys()) + repr(resolver) + repr(resolver.take(heard(BEACON.alert(1))))
    assert BEACON.key(1).hex() not in shown
    assert repr(BEACON.key(1)) not in shown


@pytest.mark.parametrize("loss", [0.0, 0.6, 0.9])
def test_an_event_over_a_bad_air(loss: float) -> None:
    resolver = Resolver([BEACON.first_keys()])
    for item in lossy(BEACON.on_air(1, T0, 1000), loss):
        for outcome in resolver.take(item):
            # a page may come before the alert of its slot, and then waits
            assert not isinstance(outcome, Refusal) or outcome.is_kept
    counts = resolver.counts
    assert counts[REPLAY] == counts[LATE] == 0
    assert counts["signatures"] == 2  # the second slot has its own
    assert counts[FRESH] > (300 if loss < 0.9 else 150)


def test_a_listener_that_hears_one_frame_per_address() -> None:
    resolver = Resolver([BEACON.first_keys()])
    frames = list(one_per_address(BEACON.on_air(1, T0, 60)))
    assert len(frames) == 30
    outcomes = [o for item in frames for o in resolver.take(item)]
    assert sum(isinstance(o, Sighting) for o in outcomes) == 10
    assert resolver.counts["signatures"] == 1
