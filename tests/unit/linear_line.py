"""The rules of time (SPEC 3.2) entry by entry: slow, plain, and what Line must agree with."""

from fanal_protocol.line import DUPLICATE, FRESH, LATE, REPLAY, Verdict


class LinearLine:
    """What `fanal_protocol.line.Line` is, by a look at every entry that is held."""

    def __init__(self):
        self.held = []

    def began_ms(self):
        return min((one.t_ms - 2000 * unit(one) for one in self.held), default=None)

    def judge(self, entry, later_began_ms=None):
        if later_began_ms is not None and entry.t_ms - later_began_ms > 30_000:
            return Verdict(REPLAY, ())
        excesses_ms = [excess_ms(entry, known) for known in self.held]
        if any(excess > 0 for excess in excesses_ms):
            return Verdict(REPLAY, ())
        left = [k for k, excess in zip(self.held, excesses_ms, strict=True) if excess < 0]
        self.held = [k for k, excess in zip(self.held, excesses_ms, strict=True) if excess == 0]
        if any(unit(known) == unit(entry) for known in self.held):
            return Verdict(DUPLICATE, tuple(left))
        kind = LATE if any(unit(known) > unit(entry) for known in self.held) else FRESH
        self.held.append(entry)
        return Verdict(kind, tuple(left))


def excess_ms(entry, known):
    """Return by how much `entry` is too late (positive) or too early (negative) beside `known`."""
    units = unit(entry) - unit(known)
    d_ms = entry.t_ms - known.t_ms - 2000 * units
    tolerance_ms = 30_000 + 125 * abs(units)
    return max(0, d_ms - tolerance_ms) + min(0, d_ms + tolerance_ms)


def unit(entry):
    """Return the event time in units of 2 s."""
    return 450 * entry.slot + entry.seq
