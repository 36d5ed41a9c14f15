"""Alerts that are heard again, unchanged: most of what comes, and known without opening it.

A verdict depends on when a frame was heard, and on the lines of its beacon. Beside the same lines,
what is not too late at some time is not too late before it either; the same with too early. So
between two times at which an alert is a duplicate it is one. Whatever joined a line since is looked
at by itself (SPEC 3.2); once anything left a line, the verdict is asked for again.
"""

from fanal_protocol.line import DUPLICATE, REPLAY, Entry
from fanal_protocol.slot import UNIT_S, UNITS

from fanal.bare_sighting import sighting
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

    From first_ms to last_ms it was heard; until until_ms it is a duplicate, by what the lines of
    its beacon held then. pages: those of its slot.
    """

    __slots__ = ("_at", "_fields", "_moved", "_unit", "event", "first_ms", "half_hour", "last_ms",
                 "pages", "sighting", "until_ms")  # fmt: skip

    def __init__(self, event: Event, seen: Sighting, pages: SlotPages) -> None:
        self.event = event
        self.sighting = seen
        self.pages = pages
        self.half_hour = seen.t_ms // NEAR_MS
        self.first_ms = self.last_ms = seen.t_ms
        self._unit = UNITS * seen.slot + seen.seq
        self._fields = (seen.beacon_id, seen.event, seen.slot, seen.seq, seen.rid, seen.status,
                        seen.battery_mv, seen.crumbs, seen.phase, seen.readable)  # fmt: skip
        self._moved = self._at = self.until_ms = 0
        self.renew()

    def renew(self) -> None:
        """Note where the lines stand, and until when at least this is a duplicate beside them."""
        event, seen = self.event, self.sighting
        beacon = event.beacon
        self._moved, self._at = beacon.moved, len(beacon.joined)
        t_ms = self.last_ms + _AHEAD_MS
        later_began_ms = beacon.later_began_ms(event.number)
        kind = event.line.glance(Entry(t_ms, seen.slot, seen.seq), later_began_ms)
        self.until_ms = t_ms if kind == DUPLICATE else self.last_ms

    def is_duplicate(self, t_ms: int) -> bool:
        """Return whether it is one for sure, heard at `t_ms`."""
        beacon = self.event.beacon
        if not self.first_ms <= t_ms <= self.until_ms or self._moved != beacon.moved:
            return False
        joined = beacon.joined
        return self._at == len(joined) or self._agrees(joined[self._at :], t_ms)

    def _agrees(self, joined: list[tuple[int, int, int]], t_ms: int) -> bool:
        """Return whether it agrees with what joined the lines since."""
        number, unit = self.event.number, self._unit
        for event, joined_ms, joined_unit in joined:
            units = unit - joined_unit
            if event == number:
                most_ms = _TOLERANCE_MS + _DRIFT_MS * abs(units)
                if abs(t_ms - joined_ms - _UNIT_MS * units) > most_ms:
                    return False
            elif event > number and t_ms - (joined_ms - _UNIT_MS * joined_unit) > _TOLERANCE_MS:
                return False
        return True

    def again(self, heard: Heard) -> Sighting:
        """Return the duplicate that a Heard is."""
        return sighting(
            *self._fields, DUPLICATE, (), heard.rssi_dbm, heard.t_ms, self.event.began_ms(),
            heard.receipt,
        )  # fmt: skip


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
        elif known is None or known.event is not event or known.pages is not pages:
            if len(self._known) >= _MOST:
                self._older, self._known = self._known, {}
            self._known[payload] = Known(event, seen, pages)
        else:
            # between two times at which it is a duplicate beside the lines of now
            known.first_ms = known.last_ms = t_ms
            known.half_hour = t_ms // NEAR_MS
            known.renew()
