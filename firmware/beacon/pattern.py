"""The one squeeze that is a self-test: long, pause, tap, pause, long, then nothing. Pure.

It starts only from rest. Any deviation breaks it, and then only a new rest lets it start again:
what is not exactly this is left to the rules for alerts.
"""

from micropython import const

_DEBOUNCE_MS = const(40)
_STALL_MS = const(400)  # a gap that long may hide a squeeze
_DOUBT_MS = const(200)  # readings of one step that do not fit it, in all

# long, pause, tap, pause, long: (shortest, longest) of each in ms, pressed first
_STEPS = ((1450, 2700), (1400, 3000), (80, 700), (1400, 3000), (1450, 2700))
_STEP_COUNT = const(5)
_QUIET_MS = const(4000)
_BROKEN = const(-1)


class Pattern:
    """How far the pattern has come. `down`: pressed, debounced by 40 ms."""

    def __init__(self):
        self.down = False
        self._since_ms = 0
        self._raw = False
        self._raw_since_ms = 0
        self._doubt_ms = 0
        self._step = 0

    @property
    def begun(self):
        """It is exact so far, and more than rest."""
        return self._step > 0

    def begin(self, t_ms, held_ms, pressed):
        """Start the clock. held_ms: how long ago a press woke the board, 0 if none did.

        pressed: is it still pressed; if not, it was too short for this pattern.
        """
        self._raw = self.down = pressed and held_ms > 0
        self._raw_since_ms = self._since_ms = t_ms - held_ms
        if held_ms:
            self._step = 1 if pressed else _BROKEN

    def rest(self):
        """It has been quiet for long: a broken pattern may start again."""
        if self._step == _BROKEN and not self.down:
            self._step = 0

    def spoil(self):
        """Break it."""
        self._step = _BROKEN

    def release(self, t_ms):
        """It is not pressed, whatever the last reading here was: none came for a while."""
        self._raw = self.down = False
        self._raw_since_ms = self._since_ms = t_ms
        self._step = _BROKEN

    def follow(self, t_ms, gap_ms, pressed, faint):
        """Take one reading; return whether the pattern is complete.

        gap_ms: since the one before. faint: over the lower threshold.
        """
        if pressed != self._raw:
            self._raw = pressed
            self._raw_since_ms = t_ms
        edge = pressed != self.down and t_ms - self._raw_since_ms >= _DEBOUNCE_MS
        lasted_ms = (self._raw_since_ms if edge else t_ms) - self._since_ms
        if edge:
            self.down = pressed
            self._since_ms = self._raw_since_ms
            self._doubt_ms = 0
        elif faint != self.down:
            self._doubt_ms += gap_ms
        if self._step == _BROKEN:
            return False
        if self._step and (gap_ms >= _STALL_MS or self._doubt_ms > _DOUBT_MS):
            self._step = _BROKEN
            return False
        return self._advance(edge, lasted_ms)

    def _advance(self, edge, lasted_ms):
        step = self._step
        if step > _STEP_COUNT:
            if edge:
                self._step = _BROKEN
            return not self._raw and not edge and lasted_ms >= _QUIET_MS
        if step and not _STEPS[step - 1][0] * edge <= lasted_ms <= _STEPS[step - 1][1]:
            self._step = _BROKEN
        elif edge:
            self._step = step + 1
        return False
