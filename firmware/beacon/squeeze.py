"""The squeeze detector: force readings in, a decision out. Pure; never asks the clock.

The rules, in the order in which they can end a squeeze (docs/sensor.md says them in plain words):

1. hold: pressed for `hold_ms`, sags shorter than 400 ms do not restart it;
2. repeated: within 12 s two presses that add up to 2.8 s, or three or more that add up to 2.6 s
   (the first 60 ms of a press count only if it lasts 250 ms: knocks are short);
3. frantic: eight presses and 700 ms of pressing within 3.2 s;
4. self-test: the one pattern of `_STEPS` from rest, then 4 s of nothing.

While a pattern is still exact, rules 2 and 3 only note what they owe; the first deviation pays it
at once. In doubt it is an alert. Forces are millivolts at the divider, above a slow baseline.
Integers only, and `feed` allocates nothing; times stay below 2**30.
"""

from array import array

from micropython import const

NONE = const(0)
HOLD = const(1)
SELF_TEST = const(2)

_SAG_MS = const(400)
_DEBOUNCE_MS = const(40)
_STALL_MS = const(400)  # a gap that long may hide a squeeze: no self-test across it
_CREDIT_MS = const(1000)  # the most that one gap between two readings can add

_TWO_MS = const(2800)
_MORE_MS = const(2600)
_REPEATED_SPAN_MS = const(12000)
_KNOCK_MS = const(60)
_SQUEEZE_MS = const(250)
_FRANTIC_PRESSES = const(8)
_FRANTIC_MS = const(700)
_FRANTIC_SPAN_MS = const(3200)
_SMALL_MS = const(500)  # evidence that a sleep may forget
_SMALL_QUIET_MS = const(4000)

_BUCKETS = const(24)

# long, pause, tap, pause, long: (shortest, longest) of each in ms, pressed first
_STEPS = ((1450, 2700), (1400, 3000), (80, 700), (1400, 3000), (1450, 2700))
_STEP_COUNT = const(5)
_QUIET_MS = const(4000)
_DOUBT_MS = const(200)  # readings of one step that do not fit it, in all
_BROKEN = const(-1)

_LISTENING = const(0)
_SPENT = const(1)
_LOADED = const(2)

_ADOPT_MS = const(60000)  # pressed that long after an activation: a load, not a hand
_CALM_MS = const(10000)  # a load must have been steady that long before a squeeze on top counts
_BACK_MS = const(500)  # and must be back at its level that long after it
_AWAY_MS = const(3000)  # at its level that long without enough before: it was no squeeze
_EPISODE_MS = const(20000)


class _Window:
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
        left = newest - self._newest
        if left > _BUCKETS:
            left = _BUCKETS
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


class Detector:
    """Decide from readings of one sensor; a switch reads 0 or full scale.

    hold_ms: how long a hold is. press_mv, release_mv: above the baseline, what counts as pressed
    and what as let go. rearm_ms: how long let go after an activation before it listens again.
    rest_max_mv: at a first reading up to this, the sensor is taken to be at rest.
    held_ms: time since the wake pin fired, for a boot that a squeeze caused; it counts towards
    the hold. baseline_mv: the baseline kept from before a sleep, or None.
    waiting_release: already activated before the sleep and perhaps still pressed.
    """

    def __init__(
        self,
        hold_ms=3000,
        press_mv=250,
        release_mv=150,
        rearm_ms=3000,
        rest_max_mv=600,
        held_ms=0,
        baseline_mv=None,
        waiting_release=False,
    ):
        self._hold_ms = hold_ms
        self._press_mv = press_mv
        self._release_mv = release_mv
        self._rearm_ms = rearm_ms
        self._rest_max_mv = rest_max_mv
        self._held_ms = held_ms
        self._base = -1 if baseline_mv is None else baseline_mv << 8  # in 1/256 mV
        self._state = _SPENT if waiting_release else _LISTENING
        self._long = _Window(_REPEATED_SPAN_MS)
        self._short = _Window(_FRANTIC_SPAN_MS)
        self._t_ms = -1
        self._raw = False  # over the threshold in the last reading
        self._raw_since_ms = 0
        self._down = False  # the same, debounced
        self._down_since_ms = 0
        self._press_ms = 0  # length of this press so far
        self._run_ms = 0  # length of the hold so far, sags included
        self._run_pressed_ms = 0
        self._step = 0  # of the pattern, or _BROKEN until there was rest
        self._doubt_ms = 0
        self._owed = False
        # since the last reading over the threshold
        self._quiet_ms = 0 if waiting_release else _REPEATED_SPAN_MS
        self._spent_ms = 0
        self._level = 0  # slow mean under load, 1/256 mV
        self._calm_ms = 0
        self._episode_ms = 0
        self._top_ms = 0

    @property
    def pressed(self):
        """The last reading was over the threshold."""
        return self._raw or self._state == _LOADED

    @property
    def waiting_release(self):
        """Activated already, and not let go since for `rearm_ms`; or under a constant load."""
        return self._state != _LISTENING

    @property
    def idle(self):
        """No press, no pattern, no decision pending: the board may sleep."""
        if self._state != _LISTENING or self._raw or self._down or self._step > 0:
            return False
        if self._quiet_ms < _SMALL_QUIET_MS:
            return False
        return self._quiet_ms >= _REPEATED_SPAN_MS or self._long.pressed_ms < _SMALL_MS

    @property
    def baseline_mv(self):
        """The reading at rest, as far as it is known: keep it over a sleep."""
        return 0 if self._base < 0 else self._base >> 8

    def feed(self, t_ms, force_mv):
        """Take one reading; return NONE, HOLD or SELF_TEST.

        t_ms: below 2**30, never smaller than before. force_mv: 0 to full scale.
        """
        if self._t_ms < 0:
            self._begin(t_ms, force_mv)
        gap_ms = t_ms - self._t_ms
        self._t_ms = t_ms
        if gap_ms < 0:
            gap_ms = 0
        if self._state == _LOADED:
            return self._feed_loaded(gap_ms, force_mv)
        pressed_ms = self._read(t_ms, gap_ms, force_mv)
        if self._state == _SPENT:
            self._await_release(gap_ms, force_mv)
            return NONE
        decision = self._judge(t_ms, gap_ms, pressed_ms, force_mv - (self._base >> 8))
        if decision == HOLD:
            self._spend()
        return decision

    def _begin(self, t_ms, force_mv):
        """Settle where rest is; credit the time that the boot took."""
        self._t_ms = t_ms
        self._raw_since_ms = t_ms
        self._down_since_ms = t_ms
        self._long.roll(t_ms)
        self._short.roll(t_ms)
        if self._base < 0:
            at_rest = self._held_ms == 0 and force_mv <= self._rest_max_mv
            self._base = force_mv << 8 if at_rest else 0
        if not self._held_ms:
            return
        over = force_mv - (self._base >> 8) >= self._press_mv
        credit_ms = min(self._held_ms, _CREDIT_MS)
        self._long.add(credit_ms, 1)
        self._short.add(credit_ms, 1)
        self._quiet_ms = 0
        self._down_since_ms = t_ms - self._held_ms
        if over:
            self._raw = True
            self._down = True
            self._run_ms = self._held_ms
            self._run_pressed_ms = self._held_ms
            self._step = 1
        else:
            self._step = _BROKEN

    def _read(self, t_ms, gap_ms, force_mv):
        """Threshold with hysteresis, baseline, windows. Return how long it was pressed."""
        was = self._raw
        over_mv = force_mv - (self._base >> 8)
        self._raw = over_mv >= (self._release_mv if was else self._press_mv)
        if self._raw == was:
            pressed_ms = min(gap_ms, _CREDIT_MS) if was else 0
        else:
            pressed_ms = min(gap_ms, _CREDIT_MS) // 2
        new = 0
        if self._raw and not was and (self._quiet_ms >= _DEBOUNCE_MS or not self._down):
            new = 1
        if self._raw != was:
            self._raw_since_ms = t_ms
        if not self._raw and not was:
            self._follow(gap_ms, force_mv)
        self._quiet_ms = 0 if self._raw else self._quiet_ms + gap_ms
        self._long.roll(t_ms)
        self._short.roll(t_ms)
        self._long.add(self._evidence_ms(pressed_ms, new), new)
        self._short.add(pressed_ms, new)
        return pressed_ms

    def _evidence_ms(self, pressed_ms, new):
        """Return how much of the pressed time counts: not the first moment of a short press."""
        before_ms = 0 if new else self._press_ms
        now_ms = before_ms + pressed_ms
        self._press_ms = now_ms
        counts_ms = max(now_ms - _KNOCK_MS, 0) - max(before_ms - _KNOCK_MS, 0)
        return counts_ms + _KNOCK_MS if before_ms < _SQUEEZE_MS <= now_ms else counts_ms

    def _follow(self, gap_ms, force_mv):
        """Move the baseline: down in seconds, up by at most 16 mV/s, so that no press is lost."""
        if gap_ms > _CREDIT_MS:
            gap_ms = _CREDIT_MS
        apart = (force_mv << 8) - self._base
        if apart < 0:
            self._base += apart * gap_ms // 2000
        else:
            self._base += min(apart, 4 * gap_ms)

    def _judge(self, t_ms, gap_ms, pressed_ms, over_mv):
        if self._holds(gap_ms, pressed_ms):
            return HOLD
        self._owed = self._owed or self._repeats()
        if self._follow_pattern(t_ms, gap_ms, over_mv):
            self._forget()
            return SELF_TEST
        if self._owed and self._step <= 0:
            return HOLD
        if self._quiet_ms >= _REPEATED_SPAN_MS and self._step == _BROKEN and not self._down:
            self._step = 0
        return NONE

    def _holds(self, gap_ms, pressed_ms):
        """The first rule. Three quarters of the time really pressed, or bumps could do it."""
        if self._quiet_ms >= _SAG_MS:
            self._run_ms = 0
            self._run_pressed_ms = 0
            return False
        if pressed_ms or self._run_ms:
            self._run_ms += min(gap_ms, _CREDIT_MS)
            self._run_pressed_ms += pressed_ms
        long_enough = self._raw and self._run_ms >= self._hold_ms
        return long_enough and self._run_pressed_ms * 4 >= self._run_ms * 3

    def _repeats(self):
        """The second and the third rule."""
        presses, pressed_ms = self._long.presses, self._long.pressed_ms
        if presses >= 2 and pressed_ms >= (_TWO_MS if presses == 2 else _MORE_MS):
            return True
        return self._short.presses >= _FRANTIC_PRESSES and self._short.pressed_ms >= _FRANTIC_MS

    def _follow_pattern(self, t_ms, gap_ms, over_mv):
        """Advance the pattern; return whether it is complete. Any deviation breaks it."""
        edge = self._raw != self._down and t_ms - self._raw_since_ms >= _DEBOUNCE_MS
        lasted_ms = (self._raw_since_ms if edge else t_ms) - self._down_since_ms
        if edge:
            self._down = self._raw
            self._down_since_ms = self._raw_since_ms
            self._doubt_ms = 0
        elif (over_mv >= self._release_mv) != self._down:
            self._doubt_ms += gap_ms
        step = self._step
        if step == _BROKEN:
            return False
        if step and (gap_ms >= _STALL_MS or self._doubt_ms > _DOUBT_MS):
            self._step = _BROKEN
        elif step > _STEP_COUNT:
            if edge:
                self._step = _BROKEN
            return not edge and not self._raw and lasted_ms >= _QUIET_MS
        elif step and not _STEPS[step - 1][0] * edge <= lasted_ms <= _STEPS[step - 1][1]:
            self._step = _BROKEN
        elif edge:
            self._step = step + 1
        return False

    def _spend(self):
        self._forget()
        self._state = _SPENT
        self._spent_ms = 0

    def _forget(self):
        self._long.clear()
        self._short.clear()
        self._run_ms = 0
        self._run_pressed_ms = 0
        self._step = _BROKEN
        self._owed = False

    def _await_release(self, gap_ms, force_mv):
        """After an activation: wait for a real release, or take what stays for a load."""
        if self._quiet_ms >= self._rearm_ms:
            self._forget()
            self._down = False
            self._down_since_ms = self._t_ms
            self._state = _LISTENING
            return
        if not self._spent_ms:
            self._level = force_mv << 8
        self._spent_ms += max(gap_ms, 1)
        self._level += ((force_mv << 8) - self._level) * min(gap_ms, _CREDIT_MS) // 4000
        if self._spent_ms >= _ADOPT_MS and self._raw:
            self._state = _LOADED
            self._quiet_ms = 0
            self._settle()

    def _settle(self):
        self._calm_ms = 0
        self._episode_ms = 0
        self._top_ms = 0

    def _feed_loaded(self, gap_ms, force_mv):
        """Under a constant load: only a clear squeeze on top counts, once it is over.

        Clear is: from a level steady for 10 s clearly up, for `hold_ms` in all, back to
        the level within 20 s, and never below it. Whoever shifts in a chair rarely does that.
        """
        if self._unloaded(gap_ms, force_mv):
            return NONE
        off_mv = force_mv - (self._level >> 8)
        near = -self._release_mv < off_mv < self._release_mv
        if self._episode_ms == 0:
            if near:
                self._calm_ms += gap_ms
            elif off_mv >= self._top_mv() and self._calm_ms >= _CALM_MS:
                self._episode_ms = 1
                self._calm_ms = 0
                return NONE
            else:
                self._calm_ms = 0
            self._level += (off_mv << 8) * min(gap_ms, _CREDIT_MS) // 4000
            return NONE
        return self._feed_on_top(gap_ms, off_mv, near)

    def _unloaded(self, gap_ms, force_mv):
        load_mv = (self._level >> 8) - (self._base >> 8)
        if force_mv - (self._base >> 8) >= max(self._release_mv, load_mv // 4):
            self._quiet_ms = 0
            return False
        self._quiet_ms += gap_ms
        if self._quiet_ms < self._rearm_ms:
            return False
        self._base = force_mv << 8
        self._raw = False
        self._down = False
        self._down_since_ms = self._t_ms
        self._forget()
        self._state = _LISTENING
        return True

    def _top_mv(self):
        return self._press_mv + ((self._level - self._base) >> 11)  # an eighth of the load

    def _feed_on_top(self, gap_ms, off_mv, near):
        self._episode_ms += gap_ms
        if off_mv >= self._press_mv:
            self._top_ms += min(gap_ms, _CREDIT_MS)
        self._calm_ms = self._calm_ms + gap_ms if near else 0
        if off_mv <= -self._top_mv() or self._episode_ms > _EPISODE_MS:
            self._settle()
        elif self._calm_ms >= _BACK_MS and self._top_ms >= self._hold_ms:
            self._settle()
            return HOLD
        elif self._calm_ms >= _AWAY_MS:
            self._settle()
        return NONE
