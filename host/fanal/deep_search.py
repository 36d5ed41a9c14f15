"""Looking for alerts that nobody has, in the events beyond all windows: many at a time. SPEC 3.4.

By two walks over all beacons, breadth first, since few are squeezed often out of everyone's reach:
first the next event of every beacon, then the one after it. The first walk goes SHALLOW events far
and then begins again; the second one looks into the rest. An identifier joins the first one between
two layers, wherever it stands, leaves it when it stands there again, and joins the second one. So
nobody waits for what others are looked for in: within SHALLOW + 1 layers all of it was looked into.
All that are in a walk share it, so that what strangers send costs nothing. A beacon whose window
moves meanwhile is looked into at once, by itself.

An event costs one step of the ratchet, one key and 96 blocks of AES, some 6 us; nothing is kept of
it but the next key.
"""

from collections.abc import Container, Iterable, Iterator, Sequence

from fanal.deep_walk import STEPS, Hit, Walk, beyond, hits_among
from fanal.event_keys import next_and_rid_key
from fanal.sieve import Sieve
from fanal.watch import AnyWatch

DEEPEST = 1024  # events beyond the window in which a waiting alert is looked for
SHALLOW = 64  # those of them in which each is looked for first

_SECOND = 4  # the second walk has one event of so many, while the first one has work
_MOST = 40_000  # identifiers, before those of them that wait no more are given up


class DeepSearch:
    """All that is looked for beyond the windows. The beacons may become more meanwhile."""

    def __init__(self) -> None:
        self._sieve = Sieve()  # all that is in a walk, or about to join one
        shallow = min(SHALLOW, DEEPEST)
        self._first = Walk(0, shallow)
        self._second = Walk(shallow, DEEPEST - shallow)
        self._moved: dict[int, None] = {}

    def __bool__(self) -> bool:
        """Whether anything is looked for."""
        return len(self._sieve) > 0

    def want(self, rids: Iterable[bytes], waiting: Container[bytes]) -> None:
        """Look for these identifiers, 8 bytes each, in all there is. waiting: as of `look`."""
        for rid in rids:
            if rid in waiting:
                self._second.leave(rid)
                self._first.join(rid)
                self._sieve.add(rid)
        if len(self._sieve) > _MOST:
            for walk in (self._first, self._second):
                self._give_up([rid for rid in walk.members() if rid not in waiting])

    def moved(self, place: int) -> None:
        """Look soon into what is beyond the window of a beacon by now: that was not before."""
        if self:
            self._moved[place] = None
            for walk in (self._first, self._second):
                walk.begin_again_with(place)

    def look(self, watch: AnyWatch, waiting: Container[bytes], budget: int) -> Iterator[Hit]:
        """Look into about `budget` events, and yield those in which something is.

        waiting: the identifiers that wait; the others are given up.
        """
        first, second = self._first, self._second
        for walk in (first, second):
            self._give_up(walk.first_gone(waiting))
        if not self:
            self._moved.clear()
        left = budget
        while self._moved and left > budget // 2:
            place = next(iter(self._moved))
            del self._moved[place]
            cost, hits = self._look_beyond(watch, place)
            left -= cost
            yield from hits
        kept = left // _SECOND if second else 0
        for walk, until in ((first, kept), (second, 0), (first, 0)):
            while left > until and walk:
                if walk.at_layer and not self._begin_layer(walk, len(watch), waiting):
                    continue
                cost, hits = walk.look(watch, self._sieve, left - until)
                left -= cost
                # of a beacon that moved all is looked into in order, or what is between would be
                # before its window
                yield from (hit for hit in hits if hit.place not in self._moved)

    def _begin_layer(self, walk: Walk, beacons: int, waiting: Container[bytes]) -> bool:
        """Let go of what a walk has looked for everywhere; return whether it goes on."""
        self._give_up(walk.first_gone(waiting))
        for rid in walk.complete():
            if walk is self._first and self._second.layers:
                walk.leave(rid)
                self._second.join(rid)
            elif not self._moved:  # what is beyond those windows was passed by, and is still due
                walk.leave(rid)
                self._sieve.discard(rid)
        return walk.begin_layer(beacons)

    def _give_up(self, rids: Sequence[bytes]) -> None:
        for rid in rids:
            self._first.leave(rid)
            self._second.leave(rid)
            self._sieve.discard(rid)

    def _look_beyond(self, watch: AnyWatch, place: int) -> tuple[int, list[Hit]]:
        """Look into what both walks look into, for one beacon."""
        event, event_key, steps = beyond(watch, place, 0)
        events, rid_keys = [], []
        for number in range(event, event + self._first.layers + self._second.layers):
            events.append((place, number, event_key))
            event_key, rid_key = next_and_rid_key(event_key)
            rid_keys.append(rid_key)
        return len(events) + steps // STEPS, hits_among(self._sieve, events, rid_keys)
