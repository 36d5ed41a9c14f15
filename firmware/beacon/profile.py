"""Board profiles: which pin is what, how the chip wakes, what its radio can do."""

from collections import namedtuple

from micropython import const

# How a pin wakes a chip: the function of the module `esp32` that arms it.
WAKE_NONE = const(0)
WAKE_EXT0 = const(1)
WAKE_EXT1 = const(2)
WAKE_GPIO = const(3)

# force_pin: ADC, and the wake source, so it can wake the chip. battery_pin: ADC behind a divider
# that halves. motor_pin: a vibration motor's driver. adv_least_ms: the shortest interval the
# controller takes. boot_ms: from a wake to the first line of main.py, which counts to a hold.
Profile = namedtuple(
    "Profile",
    (
        "name",
        "chip",
        "radio",
        "force_pin",
        "battery_pin",
        "battery_divider",
        "motor_pin",
        "wake",
        "adv_least_ms",
        "boot_ms",
    ),
)

# GPIO 34 and 35 are input-only ADC1 pins of the ESP32, and 34 is an RTC pin: ext0 takes it. Its
# BLE 4.2 controller needs 100 ms for advertising that cannot be connected to.
ESP32 = Profile("esp32", "ESP32", True, 34, 35, 2, 25, WAKE_EXT0, 100, 350)
# A C3 wakes by GPIO 0-5 only, and only ADC1, GPIO 0-4, works beside the radio.
ESP32C3 = Profile("esp32c3", "ESP32C3", True, 3, 4, 2, 5, WAKE_GPIO, 20, 300)
ESP32S3 = Profile("esp32s3", "ESP32S3", True, 4, 5, 2, 6, WAKE_EXT1, 20, 300)
# Any other MicroPython: it can be provisioned and checked, and stays silent.
BARE = Profile("bare", "unknown", False, -1, -1, 1, -1, WAKE_NONE, 20, 0)

PROFILES = {profile.name: profile for profile in (ESP32, ESP32C3, ESP32S3, BARE)}


def of_machine(machine):
    """Return the Profile for what `os.uname().machine` says, such as "... with ESP32C3"."""
    chip = machine.split(" with ")[-1].strip().upper().replace("-", "")
    for profile in (ESP32C3, ESP32S3, ESP32):
        if chip == profile.chip or chip.startswith(profile.chip + " "):
            return profile
    return BARE


def detect(name=""):
    """Return the Profile called `name`, or that of the board this runs on if it is empty."""
    if name:
        return PROFILES[name]
    return of_machine(machine_name())


def machine_name():
    """Return what MicroPython calls this board."""
    import os
    import sys

    if hasattr(os, "uname"):
        return os.uname().machine
    return getattr(sys.implementation, "_machine", "")
