"""The event state machine: squeezes and the event's own age in, decisions out. Pure. SPEC 4.2, 4.3.

`TRANSITIONS` is the machine: what a state does not name does not happen to it. The age is that
of the event in ms; it never goes back here, whatever the clock that it came from does, and so
neither does the unit: what was reserved once is not given out again.
"""

from micropython import const

# States. A drill is an alert that a hold makes real.
QUIET = const(0)
PUT_OFF = const(1)  # an event is open, its resumption waits
TEST = const(2)
ALERT = const(3)
TRACK = const(4)
DRILL = const(5)
DRILL_TRACK = const(6)

# What can happen.
HOLD = const(0)
SELF_TEST = const(1)
ARMED_HOLD = const(2)  # while a drill is armed
RESUME = const(3)
RESUME_DRILL = const(4)
PHASE_OVER = const(5)
EVENT_OVER = const(6)
BATTERY_OUT = const(7)

# What is to be done.
NOTHING = const(0)
OPEN = const(1)  # commit and begin event n, closing one that is open
RENEW = const(2)  # the same event, back in its first phase
REST = const(3)  # on to bursts with sleep between
END = const(4)

TRANSITIONS = {
    QUIET: {
        HOLD: (OPEN, ALERT),
        SELF_TEST: (OPEN, TEST),
        ARMED_HOLD: (OPEN, DRILL),
        RESUME: (OPEN, ALERT),
        RESUME_DRILL: (OPEN, DRILL),
    },
    PUT_OFF: {HOLD: (OPEN, ALERT), RESUME: (OPEN, ALERT), RESUME_DRILL: (OPEN, DRILL)},
    TEST: {HOLD: (OPEN, ALERT), EVENT_OVER: (END, QUIET), BATTERY_OUT: (END, QUIET)},
    ALERT: {
        HOLD: (RENEW, ALERT),
        PHASE_OVER: (REST, TRACK),
        EVENT_OVER: (END, QUIET),
        BATTERY_OUT: (END, QUIET),
    },
    TRACK: {HOLD: (RENEW, ALERT), EVENT_OVER: (END, QUIET), BATTERY_OUT: (END, QUIET)},
    DRILL: {
        HOLD: (OPEN, ALERT),
        PHASE_OVER: (REST, DRILL_TRACK),
        EVENT_OVER: (END, QUIET),
        BATTERY_OUT: (END, QUIET),
    },
    DRILL_TRACK: {HOLD: (OPEN, ALERT), EVENT_OVER: (END, QUIET), BATTERY_OUT: (END, QUIET)},
}

# What `at` returns beside END.
TRANSMIT = const(5)
LISTEN = const(6)  # silent; may sleep for wait_ms()

UNIT_MS = const(2000)
UNITS_PER_SLOT = const(450)
LAST_MS = const(86400000)  # slot 96 does not exist

_NO_UNIT = const(-1)
_BATTERY_READINGS = const(3)
# No chip runs below this: it is the divider that is broken, not the battery that is empty.
_BATTERY_LEAST_MV = const(2000)


def decide(state, happening):
    """Return (what is to be done, the state after it); (NOTHING, state) if nothing is."""
    return TRANSITIONS[state].get(happening, (NOTHING, state))


class Event:
    """An event that is open. drill, resumed: its bits. settings: see settings.Settings."""

    def __init__(self, n, state, settings, drill=False, resumed=False):
        self.n = n
        self.state = state
        self.drill = drill
        self.resumed = resumed
        self.age_ms = 0
        self.unit = _NO_UNIT
        self.renewed_ms = 0
        self.burst_ms = 0
        self._bursting_to_ms = 0
        self._flat = 0
        self._settings = settings

    @property
    def activation(self):
        """As on air: 0 self-test, 1 hold."""
        return 0 if self.state == TEST else 1

    @property
    def phase(self):
        """As on air: 0 alert and self-test, 1 track."""
        return 1 if self.state == TRACK or self.state == DRILL_TRACK else 0

    def restore(self, age_ms, unit, renewed_ms, burst_ms):
        """Continue after a sleep. unit: the last one reserved, or -1."""
        self.unit = unit
        self.age_ms = max(age_ms, unit * UNIT_MS, 0)
        self.renewed_ms = renewed_ms
        self.burst_ms = burst_ms

    def at(self, age_ms):
        """Return TRANSMIT, LISTEN or END for an age; one that goes back counts as no time."""
        if age_ms > self.age_ms:
            self.age_ms = age_ms
        if self.state == QUIET:
            return END
        if self.age_ms >= self._end_ms():
            return self._step(EVENT_OVER)
        if self.phase == 0:
            if self.state == TEST or self.age_ms < self._phase_end_ms():
                return TRANSMIT
            self._step(PHASE_OVER)
            self._rest()
        return self._at_track()

    def wait_ms(self):
        """Return how long it may sleep now, at least 1 ms."""
        return max(1, min(self.burst_ms, self._end_ms()) - self.age_ms)

    def renew(self):
        """A hold in an alert: back to its first phase, same n."""
        self._step(HOLD)
        self.renewed_ms = self.age_ms
        self._bursting_to_ms = 0
        self._flat = 0  # even a flat battery gets to say it

    def reserve(self):
        """Return whether the unit of now is free, and take it: nobody gets it again."""
        unit = self.age_ms // UNIT_MS
        if unit <= self.unit or self.age_ms >= LAST_MS:
            return False
        self.unit = unit
        return True

    def battery(self, battery_mv):
        """Return NOTHING or END for a reading, one per unit. One dip ends nothing.

        A reading at which no chip runs says nothing: a wire that broke must not end an alert.
        """
        if _BATTERY_LEAST_MV <= battery_mv < self._settings.battery_end_mv:
            self._flat += 1
        else:
            self._flat = 0
        return self._step(BATTERY_OUT) if self._flat >= _BATTERY_READINGS else NOTHING

    def _step(self, happening):
        action, self.state = decide(self.state, happening)
        return action

    def _phase_end_ms(self):
        return self.renewed_ms + self._settings.alert_s * 1000

    def _end_ms(self):
        settings = self._settings
        if self.state == TEST:
            return settings.self_test_s * 1000
        if settings.profile == "carried" and not self.drill:
            return LAST_MS
        return min(LAST_MS, self.renewed_ms + settings.event_s * 1000)

    def _at_track(self):
        if self._bursting_to_ms:
            if self.age_ms < self._bursting_to_ms:
                return TRANSMIT
            self._rest()
        if self.age_ms < self.burst_ms:
            return LISTEN
        self._bursting_to_ms = self.age_ms + self._settings.burst_s * 1000
        return TRANSMIT

    def _rest(self):
        """Put the next burst one period after the last one began."""
        settings = self._settings
        self.burst_ms = self.age_ms + (settings.track_period_s - settings.burst_s) * 1000
        self._bursting_to_ms = 0
