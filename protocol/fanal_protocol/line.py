"""The rules of time: which alerts of one event are heard in order, and which are replays. SPEC 3.2.

Air can delay a frame but not hurry it. So an alert that is too late for what is known is a
replay, and one that is too early for what is known shows that the known one was delayed.
Integers throughout: times are whole milliseconds, event times whole units of 2 s, and a
sixteenth of a unit is exactly 125 ms, so no verdict hangs on rounding.

An event of a day has 43,200 alerts, and each is judged beside all that are held. With u the event
time in units, `t` is too late beside an earlier entry if t - 2125 u, which is t less the longest
that u units may last, exceeds that of the entry by more than 30 s; beside a later one the same
with 1875 u, the shortest; and too early the other way round. So each slot keeps the least and the
most of both, and a verdict looks at the entries of one slot at most.
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
_DRIFT_MS = _UNIT_MS // 16  # the beacon's clock is an RC oscillator
_LONGEST_MS = _UNIT_MS + _DRIFT_MS
_SHORTEST_MS = _UNIT_MS - _DRIFT_MS
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
        """Take over `entries`, which another line's `entries()` gave. Raises Misuse.

        Of two with the same (slot, seq), which no line gives, the one heard first is taken.
        """
        self._slots = {}
        self._joined = 0
        self._began_ms = None
        for entry in entries:
            _check(entry)
            self._join(Entry(*entry))

    def entries(self):
        """Return the tuple of entries in the order in which they joined."""
        return _in_order([held for slot in self._slots.values() for held in slot.held.values()])

    def began_ms(self):
        """Return the least t - a in ms: when the event began at the latest, None if empty.

        It is what `judge` wants as `later_began_ms` for the beacon's earlier events.
        """
        return self._began_ms

    def judge(self, entry, later_began_ms=None):
        """Return the Verdict on `entry`, an Entry whose tag was good, and move the line by it.

        later_began_ms: the least `began_ms()` over the later events of the same beacon, None if
        none was heard. A fresh or late entry joins the line; a duplicate is the caller's to keep
        as one more place where the alert was heard; a replay moves nothing. Raises Misuse.
        """
        _check(entry)
        if later_began_ms is not None and entry.t_ms - later_began_ms > _LATER_EVENT_MS:
            return Verdict(REPLAY, ())
        unit = _unit(entry)
        long_ms, short_ms = _start_ms(entry)
        with_early = []
        for number, slot in self._slots.items():
            is_late, is_early = slot.compare(entry, unit, long_ms, short_ms)
            if is_late:
                return Verdict(REPLAY, ())
            if is_early:
                with_early.append(number)
        left = self._remove_early(entry, with_early)
        kind = self._place(entry)
        if kind != DUPLICATE:
            self._join(entry)
        return Verdict(kind, left)

    def glance(self, entry, later_began_ms=None):
        """Return the kind of an alert whose time is the word of somebody who may lie; move nothing.

        As `judge` has it; but what would make others replays is one itself. Raises Misuse.
        """
        _check(entry)
        if later_began_ms is not None and entry.t_ms - later_began_ms > _LATER_EVENT_MS:
            return REPLAY
        unit = _unit(entry)
        long_ms, short_ms = _start_ms(entry)
        for slot in self._slots.values():
            is_late, is_early = slot.compare(entry, unit, long_ms, short_ms)
            if is_late or is_early:
                return REPLAY
        return self._place(entry)

    def _join(self, entry):
        """Put `entry` into its slot, and keep the least t - a."""
        slot = self._slots.get(entry.slot)
        if slot is None:
            slot = self._slots[entry.slot] = _Slot()
        slot.add(self._joined, entry)
        self._joined += 1
        # The least never leaves: whoever displaces an entry has a smaller t - a, and joins or is a
        # duplicate of one whose t - a is smaller too.
        began_ms = entry.t_ms - _UNIT_MS * _unit(entry)
        if self._began_ms is None or began_ms < self._began_ms:
            self._began_ms = began_ms

    def _remove_early(self, entry, numbers):
        """Take out of these slots what shows by `entry` to have been delayed; return it."""
        left = []
        for number in numbers:
            slot = self._slots[number]
            left += slot.remove_early(entry)
            if not slot.held:
                del self._slots[number]
        return _in_order(left)

    def _place(self, entry):
        """Return where `entry` stands among the entries, with all of which it agrees."""
        unit = _unit(entry)
        own = self._slots.get(entry.slot)
        if own is not None and entry.seq in own.held:
            return DUPLICATE
        for slot in self._slots.values():
            if slot.last > unit:
                return LATE
        return FRESH


class _Slot:
    """The entries of one slot: `held`, by seq, each as (its number in joining, entry).

    first, last: their least and greatest event time in units. least_long, most_long: of
    t - 2125 u; least_short, most_short: of t - 1875 u; in ms.
    """

    def __init__(self):
        self.held = {}

    def add(self, number, entry):
        """Hold an entry; of two with one seq the one heard first stays."""
        known = self.held.get(entry.seq)
        if known is not None and known[1].t_ms <= entry.t_ms:
            return
        self.held[entry.seq] = (number if known is None else known[0], entry)
        unit = _unit(entry)
        long_ms, short_ms = _start_ms(entry)
        if len(self.held) == 1:
            self.first = self.last = unit
            self.least_long = self.most_long = long_ms
            self.least_short = self.most_short = short_ms
        elif known is None:
            self.first, self.last = min(self.first, unit), max(self.last, unit)
            self.least_long = min(self.least_long, long_ms)
            self.most_long = max(self.most_long, long_ms)
            self.least_short = min(self.least_short, short_ms)
            self.most_short = max(self.most_short, short_ms)
        else:
            self._measure()

    def compare(self, entry, unit, long_ms, short_ms):
        """Return whether `entry` is too late beside any entry here, and whether too early.

        unit: its event time; long_ms, short_ms: its t - 2125 u and t - 1875 u.
        """
        if unit >= self.last:
            return (
                long_ms - self.least_long > _TOLERANCE_MS,
                short_ms - self.most_short < -_TOLERANCE_MS,
            )
        if unit <= self.first:
            return (
                short_ms - self.least_short > _TOLERANCE_MS,
                long_ms - self.most_long < -_TOLERANCE_MS,
            )
        excesses_ms = [_excess_ms(entry, known) for _, known in self.held.values()]
        return max(excesses_ms) > 0, min(excesses_ms) < 0

    def remove_early(self, entry):
        """Remove those beside which `entry` is too early, and return them as they were held."""
        left = [held for held in self.held.values() if _excess_ms(entry, held[1]) < 0]
        for _, known in left:
            del self.held[known.seq]
        if self.held:
            self._measure()
        return left

    def _measure(self):
        """Find the bounds anew."""
        entries = [entry for _, entry in self.held.values()]
        units = [_unit(entry) for entry in entries]
        starts_ms = [_start_ms(entry) for entry in entries]
        longs_ms = [long_ms for long_ms, _ in starts_ms]
        shorts_ms = [short_ms for _, short_ms in starts_ms]
        self.first, self.last = min(units), max(units)
        self.least_long, self.most_long = min(longs_ms), max(longs_ms)
        self.least_short, self.most_short = min(shorts_ms), max(shorts_ms)


def _in_order(held):
    """Return the tuple of entries, in the order in which they joined."""
    return tuple([entry for _, entry in sorted(held, key=lambda one: one[0])])


def _start_ms(entry):
    """Return when the event began if its units lasted longest, and if shortest."""
    unit = _unit(entry)
    return entry.t_ms - _LONGEST_MS * unit, entry.t_ms - _SHORTEST_MS * unit


def _excess_ms(entry, known):
    """Return by how much `entry` is too late (positive) or too early (negative) beside `known`."""
    units = _unit(entry) - _unit(known)
    d_ms = (entry.t_ms - known.t_ms) - _UNIT_MS * units
    tolerance_ms = _TOLERANCE_MS + _DRIFT_MS * abs(units)
    if d_ms > tolerance_ms:
        return d_ms - tolerance_ms
    if d_ms < -tolerance_ms:
        return d_ms + tolerance_ms
    return 0


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
