"""A walk over all beacons, through events beyond their windows: the next one of each, and so on."""

from array import array
from collections.abc import Container, Sequence
from typing import NamedTuple

from fanal.event_keys import next_and_rid_key, rid_blocks
from fanal.sieve import Sieve
from fanal.watch import AnyWatch

STEPS = 4  # of the ratchet cost what an event does

_AT_ONCE = 256
_KEY_BYTES = 32


class Hit(NamedTuple):
    """An event in which something is: of the beacon at `place`, with E_event and identifiers."""

    place: int
    event: int
    event_key: bytes
    rids: list[bytes]


class Walk:
    """A walk through `layers` events of every beacon, those from `depth` beyond its window on.

    A member is in it from one layer to the one before that, or about to join it.
    """

    def __init__(self, depth: int, layers: int) -> None:
        self.layers = layers
        self._from = depth
        self._depth = 0
        self._layer = 0  # counted from the first one ever
        self._place = 0
        self._end = 0  # of the places of this layer
        self._joined: dict[bytes, int] = {}  # with the layer, in this order
        self._new: dict[bytes, None] = {}
        self._events = array("Q")  # that come next; 0: see `beyond`
        self._keys = bytearray()

    def __bool__(self) -> bool:
        return bool(self._joined or self._new)

    @property
    def at_layer(self) -> bool:
        """Whether it stands between two layers, or nobody is left for whom it would go on."""
        return self._place == self._end or not self._joined

    def members(self) -> list[bytes]:
        """Return all that are in it, or about to be."""
        return [*self._joined, *self._new]

    def join(self, rid: bytes) -> None:
        """Look for an identifier everywhere, from the next layer on."""
        self._joined.pop(rid, None)
        self._new[rid] = None

    def leave(self, rid: bytes) -> None:
        """Look for an identifier no more."""
        self._joined.pop(rid, None)
        self._new.pop(rid, None)

    def first_gone(self, waiting: Container[bytes]) -> list[bytes]:
        """Return the members that wait no more, up to the first one that does."""
        gone: list[bytes] = []
        for kept in (self._joined, self._new):
            for rid in kept:
                if rid in waiting:
                    return gone
                gone.append(rid)
        return gone

    def complete(self) -> list[bytes]:
        """Return the members that were looked for in every layer."""
        done: list[bytes] = []
        for rid, layer in self._joined.items():
            if self._layer - layer < self.layers:
                break
            done.append(rid)
        return done

    def begin_layer(self, beacons: int) -> bool:
        """Take in who is about to join; return whether there is anything to do."""
        if not self._joined or self._depth == self.layers:
            self._depth = 0
            self._events, self._keys = array("Q"), bytearray()
        self._joined.update(dict.fromkeys(self._new, self._layer))
        self._new.clear()
        if self._joined:
            self._place, self._end = 0, beacons
            more = beacons - len(self._events)
            self._events.extend([0] * more)
            self._keys += bytes(_KEY_BYTES * more)
        return bool(self._joined)

    def begin_again_with(self, place: int) -> None:
        """Reckon from the window of a beacon as it is by now."""
        if place < len(self._events):
            self._events[place] = 0

    def look(self, watch: AnyWatch, sieve: Sieve, budget: int) -> tuple[int, list[Hit]]:
        """Look into up to `budget` events, and at most to the end of the layer, as `DeepSearch`."""
        events, rid_keys, cost, steps = [], [], 0, 0
        place, until = self._place, min(self._place + _AT_ONCE, self._end)
        while place < until and cost < budget:
            event, event_key = self._events[place], self._keys_at(place)
            if not event:
                event, event_key, more = beyond(watch, place, self._from + self._depth)
                steps += more
            events.append((place, event, event_key))
            event_key, rid_key = next_and_rid_key(event_key)
            rid_keys.append(rid_key)
            self._events[place] = event + 1
            self._keys[place * _KEY_BYTES : (place + 1) * _KEY_BYTES] = event_key
            place += 1
            cost = len(events) + steps // STEPS
        self._place = place
        if self.at_layer:
            self._depth, self._layer = self._depth + 1, self._layer + 1
        return cost, hits_among(sieve, events, rid_keys)

    def _keys_at(self, place: int) -> bytes:
        return bytes(self._keys[place * _KEY_BYTES : (place + 1) * _KEY_BYTES])


def beyond(watch: AnyWatch, place: int, depth: int) -> tuple[int, bytes, int]:
    """Return an event beyond the window of a beacon, its key, and the steps of the ratchet to it.

    depth: 0 for the first one.
    """
    beacon = watch.beacon(place)
    event = watch.last(beacon) + 1 + depth
    return event, beacon.keys_of(event).event_key, event - beacon.anchor.event


def hits_among(
    sieve: Sieve, events: Sequence[tuple[int, int, bytes]], rid_keys: Sequence[bytes]
) -> list[Hit]:
    blocks = rid_blocks(rid_keys, len(events))
    return [Hit(*events[number], rids) for number, rids in sieve.among(blocks, len(events))]
