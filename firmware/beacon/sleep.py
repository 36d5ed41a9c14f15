"""Deep sleep, what wakes from it, and the watchdog."""

import machine
from machine import Pin
from micropython import const

from beacon import profile

# The chip says from when a sleep counts, then empties its UART and stops its radio, and only
# then sets the timer: one that has run out by then may never wake it.
LEAST_MS = const(100)

_LOOP_MS = const(30000)
_GUARD_MS = const(300000)


class Sleep:
    """How this board sleeps. board: see profile.Profile."""

    def __init__(self, board):
        self._wake = board.wake
        self._number = board.wake_pin
        self._dog = None

    def woken(self):
        """Return whether this boot is a wake from deep sleep; any other reset is a cold boot."""
        return machine.reset_cause() == machine.DEEPSLEEP_RESET

    def by_pin(self):
        """Return whether it was the pin, not the timer, that woke the chip."""
        return machine.wake_reason() != machine.TIMER_WAKE

    def deep(self, duration_ms, on_press):
        """Sleep; the next thing is a boot. duration_ms: 0 for no timer, else at least LEAST_MS.

        on_press: wake when the pin becomes active, else when it no longer is.
        """
        import esp32

        level = esp32.WAKEUP_ANY_HIGH if on_press else esp32.WAKEUP_ALL_LOW
        pin = Pin(self._number, Pin.IN)
        if self._wake == profile.WAKE_EXT0:
            esp32.wake_on_ext0(pin, level)
        elif self._wake == profile.WAKE_EXT1:
            esp32.wake_on_ext1((pin,), level)
        elif self._wake == profile.WAKE_GPIO:
            esp32.wake_on_gpio((pin,), level)
        if duration_ms:
            machine.deepsleep(max(duration_ms, LEAST_MS))
        else:
            machine.deepsleep()

    def watch(self):
        """Start the watchdog of the loop, which then has to `feed` it."""
        self._dog = machine.WDT(timeout=_LOOP_MS)

    def feed(self):
        """Say that the loop is alive."""
        self._dog.feed()


def guard():
    """Let the watchdog bite in 300 s unless this is called again: no technician is for ever."""
    machine.WDT(timeout=_GUARD_MS).feed()
