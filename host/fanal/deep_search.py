"""Looking for alerts that nobody has, in the events beyond all windows: many at a time. SPEC 3.4.

Breadth first, since few beacons are squeezed often out of everyone's reach: first the next event
of every beacon, then the one after it. An event costs one step of the ratchet, one key and 96
blocks of AES, some 10 us; nothing is kept of it but the next key.
"""

from collections.abc import Callable, Set
from typing import NamedTuple

from fanal_protocol.slot import RID_BYTES, SLOTS

from fanal.event_keys import BLOCK_BYTES, EVENT_BYTES, next_and_rid_key, rid_blocks
from fanal.watch import AnyWatch

DEEPEST = 1024  # events beyond the window in which a waiting alert is looked for

_AT_ONCE = 256

Found = list[tuple[int, list[bytes]]]  # the number of an event, and its identifiers
Sieve = Callable[[bytearray, int], Found]


class Hit(NamedTuple):
    """An event in which something is: of the beacon at `place`, with E_event and identifiers."""

    place: int
    event: int
    event_key: bytes
    rids: list[bytes]


class DeepSearch:
    """One pass over all beacons watched when it began, and over all depths."""

    def __init__(self, watch: AnyWatch, goal: Set[bytes]) -> None:
        """goal: the identifiers, 8 bytes each, for whose sake it is made."""
        self._watch = watch
        self._next: list[tuple[int, bytes] | None] = [None] * len(watch)  # once begun: event, key
        self._place = 0
        self._depth = 0
        self._found = sieve(goal)

    @property
    def at_layer(self) -> bool:
        """Whether it stands before the first beacon: a good moment to give up."""
        return self._place == 0

    @property
    def is_over(self) -> bool:
        """Whether everything was looked into."""
        return self._depth >= DEEPEST or not self._next

    def look(self, budget: int) -> tuple[int, list[Hit]]:
        """Look into up to `budget` events, and at most to the end of a layer.

        Return how many events those were, and those of them in which something of the goal is.
        """
        places = range(self._place, min(self._place + min(budget, _AT_ONCE), len(self._next)))
        events, rid_keys = [], []
        for place in places:
            event, event_key = self._next[place] or self._first(place)
            later, rid_key = next_and_rid_key(event_key)
            self._next[place] = event + 1, later
            events.append((place, event, event_key))
            rid_keys.append(rid_key)
        blocks = rid_blocks(rid_keys, len(events))
        hits = [Hit(*events[number], rids) for number, rids in self._found(blocks, len(events))]
        self._place = places.stop
        if self._place == len(self._next):
            self._place, self._depth = 0, self._depth + 1
        return len(events), hits

    def _first(self, place: int) -> tuple[int, bytes]:
        beacon = self._watch.beacon(place)
        event = self._watch.last(beacon) + 1
        return event, beacon.keys_of(event).event_key


def sieve(goal: Set[bytes]) -> Sieve:
    """Return what finds the events, among many, that have an identifier of `goal`."""
    exact = frozenset(goal)

    def among(data: bytes, number: int) -> Found:
        begin = number * EVENT_BYTES
        rids = [data[at : at + RID_BYTES]
                for at in range(begin, begin + EVENT_BYTES, BLOCK_BYTES)]  # fmt: skip
        return [] if exact.isdisjoint(rids) else [(number, [rid for rid in rids if rid in exact])]

    def every(blocks: bytearray, events: int) -> Found:
        data = bytes(blocks)
        return [hit for number in range(events) for hit in among(data, number)]

    try:
        import numpy as np
    except ImportError:
        return every
    # by the first two bytes: a look at 96 identifiers takes no longer than a key does
    may_be = np.zeros(1 << 16, np.bool_)
    may_be[[int.from_bytes(rid[:2], "big") for rid in exact]] = True

    def likely(blocks: bytearray, events: int) -> Found:
        heads = np.frombuffer(blocks, ">u2", events * EVENT_BYTES // 2)[:: BLOCK_BYTES // 2]
        numbers = np.unique(np.flatnonzero(may_be[heads]) // SLOTS).tolist()
        data = bytes(blocks)
        return [hit for number in numbers for hit in among(data, number)]

    return likely
