"""What waits is bounded for each listener and for all, and nobody's flood costs another's room."""

import random
from collections import Counter

import pytest
from fanal.heard import Heard, Receipt
from fanal.waiting import KEPT_MS, LOT_BYTES, Waiting

from tests.unit.paper_beacon import T0

MINUTE_MS = 60_000
BEGIN_MS = T0 - T0 % MINUTE_MS


def waiting(
    most_per_minute: int = 10, most: int = 40, lot: bytes = bytes(LOT_BYTES)
) -> tuple[Waiting, Counter]:
    counts: Counter[str] = Counter()
    return Waiting(counts, "x", most_per_minute, most, group=slice(0, 2), lot=lot), counts


def at_hub(number: int, listener: str, t_ms: int = T0, received_ms: int = T0) -> Heard:
    receipt = Receipt(listener, received_ms, t_ms)
    return Heard(number.to_bytes(4, "big") + listener.encode(), None, t_ms, "", receipt)


def here(number: int, t_ms: int = T0) -> Heard:
    return Heard(number.to_bytes(4, "big"), None, t_ms, "")


def of(kept: Waiting, listener: str) -> set[bytes]:
    return {one.payload for one, _ in kept.each()
            if one.receipt is not None and one.receipt.listener == listener}  # fmt: skip


def test_each_listener_has_a_minute_of_its_own():
    kept, counts = waiting()
    for n in range(15):
        kept.keep(at_hub(n, "flood"))
        assert len(of(kept, "flood")) == min(n + 1, 10)
    assert counts == {"x_crowded": 5}
    assert kept.keep(at_hub(1, "other"))
    assert kept.keep(at_hub(99, "other", T0 + MINUTE_MS))
    assert counts == {"x_crowded": 5}


def test_a_minute_that_comes_back_is_still_full():
    kept, counts = waiting(most=1000)
    for n in range(10):
        kept.keep(at_hub(n, "one"))
        kept.keep(at_hub(100 + n, "one", T0 + MINUTE_MS + n))
    assert counts == {}
    for n in range(200, 210):
        kept.keep(at_hub(n, "one"))
    assert (len(kept), counts) == (20, {"x_crowded": 10})


def test_what_was_resolved_gives_its_place_back():
    kept, counts = waiting()
    for n in range(10):
        kept.keep(at_hub(n, "one"))
    assert kept.remove(at_hub(0, "one").payload)
    assert kept.keep(at_hub(10, "one"))
    assert counts == {}


@pytest.mark.parametrize("flood", [240, 1000])
def test_a_flood_as_each_minute_begins_keeps_no_beacon_out(flood: int):
    # each of the 30 alerts of a minute would stay out of all of them by (1 - 240 / 1030) ** 30
    dice, missed = random.Random(7), 0
    kept, counts = waiting(240, 100_000, dice.randbytes(LOT_BYTES))
    for minute in range(40):
        for _ in range(flood):
            kept.keep(Heard(dice.randbytes(23), None, BEGIN_MS + MINUTE_MS * minute, ""))
        true = [here(1000 * minute + n, BEGIN_MS + MINUTE_MS * minute + 2000 * n)
                for n in range(30)]  # fmt: skip
        stay = {one.payload for one in true if kept.keep(one)}
        missed += not any(one.payload in stay for one, _ in kept.each()[-240:])
    assert missed == 0
    assert len(kept) == 240 * 40
    assert counts == {"x_crowded": 40 * (flood + 30 - 240)}


def test_who_was_out_of_luck_draws_again_each_minute():
    """A page is the same for a quarter of an hour."""
    dice = random.Random(8)
    kept, _ = waiting(10, 100_000, dice.randbytes(LOT_BYTES))
    lucky = []
    for minute in range(60):
        at_ms = BEGIN_MS + MINUTE_MS * minute
        for _ in range(20):
            kept.keep(Heard(dice.randbytes(23), None, at_ms, ""))
        if kept.keep(here(1, at_ms)):
            lucky.append(minute)
            kept.remove(here(1).payload)
    assert 10 < len(lucky) < 50


def test_who_starts_anew_with_the_same_lot_keeps_the_same():
    dice = random.Random(9)
    first, _ = waiting(most=1000, lot=b"a" * LOT_BYTES)
    everything = [at_hub(n, "one", T0 + dice.randrange(3) * MINUTE_MS) for n in range(300)]
    written = [one for one in everything if first.keep(one)]
    assert len(written) > len(first), "some were displaced later"
    for lot, is_same in ((b"a", True), (b"b", False)):
        again, _ = waiting(most=1000, lot=lot * LOT_BYTES)
        for one in written:
            again.keep(one)
        assert (again.groups == first.groups) == is_same


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
