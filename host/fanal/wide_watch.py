"""As `watch`, for a million beacons: two kilobytes each, in arrays. SPEC 3.4.

A beacon is a row of arrays, and an identifier an entry of a `RidIndex`, whose reference says
which beacon, which event modulo 8 and which slot. That may be wrong, since entries are never taken
out one by one and heads are short: so `candidates` computes the identifier and compares. Objects
are made for beacons that were heard, and for no others.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence, Set

import numpy as np
import numpy.typing as npt
from fanal_protocol.slot import SLOTS

from fanal.beacon_rows import BeaconRows
from fanal.event_keys import (
    BLOCK_BYTES,
    EventKeys,
    all_rids,
    event_blocks,
    next_and_rid_key,
    rid_blocks,
)
from fanal.rid_index import References, RidIndex
from fanal.watch import Beacon, Candidate, Event, Past, Watch

MOST_BEACONS = 1 << 22  # what a reference has room for

_SLOT_BITS = 7
_SLOT_MASK = (1 << _SLOT_BITS) - 1
_EVENT_BITS = 3
_EVENT_MASK = (1 << _EVENT_BITS) - 1
_PLACE_SHIFT = _SLOT_BITS + _EVENT_BITS
_AT_ONCE = 8192  # events whose identifiers are made in one go: 13 MB


class WideWatch:
    """The table of identifiers of many beacons. For what its methods do see `watch.AnyWatch`."""

    def __init__(self, window: int, behind: int = 1, head_mask: int = 0xFFFF_FFFF) -> None:
        """window, behind: as of a `Watch`; head_mask: as of a `RidIndex`."""
        self.window = window
        self.behind = behind
        self.rows = BeaconRows()
        self.index = RidIndex(self._alive, head_mask)
        self._heard: dict[int, Beacon] = {}
        self._beyond: dict[bytes, list[Candidate]] = {}  # of events that `include` put in

    @classmethod
    def of(cls, watch: Watch) -> "WideWatch":
        """Return one that goes on where a `Watch` stands."""
        wide = cls(watch.window, watch.behind)
        told = {one.anchor.beacon_id: one.newest for one in watch.beacons}
        wide.add([one.anchor for one in watch.beacons], Past({}, {}, told), frozenset())
        for beacon in watch.beacons:
            events, beacon.events = beacon.events, {}
            for number, event in events.items():
                if number > wide.last(beacon):
                    wide._put_beyond(event)
                elif event.is_heard:
                    wide.hold(event)
        return wide

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays."""
        return self.index.nbytes + self.rows.nbytes

    def add(self, anchors: Sequence[EventKeys], past: Past, wanted: Set[bytes]) -> list[bytes]:
        """Watch more beacons. Raises ValueError beyond MOST_BEACONS."""
        begin = len(self.rows)
        if begin + len(anchors) > MOST_BEACONS:
            raise ValueError("too many beacons for one table")
        self.rows.add(anchors, [past.newest_of(anchor) for anchor in anchors])
        known = self._enter_rows(begin, len(self.rows), wanted)
        heard = past.lines.keys() | past.hearsay.keys()
        for place, anchor in enumerate(anchors, begin):
            if anchor.beacon_id in heard:
                self.take_over(place, past)
        return known

    def take_over(self, place: int, past: Past) -> None:
        """Hold what is known of the events of a beacon."""
        beacon = self.beacon(place)
        for number in range(self._first(beacon), self.last(beacon) + 1):
            event = past.event(beacon, number)
            if event.is_heard:
                self.hold(event)

    def enter_again(self, places: Sequence[int]) -> None:
        """Enter the windows of beacons that the table knows, and knows to stand elsewhere."""
        for place in places:
            self._enter_rows(place, place + 1, frozenset())

    def _enter_rows(self, begin: int, end: int, wanted: Set[bytes]) -> list[bytes]:
        """Enter the windows of beacons begin to end - 1."""
        known: list[bytes] = []
        rows, rid_keys, refs = self.rows, [], []
        for place in range(begin, end):
            anchor, newest = int(rows.anchor[place]), int(rows.newest[place])
            event_key, first = rows.key_of(place), max(newest - self.behind, anchor)
            for number in range(anchor, newest + self.window + 1):
                event_key, rid_key = next_and_rid_key(event_key)
                if number >= first:
                    rid_keys.append(rid_key)
                    refs.append(place << _PLACE_SHIFT | (number & _EVENT_MASK) << _SLOT_BITS)
            if len(refs) >= _AT_ONCE or place == end - 1:
                known += self._enter_many(rid_keys, refs, wanted)
                rid_keys, refs = [], []
        return known

    def _enter_many(
        self, rid_keys: list[bytes], refs: list[int], wanted: Set[bytes]
    ) -> list[bytes]:
        blocks = rid_blocks(rid_keys, len(refs))
        heads = np.frombuffer(blocks, ">u4", len(refs) * SLOTS * 4)[:: BLOCK_BYTES // 4]
        every = np.array(refs, np.uint64)[:, None] + np.arange(SLOTS, dtype=np.uint64)
        self.index.enter_blocks(heads, every.ravel())
        if not wanted:
            return []
        likely = np.flatnonzero(np.isin(heads, [int.from_bytes(w[:4], "big") for w in wanted]))
        found = [bytes(blocks[16 * at : 16 * at + 8]) for at in likely.tolist()]
        return [rid for rid in found if rid in wanted]

    def candidates(self, rid: bytes) -> Iterator[Candidate]:
        """Yield every (event, slot) that has this identifier."""
        if self._beyond:
            yield from self._beyond.get(rid, ())
        last_ref = None
        for ref in self.index.probe(rid):
            if ref == last_ref:
                continue  # they come in order
            last_ref = ref
            beacon, slot = self.beacon(ref >> _PLACE_SHIFT), ref & _SLOT_MASK
            for number in self._numbers(beacon, ref >> _SLOT_BITS):
                event = beacon.events.get(number) or Event(beacon, beacon.keys_of(number))
                if event.keys.rid_and_mask(slot)[0] == rid:
                    yield event, slot

    def hold(self, event: Event) -> None:
        """Keep an event, and its line."""
        event.beacon.events.setdefault(event.number, event)
        self._heard.setdefault(event.beacon.place, event.beacon)

    def include(self, beacon: Beacon, event_keys: EventKeys) -> None:
        """Put one event beyond the window into the table."""
        event = Event(beacon, event_keys)
        self._put_beyond(event)

    def _put_beyond(self, event: Event) -> None:
        self.hold(event)
        for slot, rid in enumerate(all_rids(event.keys.rid_key)):
            self._beyond.setdefault(rid, []).append((event, slot))

    def advance(self, event: Event, wanted: Set[bytes]) -> list[bytes]:
        """Move the window of a beacon to `event`."""
        beacon = event.beacon
        self.hold(event)
        old = range(self._first(beacon), self.last(beacon) + 1)
        beacon.newest = event.number
        self.rows.newest[beacon.place] = event.number
        known = []
        for number in range(self._first(beacon), self.last(beacon) + 1):
            if number not in old:
                known += self._enter_one(beacon, number, wanted)
        self._tidy(beacon)
        return known

    def _enter_one(self, beacon: Beacon, number: int, wanted: Set[bytes]) -> list[bytes]:
        rid_key = beacon.keys_of(number).rid_key
        first_ref = beacon.place << _PLACE_SHIFT | (number & _EVENT_MASK) << _SLOT_BITS
        self.index.enter(event_blocks(rid_key), first_ref)
        if number in beacon.events or not wanted:
            return []  # what waited for one that was included has been woken
        return [rid for rid in all_rids(rid_key) if rid in wanted]

    def _tidy(self, beacon: Beacon) -> None:
        """Let go of events before the window, and of what is beyond it no more."""
        first, last = self._first(beacon), self.last(beacon)
        for number, event in list(beacon.events.items()):
            if number < first:
                del beacon.events[number]
                beacon.move()
            if number <= last and self._beyond:
                for rid in all_rids(event.keys.rid_key):
                    rest = [c for c in self._beyond.get(rid, ()) if c[0] is not event]
                    if rest:
                        self._beyond[rid] = rest
                    else:
                        self._beyond.pop(rid, None)

    def let_go(self, anchors: Mapping[str, EventKeys]) -> None:
        """Give up all events before these."""
        for beacon_id, anchor in anchors.items():
            for place in self.rows.places_of(beacon_id):
                if anchor.event > self.rows.anchor[place]:
                    self.rows.set_anchor(place, anchor)
                    if place in self._heard:
                        self._heard[place].anchor = anchor
                        self._heard[place].move()
                        self._tidy(self._heard[place])

    def keys_in_window(self, beacon_id: str, event: int) -> EventKeys | None:
        """Return the keys of an event that can be resolved now, else None."""
        for place in self.rows.places_of(beacon_id):
            beacon = self.beacon(place)
            if event in beacon.events:
                return beacon.events[event].keys
            if self._first(beacon) <= event <= self.last(beacon):
                return beacon.keys_of(event)
        return None

    def beacon(self, place: int) -> Beacon:
        """Return a beacon by its number."""
        known = self._heard.get(place)
        if known is not None:
            return known
        return Beacon(self.rows.keys(place), self.rows.newest_of(place), place)

    def places_of(self, beacon_id: str) -> Sequence[int]:
        """Return the numbers of the beacons of that id."""
        return self.rows.places_of(beacon_id)

    def last(self, beacon: Beacon) -> int:
        """Return the number of the last event of the window."""
        return beacon.newest + self.window

    def settle(self, alive: Callable[[], object]) -> None:
        """Put the entries of beacons that were added in order."""
        self.index.settle(alive)

    def _first(self, beacon: Beacon) -> int:
        return max(beacon.newest - self.behind, beacon.anchor.event)

    def _numbers(self, beacon: Beacon, residue: int) -> range:
        """Return the events of the window that a reference may mean."""
        first = self._first(beacon)
        step = _EVENT_MASK + 1
        return range(first + (residue - first) % step, self.last(beacon) + 1, step)

    def _alive(self, refs: References) -> npt.NDArray[np.bool_]:
        """Return which references mean an event of a window."""
        places = refs >> np.uint32(_PLACE_SHIFT)
        newest = self.rows.newest[places].astype(np.int64)
        first = np.maximum(newest - self.behind, self.rows.anchor[places])
        residue = (refs >> np.uint32(_SLOT_BITS)).astype(np.int64)
        alive: npt.NDArray[np.bool_] = first + (residue - first) % (_EVENT_MASK + 1) <= (
            newest + self.window
        )
        return alive
