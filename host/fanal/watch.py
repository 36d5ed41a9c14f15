"""The events a listener expects of its beacons, and the table of their identifiers. SPEC 3.4."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from fanal_protocol import keys
from fanal_protocol.line import DUPLICATE, FRESH, LATE, REPLAY, Entry, Line, Verdict

from fanal.event_keys import EventKeys, all_rids

Candidate = tuple["Event", int]


class Event:
    """One event of one beacon: its keys, and the line of its alerts held as genuine.

    hearsay: a line of those whose time is the word of a stranger. It moves the other one never.
    """

    __slots__ = ("beacon", "hearsay", "keys", "line", "rids")

    def __init__(
        self,
        beacon: "Beacon",
        event_keys: EventKeys,
        entries: Iterable[Entry],
        hearsay: Iterable[Entry] = (),
    ) -> None:
        self.beacon = beacon
        self.keys = event_keys
        self.line = Line(entries)
        self.hearsay = Line(hearsay)
        self.rids = all_rids(event_keys.rid_key)

    @property
    def number(self) -> int:
        """n, from 1."""
        return self.keys.event

    def judge(self, entry: Entry, is_hearsay: bool) -> Verdict:
        """Return the verdict on an alert whose tag was good, and move what it moves.

        Hearsay could be backdated as one likes, and would make all that is heard after it look
        delayed: so it has to agree with what the others heard, and they need not agree with it.
        """
        later_began_ms = self.beacon.later_began_ms(self.number)
        if not is_hearsay:
            is_first = self.line.began_ms() is None
            verdict: Verdict = self.line.judge(entry, later_began_ms)
            return Verdict(verdict.kind, verdict.left + self._refuted()) if is_first else verdict
        kind = self.line.glance(entry, later_began_ms)
        if kind in (REPLAY, DUPLICATE):
            return Verdict(kind, ())
        verdict = self.hearsay.judge(entry, later_began_ms)
        # of what the others heard too nothing may leave
        left = tuple(one for one in verdict.left if self.line.glance(one) in (FRESH, LATE))
        return Verdict(verdict.kind, left)

    def _refuted(self) -> tuple[Entry, ...]:
        """Take out of the hearsay, and return, what does not agree with the line."""
        said = self.hearsay.entries()
        left = tuple(one for one in said if self.line.glance(one) == REPLAY)
        if left:
            self.hearsay = Line(one for one in said if one not in left)
        return left

    def began_ms(self) -> int | None:
        """Return when the event began at the latest, None if nobody knows."""
        began_ms: int | None = self.line.began_ms()
        return self.hearsay.began_ms() if began_ms is None else began_ms


class Beacon:
    """One watched beacon. newest: the newest event seen by a frame that was no replay, or 0.

    anchor: the keys to ratchet from; an earlier event cannot be resolved.
    """

    __slots__ = ("anchor", "events", "newest")

    def __init__(self, anchor: EventKeys, newest: int) -> None:
        self.anchor = anchor
        self.newest = newest
        self.events: dict[int, Event] = {}

    def later_began_ms(self, event: int) -> int | None:
        """Return when the first of the events after `event` began, None if none was heard."""
        began = [e.line.began_ms() for n, e in self.events.items() if n > event]
        return min((b for b in began if b is not None), default=None)

    def keys_of(self, event: int) -> EventKeys:
        """Return the keys of `event`, ratcheted from the nearest ones that are at hand."""
        near = max((e.keys for n, e in self.events.items() if n <= event),
                   key=lambda k: k.event, default=self.anchor)  # fmt: skip
        key = near.event_key
        for _ in range(event - near.event):
            key = keys.next_event_key(key)
        return near.later(event, key)


class Watch:
    """The table of identifiers: per beacon the newest event, those before and the next ones.

    About 100 KB for each beacon with a window of two and one event before the newest.
    """

    def __init__(self, window: int, behind: int = 1) -> None:
        """window, behind: events after and before the newest one; none before a beacon's anchor."""
        self._window = window
        self._behind = behind
        self._table: dict[bytes, Candidate | list[Candidate]] = {}
        self.beacons: list[Beacon] = []

    def add(
        self, anchor: EventKeys, lines: Mapping[int, Sequence[Entry]],
        hearsay: Mapping[int, Sequence[Entry]] | None = None,
    ) -> list[Event]:  # fmt: skip
        """Watch one more beacon. lines, hearsay: what was heard of its events before."""
        known = [*lines.items(), *(hearsay or {}).items()]
        beacon = Beacon(anchor, max((event for event, entries in known if entries), default=0))
        self.beacons.append(beacon)
        return self._fill(beacon, lines, hearsay or {})

    def candidates(self, rid: bytes) -> Iterator[Candidate]:
        """Yield every (event, slot) that has this identifier; one probe, almost always one."""
        found = self._table.get(rid)
        if isinstance(found, list):
            yield from found
        elif found is not None:
            yield found

    def include(self, beacon: Beacon, event_keys: EventKeys) -> Event:
        """Put one event beyond the window into the table."""
        event = Event(beacon, event_keys, ())
        self._enter(event)
        return event

    def advance(self, event: Event) -> list[Event]:
        """Move the window of a beacon to `event`, the newest seen; return the events added."""
        event.beacon.newest = event.number
        return self._fill(event.beacon, {}, {})

    def let_go(self, anchors: Mapping[str, EventKeys]) -> None:
        """Give up all events before these, by beacon id, and their keys."""
        for beacon in self.beacons:
            anchor = anchors.get(beacon.anchor.beacon_id)
            if anchor is not None and anchor.event > beacon.anchor.event:
                beacon.anchor = anchor
                self._fill(beacon, {}, {})

    def last(self, beacon: Beacon) -> int:
        """Return the number of the last event of the window."""
        return beacon.newest + self._window

    def _fill(
        self,
        beacon: Beacon,
        lines: Mapping[int, Sequence[Entry]],
        hearsay: Mapping[int, Sequence[Entry]],
    ) -> list[Event]:
        first = max(beacon.newest - self._behind, beacon.anchor.event)
        added = []
        for number in range(first, self.last(beacon) + 1):
            if number not in beacon.events:
                event = Event(beacon, beacon.keys_of(number), lines.get(number, ()),
                              hearsay.get(number, ()))  # fmt: skip
                self._enter(event)
                added.append(event)
        for number in [n for n in beacon.events if n < first]:
            self._leave(beacon.events.pop(number))
        return added

    def _enter(self, event: Event) -> None:
        event.beacon.events[event.number] = event
        for slot, rid in enumerate(event.rids):
            known = self._table.get(rid)
            if known is None:
                self._table[rid] = (event, slot)
            elif isinstance(known, list):
                known.append((event, slot))
            else:
                self._table[rid] = [known, (event, slot)]

    def _leave(self, event: Event) -> None:
        for rid in event.rids:
            rest = [c for c in self.candidates(rid) if c[0] is not event]
            if rest:
                self._table[rid] = rest
            else:
                self._table.pop(rid, None)
