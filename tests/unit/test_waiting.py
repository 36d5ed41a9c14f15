"""What waits is bounded for each listener and for all, and nobody's flood costs another's room."""

from collections import Counter

from fanal.heard import Heard, Receipt
from fanal.waiting import KEPT_MS, Waiting

from tests.unit.paper_beacon import T0

MINUTE_MS = 60_000


def waiting(most_per_minute: int = 10, most: int = 40) -> tuple[Waiting, Counter]:
    counts: Counter[str] = Counter()
    return Waiting(counts, "x", most_per_minute, most, slice(0, 2)), counts


def at_hub(number: int, listener: str, t_ms: int = T0, received_ms: int = T0) -> Heard:
    receipt = Receipt(listener, received_ms, t_ms)
    return Heard(number.to_bytes(4, "big") + listener.encode(), None, t_ms, "", receipt)


def here(number: int, t_ms: int = T0) -> Heard:
    return Heard(number.to_bytes(4, "big"), None, t_ms, "")


def test_each_listener_has_a_minute_of_its_own():
    kept, counts = waiting()
    assert [kept.keep(at_hub(n, "flood")) for n in range(15)] == [True] * 10 + [False] * 5
    assert kept.keep(at_hub(1, "other"))
    assert kept.keep(at_hub(99, "other", T0 + MINUTE_MS))
    assert counts == {"x_crowded": 5}


def test_a_minute_that_comes_back_is_still_full():
    kept, _ = waiting(most=1000)
    for n in range(10):
        assert kept.keep(at_hub(n, "one"))
        assert kept.keep(at_hub(n, "one", T0 + MINUTE_MS + n)) or n
    assert not kept.keep(at_hub(50, "one"))


def test_what_was_resolved_gives_its_place_back():
    kept, _ = waiting()
    first = at_hub(0, "one")
    for n in range(10):
        kept.keep(at_hub(n, "one"))
    assert not kept.keep(at_hub(10, "one"))
    assert kept.remove(first.payload)
    assert kept.keep(at_hub(10, "one"))


def test_who_takes_a_quarter_of_the_room_makes_room_for_its_own():
    kept, counts = waiting(most_per_minute=1000, most=40)
    for n in range(5):
        kept.keep(at_hub(n, "quiet"))
    for n in range(500):
        kept.keep(at_hub(n, "flood"))
    assert len(kept) == 15
    assert [first.receipt.listener for first, _ in kept.each()].count("quiet") == 5
    assert counts == {"x_evicted": 490}


def test_all_together_have_a_bound_and_the_oldest_goes():
    kept, counts = waiting(most=40)
    for n in range(60):
        kept.keep(at_hub(n, f"listener {n}"))
    assert len(kept) == 40
    assert kept.each()[0][0].receipt.listener == "listener 20"
    assert counts == {"x_evicted": 20}


def test_a_computer_that_hears_for_itself_has_all_the_room():
    kept, counts = waiting(most_per_minute=1000, most=40)
    for n in range(40):
        kept.keep(here(n))
    assert len(kept) == 40
    assert counts == {}


def test_48_hours_are_counted_from_when_it_came_not_from_what_a_listener_says():
    kept, counts = waiting()
    kept.keep(at_hub(1, "backlog", T0 - 10 * KEPT_MS))
    kept.keep(at_hub(2, "another", T0, T0 + KEPT_MS))
    assert len(kept) == 2
    kept.keep(at_hub(3, "another", T0, T0 + KEPT_MS + 1))
    assert counts == {"x_expired": 1}


def test_nothing_is_left_of_what_is_gone():
    kept, _ = waiting()
    for n in range(30):
        kept.keep(at_hub(n, f"listener {n % 4}", T0 + n * MINUTE_MS))
    for first, _latest in kept.each():
        assert kept.remove(first.payload)
        assert not kept.remove(first.payload)
    assert (len(kept), kept.groups, dict(kept._of_minute), kept._of_listener) == (0, {}, {}, {})
