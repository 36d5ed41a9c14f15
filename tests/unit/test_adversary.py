"""What somebody with a transmitter, an old copy or a wrong clock can do to whoever listens.

`FANAL_ADVERSARY=SEED,COUNT` makes the floods COUNT packets long, by another seed, and prints what
was done.
"""

import os
import random
from collections.abc import Iterator

import pytest
from fanal.event_keys import EventKeys
from fanal.heard import Heard
from fanal.resolver import WIDE, Resolver
from fanal.sighting import Sighting
from fanal.watch import Watch
from fanal_protocol.line import DUPLICATE, FRESH, LATE, REPLAY

from tests.unit.paper_beacon import T0, PaperBeacon, heard

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
SEED, COUNT = (int(part) for part in os.environ.get("FANAL_ADVERSARY", "1,20000").split(","))
BEACONS = [PaperBeacon(number) for number in range(1, 6)]
MEMORY_BYTES = 250_000_000  # for the process, beyond what it had: all tables of a resolver, full


def strangers(count: int) -> Iterator[EventKeys]:
    """Beacons of the fleet that nobody squeezes."""
    dice = random.Random("strangers")
    for number in range(count):
        name = f"{number:08d}"
        yield EventKeys(name, dice.randbytes(32), 1, dice.randbytes(32))


@pytest.fixture(params=["objects", "arrays"])
def resolver(request: pytest.FixtureRequest) -> Resolver:
    more = strangers(WIDE) if request.param == "arrays" else ()
    made = Resolver([*(b.first_keys() for b in BEACONS), *more])
    assert isinstance(made._watch, Watch) == (request.param == "objects")
    return made


def searched(resolver: Resolver, most: int = 3_000_000) -> list:
    """All that a deep search finds, to its end."""
    found = []
    while resolver.has_unsearched and most > 0:
        found += resolver.search_deeper(5000)
        most -= 5000
    return found


def sightings(outcomes: list) -> list[Sighting]:
    return [one for one in outcomes if isinstance(one, Sighting)]


def with_another_tag(payload: bytes) -> bytes:
    return payload[:-1] + bytes([payload[-1] ^ 1])


# -- identifiers that are echoed


@pytest.mark.parametrize("is_wide", [False, True])
def test_an_echo_ahead_of_a_beacon_does_not_hide_it(is_wide: bool) -> None:
    of_fleet = [b.first_keys() for b in BEACONS] + list(strangers(WIDE if is_wide else 0))
    resolver = Resolver(of_fleet)
    genuine = BEACONS[0].alert(43)
    resolver.take(heard(with_another_tag(genuine), T0))
    for _ in range(46 * len(of_fleet) // 500 + 1):  # as far as the echo, and not to the end
        assert sightings(resolver.search_deeper(500)) == []
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
