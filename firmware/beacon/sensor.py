"""The force sensor or switch, the battery's divider, the vibration motor."""

from machine import ADC, Pin
from micropython import const

_SWITCH_MV = const(3300)


class Sensor:
    """What squeezes and the battery say. profile: see profile.Profile. kind: "fsr", "switch"."""

    def __init__(self, profile, kind):
        self._wake = Pin(profile.wake_pin, Pin.IN)
        self._force = None if kind == "switch" else ADC(Pin(profile.force_pin), atten=ADC.ATTN_11DB)
        self._battery = ADC(Pin(profile.battery_pin), atten=ADC.ATTN_11DB)
        self._divider = profile.battery_divider

    def force_mv(self):
        """Return the reading in mV at the pin; a switch reads 0 or 3300."""
        if self._force is None:
            return _SWITCH_MV if self._wake.value() else 0
        return self._force.read_uv() // 1000

    def battery_mv(self):
        """Return the voltage of the battery, in mV."""
        return self._battery.read_uv() // 1000 * self._divider

    def active(self):
        """Return whether the wake pin is at the level that wakes the chip."""
        return bool(self._wake.value())


class Motor:
    """A vibration motor behind a driver. The pin is not touched until it is first switched on."""

    def __init__(self, profile):
        self._number = profile.motor_pin
        self._pin = None

    def on(self):
        """Switch it on."""
        if self._pin is None:
            self._pin = Pin(self._number, Pin.OUT)
        self._pin.value(1)

    def off(self):
        """Switch it off."""
        if self._pin is not None:
            self._pin.value(0)
