"""What a board feels: force on its sensor and the voltage of its battery, over time."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence

# a Schmitt input of a chip at 3.3 V
RISES_AT_MV = 1650
FALLS_AT_MV = 1450

Curve = Sequence[tuple[float, float]]  # (ms since its begin, mV), straight lines in between


class Senses:
    """The force curve that plays, and the level that a digital input makes of it."""

    def __init__(self, battery_mv: int = 3900) -> None:
        self.battery_mv = battery_mv
        self._curve: Curve = ((0, 0),)
        self._times: list[float] = [0]
        self._began_s = 0.0

    def play(self, curve: Curve, now_s: float) -> None:
        """Let `curve` play from now on; its last value stays."""
        if not curve:
            raise ValueError("a force curve needs at least one point")
        self._curve, self._began_s = tuple(curve), now_s
        self._times = [point[0] for point in self._curve]

    def is_playing(self, now_s: float) -> bool:
        """Does the force still change?"""
        return now_s < self._began_s + self._times[-1] / 1000

    def force_mv(self, now_s: float) -> int:
        """Return the force now, in mV."""
        t_ms = (now_s - self._began_s) * 1000
        after = bisect_right(self._times, t_ms)
        if after == 0:
            return int(self._curve[0][1])
        if after == len(self._curve):
            return int(self._curve[-1][1])
        (t0, v0), (t1, v1) = self._curve[after - 1], self._curve[after]
        return round(v0 + (v1 - v0) * (t_ms - t0) / (t1 - t0))

    def edges(self, level: int) -> Iterator[tuple[float, int]]:
        """Yield (time in s, new level) of every change of the digital level in this curve."""
        if self._curve[0][1] != 0 or len(self._curve) == 1:
            new = _level(self._curve[0][1], level)
            if new != level:
                level = new
                yield self._began_s + self._curve[0][0] / 1000, level
        for (t0, v0), (t1, v1) in zip(self._curve, self._curve[1:], strict=False):
            threshold = FALLS_AT_MV if level else RISES_AT_MV
            if _level(v1, level) == level:
                continue
            share = 1.0 if v1 == v0 else min(max((threshold - v0) / (v1 - v0), 0), 1)
            level = 1 - level
            yield self._began_s + (t0 + (t1 - t0) * share) / 1000, level


def _level(mv: float, level: int) -> int:
    """Return what the input reads at `mv` if it read `level` before."""
    if mv >= RISES_AT_MV:
        return 1
    return 0 if mv < FALLS_AT_MV else level
