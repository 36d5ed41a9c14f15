"""A constant load on the sensor: a chair, a strap, a heavy bag. Pure.

Under it only a clear squeeze on top counts, once it is over: from a level that was steady for 10 s,
clearly up for `hold_ms` in all, and back to the level within 20 s without ever going below it.
Whoever shifts in a chair changes the level for longer, or lifts off.
"""

from micropython import const

PRESENT = const(0)
SQUEEZED = const(1)
GONE = const(2)

_CREDIT_MS = const(1000)
_MEAN_MS = const(4000)  # time constant of the level
_CALM_MS = const(10000)
_BACK_MS = const(500)
_AWAY_MS = const(3000)  # back at the level that long without enough before: it was no squeeze
_EPISODE_MS = const(20000)


class Load:
    """The level of a load, and what happens on top of it. Its settings: see squeeze.Detector."""

    def __init__(self, hold_ms, press_mv, release_mv, rearm_ms):
        self._hold_ms = hold_ms
        self._press_mv = press_mv
        self._release_mv = release_mv
        self._rearm_ms = rearm_ms
        self._level = 0  # in 1/256 mV, as the baseline is
        self._gone_ms = 0
        self._calm_ms = 0
        self._episode_ms = 0
        self._top_ms = 0

    def begin(self, force_mv):
        """A press has begun that may turn out to be a load."""
        self._level = force_mv << 8
        self._gone_ms = 0
        self._settle()

    def average(self, gap_ms, force_mv):
        """Follow the level with a time constant of 4 s."""
        apart = (force_mv << 8) - self._level
        self._level += apart * min(gap_ms, _CREDIT_MS) // _MEAN_MS

    def feed(self, gap_ms, force_mv, rest_mv):
        """Take one reading; return PRESENT, SQUEEZED or GONE. rest_mv: what no load reads."""
        level_mv = self._level >> 8
        if force_mv - rest_mv < max(self._release_mv, (level_mv - rest_mv) // 4):
            self._gone_ms += gap_ms
            if self._gone_ms >= self._rearm_ms:
                return GONE
        else:
            self._gone_ms = 0
        off_mv = force_mv - level_mv
        clear_mv = self._press_mv + (level_mv - rest_mv) // 8
        near = -self._release_mv < off_mv < self._release_mv
        if self._episode_ms:
            return self._feed_episode(gap_ms, off_mv, near, clear_mv)
        if off_mv >= clear_mv and self._calm_ms >= _CALM_MS:
            self._settle()
            self._episode_ms = 1
            return PRESENT
        self._calm_ms = self._calm_ms + gap_ms if near else 0
        self.average(gap_ms, force_mv)
        return PRESENT

    def _feed_episode(self, gap_ms, off_mv, near, clear_mv):
        self._episode_ms += gap_ms
        self._calm_ms = self._calm_ms + gap_ms if near else 0
        if off_mv >= self._press_mv:
            self._top_ms += min(gap_ms, _CREDIT_MS)
        if off_mv <= -clear_mv or self._episode_ms > _EPISODE_MS:
            self._settle()
        elif self._calm_ms >= _BACK_MS and self._top_ms >= self._hold_ms:
            self._settle()
            return SQUEEZED
        elif self._calm_ms >= _AWAY_MS:
            self._settle()
        return PRESENT

    def _settle(self):
        self._calm_ms = 0
        self._episode_ms = 0
        self._top_ms = 0
