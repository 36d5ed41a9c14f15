"""What is heard again is known without opening it, and is never taken for more than it is."""

import pytest
from fanal.pages import NEAR_MS
from fanal.resolver import Resolver
from fanal.sighting import PageMatched, Sighting
from fanal_protocol.line import DUPLICATE, FRESH, LATE, REPLAY

from tests.unit.paper_beacon import T0, PaperBeacon, heard

BEACON = PaperBeacon()
HOUR_MS = 3_600_000


@pytest.fixture
def resolver() -> Resolver:
    return Resolver([BEACON.first_keys()])


def verdict(resolver: Resolver, payload: bytes, t_ms: int) -> str:
    seen = resolver.take(heard(payload, t_ms))[0]
    assert isinstance(seen, Sighting)
    return seen.verdict


def known(resolver: Resolver, payload: bytes, t_ms: int) -> bool:
    return resolver._repeats.known(heard(payload, t_ms)) is not None


def test_six_hear_it_and_it_is_opened_twice(resolver: Resolver) -> None:
    payload = BEACON.alert(1, 0)
    verdicts = [verdict(resolver, payload, T0 + off) for off in (0, 30, 10, 700, 20, 4000)]
    assert verdicts == [FRESH] + 5 * [DUPLICATE]
    assert known(resolver, payload, T0 + 15_000)
    assert not known(resolver, payload, T0 - 1)
    again = resolver.take(heard(payload, T0 + 5, -71, "there"))[0]
    assert (again.rssi_dbm, again.t_ms, again.began_ms, again.left) == (-71, T0 + 5, T0, ())


def test_what_is_too_late_beside_another_is_no_repeat(resolver: Resolver) -> None:
    assert verdict(resolver, BEACON.alert(1, 0), T0) == FRESH
    slow = BEACON.alert(1, 2)  # 20 s late, which is within what a line bears
    assert verdict(resolver, slow, T0 + 22_000) == FRESH
    assert verdict(resolver, slow, T0 + 23_000) == DUPLICATE
    assert verdict(resolver, slow, T0 + 35_000) == REPLAY
    assert verdict(resolver, slow, T0 + 22_500) == DUPLICATE


def test_a_line_that_moves_makes_it_a_replay(resolver: Resolver) -> None:
    delayed = BEACON.alert(1, 0)
    for off in (600_000, 600_500):
        verdict(resolver, delayed, T0 + off)
    assert known(resolver, delayed, T0 + 600_100)
    assert verdict(resolver, BEACON.alert(1, 610), T0 + 610_000) == FRESH
    assert verdict(resolver, delayed, T0 + 600_100) == REPLAY
    assert verdict(resolver, delayed, T0 + 100) == LATE


def test_a_later_event_makes_it_a_replay(resolver: Resolver) -> None:
    first = BEACON.alert(1, 0)
    for off in (0, 5000):
        verdict(resolver, first, T0 + off)
    verdict(resolver, BEACON.alert(2, 0), T0 - 40_000)
    assert verdict(resolver, first, T0 + 100) == REPLAY


@pytest.mark.parametrize("is_let_go", [False, True])
def test_an_event_out_of_the_window_is_known_no_more(resolver: Resolver, is_let_go: bool) -> None:
    first = BEACON.alert(1, 0)
    for off in (0, 5000):
        verdict(resolver, first, T0 + off)
    verdict(resolver, BEACON.alert(2, 0), T0 + HOUR_MS)
    for off in (0, 5000):  # learnt anew
        verdict(resolver, first, T0 + off)
    if is_let_go:
        resolver.let_go({BEACON.id: BEACON.first_keys().ahead(2)})
    else:
        verdict(resolver, BEACON.alert(3, 0), T0 + 2 * HOUR_MS)
    assert resolver.take(heard(first, T0 + 100))[0].reason == "unknown"


def test_a_page_near_the_last_that_heard_it_finds_its_owner(resolver: Resolver) -> None:
    payload, page = BEACON.alert(1, 0), BEACON.pages(1)[0]
    for off in (0, 100):
        verdict(resolver, payload, T0 + off)
    page_ms = T0 + HOUR_MS // 2 + 15_000
    assert resolver.take(heard(page, page_ms))[0].reason == "unknown"
    assert known(resolver, payload, T0 + 15_000)
    outcomes = resolver.take(heard(payload, T0 + 15_000))
    assert [type(one) for one in outcomes] == [Sighting, PageMatched]


def test_nothing_is_known_into_the_next_half_hour(resolver: Resolver) -> None:
    """The next half hour of the clock has to learn of the slot, so that pages find it there."""
    end_ms = (T0 // NEAR_MS + 1) * NEAR_MS
    payload, page = BEACON.alert(1, 0), BEACON.pages(1)[0]
    assert [verdict(resolver, payload, end_ms - off) for off in (8000, 8000)] == [FRESH, DUPLICATE]
    assert known(resolver, payload, end_ms - 1)
    assert not known(resolver, payload, end_ms)
    assert verdict(resolver, payload, end_ms + 1000) == DUPLICATE
    # near the second half hour alone
    outcomes = resolver.take(heard(page, end_ms + 1000 + NEAR_MS))
    assert [type(one) for one in outcomes] == [PageMatched]


def test_what_is_remembered_is_bounded(resolver: Resolver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fanal.repeats._MOST", 10)
    for unit in range(50):
        for off in (0, 100):
            verdict(resolver, BEACON.alert(1, 2 * unit), T0 + 2000 * unit + off)
    assert len(resolver._repeats._known) + len(resolver._repeats._older) <= 20
