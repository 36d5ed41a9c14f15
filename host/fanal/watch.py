"""The events a listener expects of its beacons, and the table of their identifiers. SPEC 3.4.

This table has an object for everything and suits some hundred beacons, as a technician has them;
`wide_watch` does the same for a million.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from typing import NamedTuple, Protocol

from fanal_protocol.line import DUPLICATE, FRESH, LATE, REPLAY, Entry, Verdict

from fanal.event_keys import EventKeys, all_rids
from fanal.short_line import ShortLine

Candidate = tuple["Event", int]
Lines = Mapping[int, Sequence[Entry]]

_NO_LINES: Lines = {}
_MOST_JOINED = 64


class Event:
    """One event of one beacon: its keys, and the line of its alerts held as genuine.

    number: n, from 1. hearsay: a line of those whose time is the word of a stranger, None while
    there are none. It moves the other one never.
    """

    __slots__ = ("beacon", "hearsay", "keys", "line", "number")

    def __init__(
        self,
        beacon: "Beacon",
        event_keys: EventKeys,
        entries: Sequence[Entry] = (),
        hearsay: Sequence[Entry] = (),
    ) -> None:
        self.beacon = beacon
        self.keys = event_keys
        self.number = event_keys.event
        self.line = ShortLine(entries)
        self.hearsay = ShortLine(hearsay) if hearsay else None

    @property
    def is_heard(self) -> bool:
        """Whether anything is held of it."""
        return self.began_ms() is not None

    def judge(self, entry: Entry, is_hearsay: bool) -> Verdict:
        """Return the verdict on an alert whose tag was good, and move what it moves.

        Hearsay could be backdated as one likes, and would make all that is heard after it look
        delayed: so it has to agree with what the others heard, and they need not agree with it.
        """
        later_began_ms = self.beacon.later_began_ms(self.number)
        if not is_hearsay:
            is_first = self.hearsay is not None and self.line.began_ms() is None
            verdict = self.line.judge(entry, later_began_ms)
            return Verdict(verdict.kind, verdict.left + self._refuted()) if is_first else verdict
        kind = self.line.glance(entry, later_began_ms)
        if kind in (REPLAY, DUPLICATE):
            return Verdict(kind, ())
        if self.hearsay is None:
            self.hearsay = ShortLine()
        verdict = self.hearsay.judge(entry, later_began_ms)
        # of what the others heard too nothing may leave
        left = tuple(one for one in verdict.left if self.line.glance(one) in (FRESH, LATE))
        return Verdict(verdict.kind, left)

    def _refuted(self) -> tuple[Entry, ...]:
        """Take out of the hearsay, and return, what does not agree with the line."""
        said = () if self.hearsay is None else self.hearsay.entries()
        left = tuple(one for one in said if self.line.glance(one) == REPLAY)
        if left:
            rest = tuple(one for one in said if one not in left)
            self.hearsay = ShortLine(rest)
        return left

    def began_ms(self) -> int | None:
        """Return when the event began at the latest, None if nobody knows."""
        began_ms = self.line.began_ms()
        if began_ms is None and self.hearsay is not None:
            return self.hearsay.began_ms()
        return began_ms


class Beacon:
    """One watched beacon. newest: the newest event seen by a frame that was no replay, or 0.

    anchor: the keys to ratchet from; an earlier event cannot be resolved. place: its number among
    those watched, from 0. moved: goes up whenever anything leaves a line, or is let go of;
    joined: what joined its lines since, with the event.
    """

    __slots__ = ("anchor", "events", "joined", "moved", "newest", "place")

    def __init__(self, anchor: EventKeys, newest: int, place: int) -> None:
        self.anchor = anchor
        self.newest = newest
        self.place = place
        self.events: dict[int, Event] = {}
        self.moved = 0
        self.joined: tuple[tuple[int, Entry], ...] = ()

    def note(self, event: int, entry: Entry, verdict: Verdict) -> None:
        """Note what an alert of `event` did to its line."""
        if verdict.left or len(self.joined) >= _MOST_JOINED:
            self.move()
        if verdict.kind in (FRESH, LATE):
            self.joined += ((event, entry),)

    def move(self) -> None:
        """Note that whatever was known of its lines may be so no more."""
        self.moved += 1
        self.joined = ()

    def later_began_ms(self, event: int) -> int | None:
        """Return when the first of the events after `event` began, None if none was heard."""
        least_ms: int | None = None
        for number, later in self.events.items():
            if number > event:
                began_ms = later.line.began_ms()
                if began_ms is not None and (least_ms is None or began_ms < least_ms):
                    least_ms = began_ms
        return least_ms

    def keys_of(self, event: int) -> EventKeys:
        """Return the keys of `event`, ratcheted from the nearest ones that are at hand."""
        near = self.anchor
        for number, one in self.events.items():
            if near.event < number <= event:
                near = one.keys
        return near.ahead(event)


class Past(NamedTuple):
    """What is known of beacons when they are added, by beacon id.

    lines, hearsay: what was heard of their events; newest: the newest one that was seen, where more
    is known than by these.
    """

    lines: Mapping[str, Lines]
    hearsay: Mapping[str, Lines]
    newest: Mapping[str, int]

    def newest_of(self, anchor: EventKeys) -> int:
        """Return the newest event seen. An anchor beyond 1 is one that was moved there."""
        name = anchor.beacon_id
        heard = [event for one in (self.lines, self.hearsay)
                 for event, entries in one.get(name, _NO_LINES).items() if entries]  # fmt: skip
        return max(self.newest.get(name, 0), anchor.event - 1, *heard)

    def event(self, beacon: Beacon, number: int) -> Event:
        """Return an event as it was heard."""
        name = beacon.anchor.beacon_id
        return Event(beacon, beacon.keys_of(number),
                     self.lines.get(name, _NO_LINES).get(number, ()),
                     self.hearsay.get(name, _NO_LINES).get(number, ()))  # fmt: skip


NOTHING = Past({}, {}, {})


class AnyWatch(Protocol):
    """What a resolver asks of a table. wanted: identifiers of alerts that wait."""

    window: int
    behind: int

    def __len__(self) -> int:
        """Return the number of beacons."""

    def add(self, anchors: Sequence[EventKeys], past: Past, wanted: Set[bytes]) -> list[bytes]:
        """Watch more beacons. Return those of the wanted identifiers that are known now."""

    def candidates(self, rid: bytes) -> Iterator[Candidate]:
        """Yield every (event, slot) that has this identifier; one probe, almost always one."""

    def hold(self, event: Event) -> None:
        """Keep an event that `candidates` gave, and its line: its tag was good."""

    def advance(self, event: Event, wanted: Set[bytes]) -> list[bytes]:
        """Move the window of a beacon to `event`, the newest seen; return as `add` does."""

    def include(self, beacon: Beacon, event_keys: EventKeys) -> None:
        """Put one event beyond the window into the table."""

    def let_go(self, anchors: Mapping[str, EventKeys]) -> None:
        """Give up all events before these, by beacon id, and their keys."""

    def keys_in_window(self, beacon_id: str, event: int) -> EventKeys | None:
        """Return the keys of an event that can be resolved now, else None."""

    def beacon(self, place: int) -> Beacon:
        """Return the beacon of a number from 0, in the order in which they were added."""

    def places_of(self, beacon_id: str) -> Sequence[int]:
        """Return the numbers of the beacons of that id: one, or none."""

    def last(self, beacon: Beacon) -> int:
        """Return the number of the last event of the window."""

    def settle(self, alive: Callable[[], object]) -> None:
        """Do now what the next probe would have to wait for. alive: called now and then."""


class Watch:
    """The table of identifiers: per beacon the newest event, those before and the next ones.

    About 100 KB for each beacon with a window of two and one event before the newest. For what
    its methods do see `AnyWatch`.
    """

    def __init__(self, window: int, behind: int = 1) -> None:
        """window, behind: events after and before the newest one; none before a beacon's anchor."""
        self.window = window
        self.behind = behind
        self._table: dict[bytes, Candidate | list[Candidate]] = {}
        self.beacons: list[Beacon] = []

    def __len__(self) -> int:
        return len(self.beacons)

    def add(self, anchors: Sequence[EventKeys], past: Past, wanted: Set[bytes]) -> list[bytes]:
        """Watch more beacons."""
        known = []
        for anchor in anchors:
            beacon = Beacon(anchor, past.newest_of(anchor), len(self.beacons))
            self.beacons.append(beacon)
            known += self._fill(beacon, past, wanted)
        return known

    def candidates(self, rid: bytes) -> Iterator[Candidate]:
        """Yield every (event, slot) that has this identifier."""
        found = self._table.get(rid)
        if isinstance(found, list):
            yield from found
        elif found is not None:
            yield found

    def hold(self, event: Event) -> None:
        """All events are kept here."""

    def include(self, beacon: Beacon, event_keys: EventKeys) -> None:
        """Put one event beyond the window into the table."""
        self._enter(Event(beacon, event_keys), frozenset())

    def advance(self, event: Event, wanted: Set[bytes]) -> list[bytes]:
        """Move the window of a beacon to `event`."""
        event.beacon.newest = event.number
        return self._fill(event.beacon, NOTHING, wanted)

    def let_go(self, anchors: Mapping[str, EventKeys]) -> None:
        """Give up all events before these."""
        for beacon in self.beacons:
            anchor = anchors.get(beacon.anchor.beacon_id)
            if anchor is not None and anchor.event > beacon.anchor.event:
                beacon.anchor = anchor
                self._fill(beacon, NOTHING, frozenset())
                beacon.move()

    def keys_in_window(self, beacon_id: str, event: int) -> EventKeys | None:
        """Return the keys of an event that can be resolved now, else None."""
        for beacon in self.beacons:
            if beacon.anchor.beacon_id == beacon_id and event in beacon.events:
                return beacon.events[event].keys
        return None

    def beacon(self, place: int) -> Beacon:
        """Return a beacon by its number."""
        return self.beacons[place]

    def places_of(self, beacon_id: str) -> Sequence[int]:
        """Return the numbers of the beacons of that id."""
        return [one.place for one in self.beacons if one.anchor.beacon_id == beacon_id]

    def last(self, beacon: Beacon) -> int:
        """Return the number of the last event of the window."""
        return beacon.newest + self.window

    def settle(self, alive: Callable[[], object]) -> None:
        """Nothing is left to be done here."""

    def _fill(self, beacon: Beacon, past: Past, wanted: Set[bytes]) -> list[bytes]:
        first = max(beacon.newest - self.behind, beacon.anchor.event)
        known = []
        for number in range(first, self.last(beacon) + 1):
            if number not in beacon.events:
                known += self._enter(past.event(beacon, number), wanted)
        for number in [n for n in beacon.events if n < first]:
            self._leave(beacon.events.pop(number))
            beacon.move()
        return known

    def _enter(self, event: Event, wanted: Set[bytes]) -> list[bytes]:
        event.beacon.events[event.number] = event
        rids = all_rids(event.keys.rid_key)
        for slot, rid in enumerate(rids):
            known = self._table.get(rid)
            if known is None:
                self._table[rid] = (event, slot)
            elif isinstance(known, list):
                known.append((event, slot))
            else:
                self._table[rid] = [known, (event, slot)]
        return [rid for rid in rids if rid in wanted] if wanted else []

    def _leave(self, event: Event) -> None:
        for rid in all_rids(event.keys.rid_key):
            rest = [c for c in self.candidates(rid) if c[0] is not event]
            if rest:
                self._table[rid] = rest
            else:
                self._table.pop(rid, None)
