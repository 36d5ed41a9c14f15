"""The rules of time: which alerts of one event are heard in order, and which are replays. SPEC 3.2.

Air can delay a frame but not hurry it. So an alert that is too late for what is known is a
replay, and one that is too early for what is known shows that the known one was delayed.
Integers throughout: times are whole milliseconds, event times whole units of 2 s, and a
sixteenth of a unit is exactly 125 ms, so no verdict hangs on rounding.
"""

from collections import namedtuple

from fanal_protocol.error import Misuse
from fanal_protocol.slot import SLOTS, UNIT_S, UNITS

FRESH = "fresh"
LATE = "late"
DUPLICATE = "duplicate"
REPLAY = "replay"

_UNIT_MS = 1000 * UNIT_S
_TOLERANCE_MS = 30_000
_DRIFT_MS_PER_UNIT = _UNIT_MS // 16  # the beacon's clock is an RC oscillator
_LATER_EVENT_MS = 30_000

Entry = namedtuple("Entry", ("t_ms", "slot", "seq"))
"""One alert whose tag was good: when it was heard (integer ms), its slot 0..95 and seq 0..449."""

Verdict = namedtuple("Verdict", ("kind", "left"))
"""FRESH, LATE, DUPLICATE or REPLAY, and the tuple of entries that left the line (now replays)."""


class Line:
    """The alerts of one event of one beacon that are held as genuine. SPEC 3.2.

    (slot, seq) is unique within a line, so a caller can key what it knows about an entry by it.
    The whole state is `entries()`; `Line(line.entries())` goes on where the other stood.
    """

    def __init__(self, entries=()):
        """Take over `entries`, which another line's `entries()` gave. Raises Misuse."""
        self._entries = []
        for entry in entries:
            _check(entry)
            self._entries.append(Entry(*entry))

    def entries(self):
        """Return the tuple of entries in the order in which they joined."""
        return tuple(self._entries)

    def began_ms(self):
        """Return the least t - a in ms: when the event began at the latest, None if empty.

        It is what `judge` wants as `later_began_ms` for the beacon's earlier events.
        """
        if not self._entries:
            return None
        return min([entry.t_ms - _UNIT_MS * _unit(entry) for entry in self._entries])

    def judge(self, entry, later_began_ms=None):
        """Return the Verdict on `entry`, an Entry whose tag was good, and move the line by it.

        later_began_ms: the least `began_ms()` over the later events of the same beacon, None if
        none was heard. A fresh or late entry joins the line; a duplicate is the caller's to keep
        as one more place where the alert was heard; a replay moves nothing. Raises Misuse.
        """
        _check(entry)
        if later_began_ms is not None and entry.t_ms - later_began_ms > _LATER_EVENT_MS:
            return Verdict(REPLAY, ())
        left = []
        stay = []
        for known in self._entries:
            excess_ms = _excess_ms(entry, known)
            if excess_ms > 0:
                return Verdict(REPLAY, ())
            (left if excess_ms < 0 else stay).append(known)
        self._entries = stay
        kind = _place(entry, stay)
        if kind != DUPLICATE:
            stay.append(entry)
        return Verdict(kind, tuple(left))


def _excess_ms(entry, known):
    """Return by how much `entry` is too late (positive) or too early (negative) beside `known`."""
    units = _unit(entry) - _unit(known)
    d_ms = (entry.t_ms - known.t_ms) - _UNIT_MS * units
    tolerance_ms = _TOLERANCE_MS + _DRIFT_MS_PER_UNIT * abs(units)
    if d_ms > tolerance_ms:
        return d_ms - tolerance_ms
    if d_ms < -tolerance_ms:
        return d_ms + tolerance_ms
    return 0


def _place(entry, line):
    """Return where `entry` stands among the entries of `line`, with all of which it agrees."""
    unit = _unit(entry)
    kind = FRESH
    for known in line:
        known_unit = _unit(known)
        if known_unit == unit:
            return DUPLICATE
        if known_unit > unit:
            kind = LATE
    return kind


def _unit(entry):
    """Return the event time of `entry` in whole units of 2 s."""
    return UNITS * entry.slot + entry.seq


def _check(entry):
    """Raise Misuse unless `entry` is three integers with slot and seq in range."""
    t_ms, slot, seq = entry
    if not (isinstance(t_ms, int) and isinstance(slot, int) and isinstance(seq, int)):
        raise Misuse("an entry is three integers: t_ms, slot, seq")
    if not (0 <= slot < SLOTS and 0 <= seq < UNITS):
        raise Misuse("slot is 0..95 and seq 0..449")
