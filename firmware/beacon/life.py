"""The life of a beacon: what a boot means, what a squeeze does, when to sleep.

It runs on hardware objects that are passed in, so the same file lives on a board, on the
virtual board and, by the thousand, in a test.
"""

from collections import namedtuple

from fanal_protocol import keys
from micropython import const

from beacon import emission, event, retained, squeeze, vault

# The modules clock, radio, sensor, store and sleep say what theirs can do; sectors are those of
# a vault.Vault, memory is that of retained.py, random makes n random bytes.
Hardware = namedtuple(
    "Hardware",
    ("clock", "sectors", "memory", "radio", "sensor", "sleep", "motor", "random"),
)

_TICK_MS = const(20)
_MOTOR_MS = const(400)
_RESUMPTIONS_MOST = const(16)
# Before a resumption that waits, a technician gets that long to attach.
_PUT_OFF_WINDOW_MS = const(10000)
# For so long a technician may be attached in an event that goes on afterwards: as the guard.
_ATTACHED_MOST_MS = const(300000)
_POLL_MS = const(1000)
_POLL_DOUBLINGS = const(6)


def backoff_s(resumptions):
    """Return how long the r-th resumption in a row waits first. SPEC 4.3."""
    return 0 if resumptions < 2 else min(60 << resumptions, 3600)


class Life:
    """One boot of one beacon, until it sleeps. profile: see profile.Profile."""

    def __init__(self, hardware, settings, profile):
        self.faults = []
        self._hardware = hardware
        self._settings = settings
        self._profile = profile
        self._vault = vault.Vault(hardware.sectors)
        self._detector = None
        self._emission = None
        self._state = event.QUIET
        self._quiet = retained.quiet(0)
        self._resume_in_ms = 0
        self._t_ms = 0
        self._ticks_ms = hardware.clock.ticks_ms()
        self._awake_until_ms = 0
        self._motor_until_ms = 0
        self._checked = False

    def run(self):
        """Boot, and live until deep sleep ends it."""
        self.boot()
        while True:
            self.step()
            self._hardware.clock.sleep_ms(_TICK_MS)

    def boot(self):
        """Find out what this boot continues, and get on air first if that is due."""
        self._hardware.sleep.watch()
        try:
            self._vault.recover()
        except vault.VaultError:
            self.faults.append("vault_corrupt")
        kept = self._kept()
        if kept is None:
            self._hardware.memory.wipe()
            self._listen()
            self._boot_cold()
        elif isinstance(kept, retained.EventRecord):
            self._listen(kept.baseline_mv, kept.held_over)
            self._emission = emission.restore(
                self._hardware, self._settings, kept, self._vault.record.drill
            )
            self._state = kept.state
            self._checked = True
            if self._emission.tick(0) == event.END:
                self._end()
        elif isinstance(kept, retained.BackoffRecord):
            self._listen()
            self._wait_on(kept)
        elif isinstance(kept, retained.SelfTestRecord):
            self._hardware.memory.wipe()
            self._listen()
            self._test_on(kept)
        else:
            self._quiet = kept
            self._listen(kept.baseline_mv, kept.held_over)
        if self._vault.record.event_key is None:
            self._awake_until_ms = self._settings.window_s * 1000
        self._ticks_ms = self._hardware.clock.ticks_ms()

    def step(self):
        """One turn of the loop: feel, decide, transmit, or sleep."""
        ticks_ms = self._hardware.clock.ticks_ms()
        elapsed_ms = self._hardware.clock.ticks_diff(ticks_ms, self._ticks_ms)
        self._ticks_ms = ticks_ms
        if elapsed_ms < 0:
            elapsed_ms = 0
        self._t_ms += elapsed_ms
        felt = self._detector.feed(self._t_ms, self._hardware.sensor.force_mv())
        if felt != squeeze.NONE:
            self._squeezed(felt)
            elapsed_ms = 0
        if self._emission is not None:
            self._emit(elapsed_ms)
        else:
            self._wait(elapsed_ms)
        if self._motor_until_ms and self._t_ms >= self._motor_until_ms:
            self._hardware.motor.off()
            self._motor_until_ms = 0
        self._hardware.sleep.feed()

    def pause(self):
        """Somebody attaches by wire: an event that is on air is kept, for console.leave."""
        if self._emission is not None:
            self._emission.keep(_ATTACHED_MOST_MS)

    # What a boot means

    def _kept(self):
        """Return the record to continue, or None: only a wake with a record that agrees."""
        if not self._hardware.sleep.woken() or self.faults:
            return None
        try:
            kept = retained.decode(self._hardware.memory.read())
        except ValueError:
            return None
        return kept if retained.agrees(kept, self._vault.record) else None

    def _listen(self, baseline_mv=retained.NO_BASELINE, held_over=False):
        """Make the detector; after a wake by a press the time to boot counts towards a hold."""
        settings = self._settings
        sleep = self._hardware.sleep
        pressed = sleep.woken() and sleep.by_pin() and not held_over and not self._quiet.naps
        self._detector = squeeze.Detector(
            hold_ms=settings.hold_ms,
            press_mv=settings.press_mv,
            release_mv=settings.release_mv,
            rearm_ms=settings.rearm_ms,
            rest_max_mv=settings.rest_max_mv,
            held_ms=self._profile.boot_ms if pressed else 0,
            baseline_mv=None if baseline_mv == retained.NO_BASELINE else baseline_mv,
            waiting_release=bool(held_over),
        )

    def _boot_cold(self):
        record = self._vault.record
        self._awake_until_ms = self._settings.window_s * 1000
        if not record.open:
            return
        resumptions = record.resumptions + 1
        if record.activation != 1 or resumptions > _RESUMPTIONS_MOST:
            self._close()
            return
        if resumptions < 2:
            self._resume()
            return
        # The vault stays as it is, so that a cell that fails again burns no event number.
        self._state = event.PUT_OFF
        self._resume_in_ms = backoff_s(resumptions) * 1000
        self._awake_until_ms = min(self._awake_until_ms, _PUT_OFF_WINDOW_MS)

    def _wait_on(self, kept):
        now_ms = self._hardware.clock.rtc_ms()
        self._state = event.PUT_OFF
        self._resume_in_ms = min(max(kept.until_ms - now_ms, 0), kept.planned_ms)
        if not self._hardware.sleep.by_pin() or not self._resume_in_ms:
            self._resume()

    def _test_on(self, kept):
        """Begin the self-test that was asked for by wire, unless a hand was faster."""
        hardware = self._hardware
        if not hardware.sleep.by_pin() and retained.is_due(kept, hardware.clock.rtc_ms()):
            self._squeezed(squeeze.SELF_TEST)

    # What a squeeze does

    def _squeezed(self, felt):
        if self._vault.record.event_key is None:
            return
        happening = event.HOLD if felt == squeeze.HOLD else event.SELF_TEST
        drill = retained.armed_for_s(self._quiet, self._hardware.clock.rtc_ms()) > 0
        if drill and happening == event.HOLD and self._state == event.QUIET:
            happening = event.ARMED_HOLD
        action, state = event.decide(self._present(), happening)
        if action == event.RENEW:
            self._emission.event.renew()
            if self._vault.record.resumptions:
                self._vault.commit(vault.squeezed(self._vault.record))
            self._vibrate()
        elif action == event.OPEN:
            self._open(state, drill, False, 0)

    def _present(self):
        return self._state if self._emission is None else self._emission.event.state

    def _resume(self):
        record = self._vault.record
        happening = event.RESUME_DRILL if record.drill else event.RESUME
        _, state = event.decide(event.PUT_OFF, happening)
        self._open(state, record.drill, True, record.resumptions + 1)

    def _open(self, state, drill, resumed, resumptions):
        """Commit the next event key, and only then say a word under this one. SPEC 4.2."""
        if self._emission is not None:
            self._hardware.radio.stop()
            self._emission = None
        record = self._vault.record
        n, event_key = record.n, record.event_key
        following = keys.next_event_key(event_key)
        activation = 0 if state == event.TEST else 1
        self._vault.commit(vault.opened(record, following, activation, drill, resumptions))
        self._hardware.memory.wipe()
        self._quiet = retained.quiet(0)
        self._state = state
        self._emission = emission.begin(
            self._hardware, self._settings, n, event_key, state, drill, resumed
        )
        self._emission.tick(0)
        self._vibrate()

    def _vibrate(self):
        if self._settings.vibrate:
            self._hardware.motor.on()
            self._motor_until_ms = self._t_ms + _MOTOR_MS

    # What an open event does

    def _emit(self, elapsed_ms):
        current = self._emission
        current.held_over = self._detector.waiting_release
        current.baseline_mv = self._detector.baseline_mv
        action = current.tick(elapsed_ms)
        if action == event.END:
            self._end()
        elif action == event.LISTEN:
            if self._may_sleep():
                planned_ms = current.event.wait_ms()
                current.keep(planned_ms)
                self._deep(planned_ms, self._hardware.sensor.active())
        elif current.wants_signature:
            self._sign()

    def _sign(self):
        """After the first alert: known answers once, then the signature of this slot."""
        if not self._checked:
            self._check()
        elif "known_answers" not in self.faults:
            record = self._vault.record
            try:
                self._emission.sign(record.seed, record.public_key, self._hardware.random)
            except Exception:  # noqa: BLE001  without a signature, rather than not on air
                self.faults.append("known_answers")

    def _check(self):
        self._checked = True
        try:
            from beacon import known_answers

            right = all(known_answers.run().values())
        except Exception:  # noqa: BLE001  a file that does not load says no more than a wrong answer
            right = False
        if not right:
            self.faults.append("known_answers")

    def _end(self):
        self._emission = None
        self._close()

    def _close(self):
        """The event is over: by a commit, and with nothing left of it in RTC memory."""
        self._vault.commit(vault.closed(self._vault.record))
        self._hardware.memory.wipe()
        self._state = event.QUIET

    # When to sleep

    def _wait(self, elapsed_ms):
        if self._state == event.PUT_OFF:
            self._resume_in_ms -= elapsed_ms
            if self._resume_in_ms <= 0:
                self._resume()
                return
        if not self._checked and self._awake_until_ms:
            self._check()
        if self._t_ms >= self._awake_until_ms and self._may_sleep():
            self._rest()

    def _may_sleep(self):
        """Nothing is in progress, or only a weight that already counted and will not go."""
        detector = self._detector
        return detector.idle or (detector.waiting_release and detector.pressed)

    def _rest(self):
        """Deep sleep without an open event, or until its resumption is due."""
        hardware = self._hardware
        now_ms = hardware.clock.rtc_ms()
        active = hardware.sensor.active()
        if self._state == event.PUT_OFF:
            duration_ms = self._resume_in_ms
            until_ms = now_ms + duration_ms
            kept = retained.BackoffRecord(self._vault.record.n, until_ms, duration_ms)
        else:
            naps = min(self._quiet.naps + 1, _POLL_DOUBLINGS) if active else 0
            duration_ms = _POLL_MS << naps if naps else 0
            armed = retained.armed_for_s(self._quiet, now_ms)
            kept = retained.QuietRecord(
                self._quiet.drill_until_ms if armed else 0,
                now_ms,
                self._detector.waiting_release,
                naps,
                self._detector.baseline_mv,
            )
        hardware.memory.write(retained.encode(kept))
        self._deep(duration_ms, active)

    def _deep(self, duration_ms, active):
        """Deep sleep until a press, or, with the pin active already, until it is let go.

        duration_ms: 0 for as long as that takes.
        """
        self._hardware.radio.off()
        self._hardware.motor.off()
        self._hardware.sleep.deep(duration_ms, not active)
