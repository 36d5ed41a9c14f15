"""Alerts that are heard again, unchanged: most of what comes, and known without opening it.

A verdict depends on when a frame was heard, and on the lines of its beacon. Beside the same lines,
what is not too late at some time is not too late before it either; the same with too early. So
between two times at which an alert is a duplicate it is one. Whatever joined a line since is looked
at by itself (SPEC 3.2); once anything left a line, the verdict is asked for again.
"""

from collections.abc import Iterable

from fanal_protocol.line import DUPLICATE, REPLAY, Entry
from fanal_protocol.slot import UNIT_S, UNITS

from fanal.heard import Heard
from fanal.pages import NEAR_MS, SlotPages
from fanal.sighting import Sighting
from fanal.waiting import KEPT_MS
from fanal.watch import Event

_MOST = 1 << 15  # of each of two generations: 20 MB together
_AHEAD_MS = 20_000  # within this listeners hear the same frame
_UNIT_MS = 1000 * UNIT_S
_DRIFT_MS = _UNIT_MS // 16
_TOLERANCE_MS = 30_000


class Known:
    """One payload that was sighted.

    From first_ms on, for ahead_ms, it is a duplicate by what the lines of its beacon held when it
    was learnt, and in one half hour of the clock. began_ms: of its event, then. pages: those of its
    slot. What a Sighting says of a payload is kept here, and the Sighting is not.
    """

    __slots__ = ("_ahead_ms", "_at", "_began_ms", "_moved", "battery_mv", "beacon_id", "crumbs",
                 "event", "first_ms", "of_event", "pages", "phase", "readable", "rid", "seq",
                 "slot", "status")  # fmt: skip

    def __init__(self, of_event: Event, seen: Sighting, pages: SlotPages) -> None:
        self.of_event = of_event
        self.pages = pages
        self.beacon_id = seen.beacon_id
        self.event = seen.event
        self.slot = seen.slot
        self.seq = seen.seq
        self.rid = seen.rid
        self.status = seen.status
        self.battery_mv = seen.battery_mv
        self.crumbs = seen.crumbs
        self.phase = seen.phase
        self.readable = seen.readable
        self.renew(seen.t_ms)

    def renew(self, t_ms: int) -> None:
        """Note that it was heard at `t_ms`, and for how long at least it is a duplicate then.

        That is beside the lines as they stand now.
        """
        of_event = self.of_event
        beacon, line = of_event.beacon, of_event.line
        self.first_ms = t_ms
        self._moved, self._at, self._began_ms = beacon.moved, len(beacon.joined), line.began_ms()
        later_began_ms = beacon.later_began_ms(self.event)
        until = Entry(t_ms + _AHEAD_MS, self.slot, self.seq)
        is_long = line.glance(until, later_began_ms) == DUPLICATE
        self._ahead_ms = _AHEAD_MS if is_long else 0
        if t_ms % NEAR_MS >= NEAR_MS - _AHEAD_MS:
            self._ahead_ms = min(self._ahead_ms, NEAR_MS - 1 - t_ms % NEAR_MS)

    def is_duplicate(self, t_ms: int) -> bool:
        """Return whether it is one for sure, heard at `t_ms`."""
        if not 0 <= t_ms - self.first_ms <= self._ahead_ms:
            return False
        beacon = self.of_event.beacon
        if self._moved != beacon.moved:
            return False
        joined = beacon.joined
        return self._at == len(joined) or self._agrees(joined[self._at :], t_ms)

    def _agrees(self, joined: Iterable[tuple[int, Entry]], t_ms: int) -> bool:
        """Return whether it agrees with what joined the lines since."""
        number = self.event
        unit = UNITS * self.slot + self.seq
        for event, entry in joined:
            joined_unit = UNITS * entry.slot + entry.seq
            units = unit - joined_unit
            if event == number:
                most_ms = _TOLERANCE_MS + _DRIFT_MS * abs(units)
                if abs(t_ms - entry.t_ms - _UNIT_MS * units) > most_ms:
                    return False
            elif event > number and t_ms - (entry.t_ms - _UNIT_MS * joined_unit) > _TOLERANCE_MS:
                return False
        return True

    def began_ms(self) -> int | None:
        """Return when its event began, while it is a duplicate."""
        of_event = self.of_event
        return self._began_ms if self._at == len(of_event.beacon.joined) else of_event.began_ms()


class Repeats:
    """The payloads that were sighted lately."""

    def __init__(self) -> None:
        self._known: dict[bytes, Known] = {}
        self._older: dict[bytes, Known] = {}
        self._latest_ms = 0

    def known(self, heard: Heard) -> Known | None:
        """Return what a payload is known as, if a Heard of it is a duplicate for sure."""
        known = self._known.get(heard.payload)
        if known is None:
            known = self._older.get(heard.payload)
            if known is None:
                return None
        # the pages of a slot that was seen too long ago may be forgotten
        if heard.t_ms < self._latest_ms - KEPT_MS or not known.is_duplicate(heard.t_ms):
            return None
        return known

    def learn(self, payload: bytes, event: Event, seen: Sighting, pages: SlotPages) -> None:
        """Note what a payload was just judged to be, by what is no hearsay."""
        t_ms = seen.t_ms
        self._latest_ms = max(self._latest_ms, t_ms)
        known = self._known.get(payload)
        if seen.verdict == REPLAY:
            self._known.pop(payload, None)
            self._older.pop(payload, None)
        elif known is None or known.of_event is not event or known.pages is not pages:
            if len(self._known) >= _MOST:
                self._older, self._known = self._known, {}
            self._known[payload] = Known(event, seen, pages)
        else:
            # between two times at which it is a duplicate beside the lines of now
            known.renew(t_ms)
