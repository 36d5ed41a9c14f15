"""What presses add up to: the rules for repeated and for frantic squeezes. Pure.

Repeated: within four times `hold_ms`, two presses that add up to 14/15 of it, or three or more that
add up to 13/15 (2.8 s and 2.6 s within 12 s, by default). The first 60 ms of a press count only
if it lasts 250 ms: knocks are short. Frantic: eight presses, together 700 ms, within 3.2 s.
"""

from array import array

from micropython import const

_KNOCK_MS = const(60)
_SQUEEZE_MS = const(250)
_FRANTIC_PRESSES = const(8)
_FRANTIC_MS = const(700)
_FRANTIC_SPAN_MS = const(3200)
_SMALL_MS = const(500)
_SMALL_QUIET_MS = const(4000)
_BUCKETS = const(24)


class Window:
    """Pressed time and presses of the last `span_ms`, in a ring of 24 buckets."""

    def __init__(self, span_ms):
        self._bucket_ms = span_ms // _BUCKETS
        self._ms = array("h", bytes(2 * _BUCKETS))
        self._n = bytearray(_BUCKETS)
        self._newest = 0
        self.pressed_ms = 0
        self.presses = 0

    def roll(self, t_ms):
        """Forget what is older than the span."""
        newest = t_ms // self._bucket_ms
        left = min(newest - self._newest, _BUCKETS)
        self._newest = newest
        while left > 0:
            left -= 1
            i = (newest - left) % _BUCKETS
            self.pressed_ms -= self._ms[i]
            self.presses -= self._n[i]
            self._ms[i] = 0
            self._n[i] = 0

    def add(self, pressed_ms, presses):
        """Count in the newest bucket."""
        i = self._newest % _BUCKETS
        self._ms[i] += pressed_ms
        self._n[i] += presses
        self.pressed_ms += pressed_ms
        self.presses += presses

    def clear(self):
        """Forget all of it."""
        for i in range(_BUCKETS):
            self._ms[i] = 0
            self._n[i] = 0
        self.pressed_ms = 0
        self.presses = 0


class Evidence:
    """Presses so far, weighed. hold_ms: how long a hold is, which sets what is enough."""

    def __init__(self, hold_ms):
        self.span_ms = 4 * hold_ms
        self._two_ms = hold_ms * 14 // 15
        self._more_ms = hold_ms * 13 // 15
        self._weighed = Window(self.span_ms)
        self._frantic = Window(_FRANTIC_SPAN_MS)
        self._press_ms = 0  # length of the present press

    def roll(self, t_ms):
        """Forget what is too old at t_ms."""
        self._weighed.roll(t_ms)
        self._frantic.roll(t_ms)

    def take(self, pressed_ms, presses):
        """Count more of a press. pressed_ms: how much more. presses: 1 if it has just begun."""
        before_ms = 0 if presses else self._press_ms
        now_ms = before_ms + pressed_ms
        self._press_ms = now_ms
        weighed_ms = max(now_ms - _KNOCK_MS, 0) - max(before_ms - _KNOCK_MS, 0)
        if before_ms < _SQUEEZE_MS <= now_ms:
            weighed_ms += _KNOCK_MS
        self._weighed.add(weighed_ms, presses)
        self._frantic.add(pressed_ms, presses)

    def enough(self):
        """Return whether it is an alert."""
        presses, weighed_ms = self._weighed.presses, self._weighed.pressed_ms
        if presses >= 2 and weighed_ms >= (self._two_ms if presses == 2 else self._more_ms):
            return True
        frantic = self._frantic
        return frantic.presses >= _FRANTIC_PRESSES and frantic.pressed_ms >= _FRANTIC_MS

    def negligible(self, quiet_ms):
        """Return whether a sleep may forget it. quiet_ms: since the last press."""
        if quiet_ms >= self.span_ms:
            return True
        return quiet_ms >= _SMALL_QUIET_MS and self._weighed.pressed_ms < _SMALL_MS

    def clear(self):
        """Forget all of it."""
        self._weighed.clear()
        self._frantic.clear()
