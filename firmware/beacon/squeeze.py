"""The squeeze detector: force readings in, a decision out. Pure; never asks the clock.

The rules (docs/sensor.md says them in plain words):

1. hold: pressed for `hold_ms`, three quarters of it really; sags below 400 ms do not restart it;
2. repeated or frantic squeezes: see evidence;
3. self-test: one exact pattern from rest, see pattern. While it is still exact, rule 2 only notes
   what it owes; the first deviation pays it at once. In doubt it is an alert.

After an activation it waits for a real release; what stays pressed for a minute is a load.
Forces are millivolts at the divider, judged above a slow baseline. Integers only, and `feed`
allocates nothing; times stay below 2**30.
"""

from micropython import const

from beacon import evidence, load, pattern

NONE = const(0)
HOLD = const(1)
SELF_TEST = const(2)

_SAG_MS = const(400)
_BOUNCE_MS = const(40)
_CREDIT_MS = const(1000)  # the most that one gap between two readings can add
_ADOPT_MS = const(60000)  # pressed that long after an activation: a load, not a hand

_LISTENING = const(0)
_SPENT = const(1)
_LOADED = const(2)


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
        self._evidence = evidence.Evidence(hold_ms)
        self._pattern = pattern.Pattern()
        self._load = load.Load(hold_ms, press_mv, release_mv, rearm_ms)
        self._t_ms = -1
        self._over = False  # over the threshold in the last reading
        self._quiet_ms = 0 if waiting_release else self._evidence.span_ms  # since it was over
        self._run_ms = 0  # length of the hold so far, sags included
        self._run_pressed_ms = 0
        self._owed = False
        self._spent_ms = 0

    @property
    def pressed(self):
        """The last reading was over the threshold, or there is a load."""
        return self._over or self._state == _LOADED

    @property
    def waiting_release(self):
        """Activated already, and not let go since for `rearm_ms`; or under a constant load."""
        return self._state != _LISTENING

    @property
    def idle(self):
        """No press, no pattern, no decision pending: the board may sleep."""
        if self._state != _LISTENING or self._over or self._pattern.down or self._pattern.begun:
            return False
        return self._evidence.negligible(self._quiet_ms)

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
        gap_ms = max(t_ms - self._t_ms, 0)
        self._t_ms = t_ms
        if self._state == _LOADED:
            return self._feed_load(gap_ms, force_mv)
        pressed_ms = self._read(gap_ms, force_mv)
        if self._state == _SPENT:
            self._await_release(gap_ms, force_mv)
            return NONE
        decision = self._judge(gap_ms, pressed_ms, force_mv)
        if decision == HOLD:
            self._forget()
            self._state = _SPENT
            self._spent_ms = 0
            self._load.begin(force_mv)
        return decision

    def _begin(self, t_ms, force_mv):
        """Settle where rest is; credit the time that the boot took."""
        self._t_ms = t_ms
        held_ms = self._held_ms
        if self._base < 0:
            at_rest = held_ms == 0 and force_mv <= self._rest_max_mv
            self._base = force_mv << 8 if at_rest else 0
        over = force_mv - self.baseline_mv >= self._press_mv
        self._load.begin(force_mv)
        self._pattern.begin(t_ms, held_ms, over)
        self._evidence.roll(t_ms)
        if held_ms:
            self._evidence.take(min(held_ms, _CREDIT_MS), 1)
            self._quiet_ms = 0
        if held_ms and over:
            self._over = True
            self._run_ms = held_ms
            self._run_pressed_ms = held_ms

    def _read(self, gap_ms, force_mv):
        """Threshold with hysteresis, baseline, evidence. Return how long it was pressed."""
        was = self._over
        over = force_mv - self.baseline_mv >= (self._release_mv if was else self._press_mv)
        self._over = over
        pressed_ms = min(gap_ms, _CREDIT_MS)
        if over != was:
            pressed_ms //= 2
        elif not over:
            pressed_ms = 0
            self._follow(gap_ms, force_mv)
        bounce = self._pattern.down and self._quiet_ms < _BOUNCE_MS
        self._evidence.roll(self._t_ms)
        self._evidence.take(pressed_ms, 1 if over and not was and not bounce else 0)
        self._quiet_ms = 0 if over else self._quiet_ms + gap_ms
        return pressed_ms

    def _follow(self, gap_ms, force_mv):
        """Move the baseline: down in seconds, up by at most 16 mV/s, so that no press is lost."""
        gap_ms = min(gap_ms, _CREDIT_MS)
        apart = (force_mv << 8) - self._base
        self._base += apart * gap_ms // 2000 if apart < 0 else min(apart, 4 * gap_ms)

    def _judge(self, gap_ms, pressed_ms, force_mv):
        if self._holds(gap_ms, pressed_ms):
            return HOLD
        self._owed = self._owed or self._evidence.enough()
        faint = force_mv - self.baseline_mv >= self._release_mv
        if self._pattern.follow(self._t_ms, gap_ms, self._over, faint):
            self._forget()
            return SELF_TEST
        if self._owed and not self._pattern.begun:
            return HOLD
        if self._quiet_ms >= self._evidence.span_ms:
            self._pattern.rest()
        return NONE

    def _holds(self, gap_ms, pressed_ms):
        if self._quiet_ms >= _SAG_MS:
            self._run_ms = 0
            self._run_pressed_ms = 0
            return False
        if pressed_ms or self._run_ms:
            self._run_ms += min(gap_ms, _CREDIT_MS)
            self._run_pressed_ms += pressed_ms
        long_enough = self._over and self._run_ms >= self._hold_ms
        return long_enough and self._run_pressed_ms * 4 >= self._run_ms * 3

    def _forget(self):
        self._evidence.clear()
        self._pattern.spoil()
        self._run_ms = 0
        self._run_pressed_ms = 0
        self._owed = False

    def _await_release(self, gap_ms, force_mv):
        """After an activation: wait for a real release, or take what stays for a load."""
        self._spent_ms += gap_ms
        self._load.average(gap_ms, force_mv)
        if self._quiet_ms >= self._rearm_ms:
            self._listen()
        elif self._spent_ms >= _ADOPT_MS and self._over:
            self._state = _LOADED

    def _feed_load(self, gap_ms, force_mv):
        found = self._load.feed(gap_ms, force_mv, self.baseline_mv)
        if found == load.GONE:
            self._base = force_mv << 8
            self._over = False
            self._quiet_ms = self._rearm_ms
            self._listen()
        return HOLD if found == load.SQUEEZED else NONE

    def _listen(self):
        self._forget()
        self._pattern.release(self._t_ms)
        self._state = _LISTENING
