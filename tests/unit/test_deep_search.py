"""What nobody has is found in bounded time whatever else is looked for; nothing is left out."""

import builtins
import random
from functools import cache

import pytest
from fanal import deep_search, deep_walk
from fanal.event_keys import BLOCK_BYTES, EVENT_BYTES, EventKeys
from fanal.resolver import WINDOW, Resolver
from fanal.sieve import Sieve
from fanal.sighting import Sighting

from tests.unit.paper_beacon import T0, PaperBeacon, heard

HOUR_MS = 3_600_000
BUDGET = 256
BEACONS = [PaperBeacon(number) for number in range(1, 5)]
FEW, FAR = 8, 24  # events, in place of SHALLOW and DEEPEST


@cache
def alert(number: int, event: int, at_slot: int = 0) -> bytes:
    return BEACONS[number].alert(event, 900 * at_slot)


def strangers(count: int) -> list[EventKeys]:
    dice = random.Random("strangers")
    return [EventKeys(f"{n:08d}", dice.randbytes(32), 1, dice.randbytes(32)) for n in range(count)]


def junk(dice: random.Random) -> bytes:
    return b"\x20" + dice.randbytes(8) + b"\0\1" + dice.randbytes(12)


def searches_until(resolver: Resolver, event: int, most: int) -> int:
    """How many searches until an event is found, with something new of nobody before each."""
    dice = random.Random(3)
    for number in range(1, most + 1):
        resolver.take(heard(junk(dice), T0 + 60_000 * number))
        if any(isinstance(one, Sighting) and one.event == event
               for one in resolver.search_deeper(BUDGET)):  # fmt: skip
            return number
    raise AssertionError(f"not found by {most} searches")


def started(resolver: Resolver, dice: random.Random, searches: int) -> None:
    """Let a search run for the sake of nobody."""
    for number in range(searches):
        resolver.take(heard(junk(dice), T0 + number))
        assert resolver.search_deeper(BUDGET) == []


@pytest.mark.parametrize("searches", [0, 1, 7, 11, 30])
def test_forty_unheard_events_wait_for_no_other_search(searches: int) -> None:
    count = 60
    resolver = Resolver([*strangers(count - 1), BEACONS[0].first_keys()])
    started(resolver, random.Random(1), searches)
    resolver.take(heard(alert(0, 41), T0))
    bound = (deep_search.SHALLOW + 1) * count / (BUDGET * 3 // 4)
    assert searches_until(resolver, 41, 100) <= bound + 2


def test_the_rest_is_looked_into_though_new_ones_come_all_the_time() -> None:
    resolver = Resolver([BEACONS[1].first_keys(), BEACONS[0].first_keys()])
    started(resolver, random.Random(1), 5)
    resolver.take(heard(alert(0, 1000), T0))
    layers = deep_search.DEEPEST + 2
    assert searches_until(resolver, 1000, 100) <= layers * 2 / (BUDGET // 4) + 4


def test_what_others_wait_for_costs_no_more_events(monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[int] = []
    real = deep_walk.rid_blocks

    def counting(rid_keys: list[bytes], events: int) -> bytearray:
        counted.append(events)
        return real(rid_keys, events)

    monkeypatch.setattr(deep_walk, "rid_blocks", counting)
    costs = []
    for many in (1, 200):
        dice, resolver = random.Random(many), Resolver([b.first_keys() for b in BEACONS])
        for _ in range(many):
            resolver.take(heard(junk(dice), T0))
        while resolver.has_unsearched:
            resolver.search_deeper(500)
        costs.append(sum(counted))
        counted.clear()
    assert costs == [4 * deep_search.DEEPEST] * 2


def test_beyond_a_window_that_moved_is_looked_into_first() -> None:
    """A beacon that was found far off is more likely to be what else waits than any other is."""
    resolver = Resolver([*strangers(200), BEACONS[0].first_keys()])
    resolver.take(heard(alert(0, 4), T0))
    resolver.take(heard(alert(0, 4 + deep_search.SHALLOW), T0 + HOUR_MS))
    resolver.take(heard(alert(0, 3 + 2 * deep_search.SHALLOW), T0 + 2 * HOUR_MS))
    found = []
    for _ in range(3):
        found += [one.event for one in resolver.search_deeper(700)]
    assert found == [4, 4 + deep_search.SHALLOW, 3 + 2 * deep_search.SHALLOW]


@pytest.mark.parametrize("budget", [100, 4096, 20_000])
def test_of_one_beacon_all_is_found_by_one_large_search_too(budget: int) -> None:
    """A search that is at its end in the call that moves a window."""
    resolver = Resolver([BEACONS[0].first_keys()])
    for hour, event in enumerate((17, 20, 22, 25)):
        resolver.take(heard(alert(0, event), T0 + HOUR_MS * hour))
    found = []
    while resolver.has_unsearched:
        found += [one.event for one in resolver.search_deeper(budget)]
    assert found == [17, 20, 22, 25]


@pytest.mark.parametrize("budget", [60, 700, 20_000])
def test_what_is_found_far_off_puts_nothing_before_a_window(budget: int) -> None:
    """Each has the distance from the one before at which the walk comes to the one after it."""
    events = (13, 16, 19, 40, 43, 90)
    resolver = Resolver([*strangers(3), BEACONS[0].first_keys()])
    for hour, event in enumerate(events):
        resolver.take(heard(alert(0, event), T0 + HOUR_MS * hour))
    found = []
    while resolver.has_unsearched:
        found += [one.event for one in resolver.search_deeper(budget)]
    assert found == list(events)


@pytest.mark.parametrize("seed", range(40))
def test_whatever_comes_meanwhile_nothing_is_left_out(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deep_search, "SHALLOW", FEW)
    monkeypatch.setattr(deep_search, "DEEPEST", FAR)
    dice = random.Random(seed)
    resolver, watched = Resolver([]), []
    owed: dict[bytes, tuple[int, int]] = {}
    for step in range(120):
        t_ms = T0 + HOUR_MS * step
        kind = dice.choice(("alert",) * 4 + ("search",) * 4 + ("junk", "echo", "watch"))
        if kind == "watch" and len(watched) < len(BEACONS):
            watched.append(len(watched))
            resolver.watch([BEACONS[watched[-1]].first_keys()])
        elif kind == "junk":
            resolver.take(heard(junk(dice), t_ms))
        elif kind == "search":
            resolver.search_deeper(dice.choice((dice.randrange(1, 40), 500)))
        elif kind in ("alert", "echo"):
            number = dice.randrange(len(BEACONS))
            last = WINDOW + (resolver._watch.beacon(number).newest if number in watched else 0)
            event = last + dice.choice((0, 1, 2, 9, 10, FAR - 1, FAR))
            payload = alert(number, event, dice.randrange(3))
            if kind == "echo":
                payload = payload[:-1] + bytes([payload[-1] ^ 1])
            else:
                owed[payload] = number, event
            resolver.take(heard(payload, t_ms))
    while len(watched) < len(BEACONS):
        watched.append(len(watched))
        resolver.watch([BEACONS[watched[-1]].first_keys()])
    most = 10_000
    while resolver.has_unsearched and most > 0:
        resolver.search_deeper(30)
        most -= 1
    assert most > 0, "it never ends"
    left = {payload for payloads in resolver._waiting.groups.values() for payload in payloads}
    newest = {place: resolver._watch.beacon(watched.index(place)).newest for place in watched}
    # what is before the window by now is nobody's any more
    assert not [(number, event) for payload, (number, event) in owed.items()
                if payload in left and event >= newest[number] - 1]  # fmt: skip
    assert resolver._search is None


def test_a_search_for_what_waits_no_more_ends_at_once() -> None:
    resolver = Resolver([b.first_keys() for b in BEACONS])
    resolver.take(heard(junk(random.Random(1)), T0))
    resolver.search_deeper(10)
    resolver.take(heard(alert(0, 1), T0 + 49 * HOUR_MS))
    resolver.take(heard(alert(0, 4), T0 + 49 * HOUR_MS))  # the one before has expired
    resolver._waiting.remove(alert(0, 4))
    resolver.search_deeper(1)
    assert not resolver.has_unsearched


@pytest.mark.parametrize("has_numpy", [True, False])
def test_a_sieve_says_what_a_set_says(has_numpy: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not has_numpy:
        real = builtins.__import__
        monkeypatch.setattr(builtins, "__import__", lambda name, *rest: (
            real(name, *rest) if name != "numpy" else real("there.is.no.numpy")
        ))  # fmt: skip
    sieve, wanted, dice = Sieve(), set(), random.Random(11)
    assert (sieve._heads is not None) == has_numpy

    # few heads, so that identifiers share them
    def rid() -> bytes:
        return bytes((0, dice.randrange(3), dice.randrange(2), 0, 0, 0, 0, dice.randrange(9)))

    for _ in range(60):
        for _ in range(dice.randrange(20)):
            one = rid()
            if dice.random() < 0.6:
                sieve.add(one)
                wanted.add(one)
            else:
                sieve.discard(one)
                wanted.discard(one)
        assert len(sieve) == len(wanted)
        events = dice.randrange(4)
        blocks = bytearray(dice.randbytes(events * EVENT_BYTES + BLOCK_BYTES))
        said: dict[int, list[bytes]] = {}
        for at in sorted(dice.sample(range(0, len(blocks) - BLOCK_BYTES, BLOCK_BYTES), events)):
            blocks[at : at + 8] = one = rid()
            if one in wanted:
                said.setdefault(at // EVENT_BYTES, []).append(one)
        assert sieve.among(blocks, events) == list(said.items())
