"""Alerts that are heard again, unchanged: most of what comes, and known without opening it.

A verdict depends on when a frame was heard, and on the lines of its beacon. While those do not
move, what is not too late at some time is not too late before it either; the same with too early.
So between two times at which an alert is a duplicate, and makes nothing leave its line, it is a
duplicate. Whoever hears it later than ever before may have pages that wait, and is told of.
"""

from fanal_protocol.line import DUPLICATE, REPLAY, Entry

from fanal.heard import Heard
from fanal.pages import NEAR_MS
from fanal.sighting import Sighting
from fanal.waiting import KEPT_MS
from fanal.watch import Event

_MOST = 1 << 15  # of each of two generations: 20 MB together
_AHEAD_MS = 20_000  # within this listeners hear the same frame


class Known:
    """One payload that was sighted.

    From first_ms to last_ms it was heard; until until_ms it is a duplicate. All of that holds while
    its beacon does not move.
    """

    __slots__ = ("event", "first_ms", "last_ms", "moved", "sighting", "until_ms")

    def __init__(self, event: Event, sighting: Sighting) -> None:
        self.event = event
        self.moved = event.beacon.moved
        self.sighting = sighting
        self.first_ms = self.last_ms = self.until_ms = sighting.t_ms

    def again(self, heard: Heard) -> Sighting:
        """Return the duplicate that a Heard is."""
        one = self.sighting
        return Sighting(one.beacon_id, one.event, one.slot, one.seq, one.rid, one.status,
                        one.battery_mv, one.crumbs, one.phase, one.readable, DUPLICATE, (),
                        heard.rssi_dbm, heard.t_ms, one.began_ms, heard.receipt)  # fmt: skip


class Repeats:
    """The payloads that were sighted lately."""

    def __init__(self) -> None:
        self._known: dict[bytes, Known] = {}
        self._older: dict[bytes, Known] = {}
        self._latest_ms = 0

    def known(self, heard: Heard) -> Known | None:
        """Return what a payload is known as, if a Heard of it is a duplicate for sure."""
        known = self._known.get(heard.payload) or self._older.get(heard.payload)
        if (
            known is None
            or not known.first_ms <= heard.t_ms <= known.until_ms
            or known.moved != known.event.beacon.moved
            # the pages of a slot that was seen so long ago may be forgotten
            or heard.t_ms < self._latest_ms - KEPT_MS
        ):
            return None
        return known

    def learn(self, payload: bytes, event: Event, sighting: Sighting) -> None:
        """Note what a payload was just judged to be, by what is no hearsay."""
        t_ms = sighting.t_ms
        self._latest_ms = max(self._latest_ms, t_ms)
        known = self._known.get(payload)
        if sighting.verdict == REPLAY:
            self._known.pop(payload, None)
            self._older.pop(payload, None)
        elif known is None or known.event is not event or known.moved != event.beacon.moved:
            if len(self._known) >= _MOST:
                self._older, self._known = self._known, {}
            self._known[payload] = Known(event, sighting)
        elif max(known.last_ms, t_ms) - min(known.first_ms, t_ms) < NEAR_MS:
            known.first_ms = min(known.first_ms, t_ms)
            known.last_ms = max(known.last_ms, t_ms)
            known.until_ms = max(known.last_ms, _until_ms(known))


def _until_ms(known: Known) -> int:
    """Return until when at least a payload is a duplicate."""
    t_ms, event, one = known.last_ms + _AHEAD_MS, known.event, known.sighting
    later_began_ms = event.beacon.later_began_ms(event.number)
    kind = event.line.glance(Entry(t_ms, one.slot, one.seq), later_began_ms)
    return t_ms if kind == DUPLICATE else known.last_ms
