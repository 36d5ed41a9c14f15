"""Board profiles: which pin is what, how the chip wakes, what its radio can do. Pure."""

from collections import namedtuple

from micropython import const

# How a pin wakes a chip: the function of the module `esp32` that arms it.
WAKE_NONE = const(0)
WAKE_EXT0 = const(1)
WAKE_EXT1 = const(2)
WAKE_GPIO = const(3)

# force_pin: an ADC. wake_pin: the same node as a digital input, which an ADC's pin cannot be at
# the same time; one that can wake the chip. battery_pin: an ADC behind a divider. motor_pin: a
# vibration motor's driver. adv_least_ms: the shortest interval the controller takes. boot_ms:
# from a wake to the first line of main.py, which counts towards a hold.
Profile = namedtuple(
    "Profile",
    (
        "name",
        "chip",
        "radio",
        "force_pin",
        "wake_pin",
        "battery_pin",
        "battery_divider",
        "motor_pin",
        "wake",
        "adv_least_ms",
        "boot_ms",
    ),
)

# Only ADC1 works beside the radio, and 34 and 35 are its input-only pins; 33 is an RTC pin, so
# ext0 takes it. The BLE 4.2 controller needs 100 ms for advertising without connections.
ESP32 = Profile("esp32", "ESP32", True, 34, 33, 35, 2, 25, WAKE_EXT0, 100, 350)
# A C3 wakes by GPIO 0-5 only; its ADC1 is GPIO 0-4.
ESP32C3 = Profile("esp32c3", "ESP32C3", True, 3, 4, 1, 2, 5, WAKE_GPIO, 20, 300)
ESP32S3 = Profile("esp32s3", "ESP32S3", True, 4, 5, 6, 2, 7, WAKE_EXT1, 20, 300)
# Any other MicroPython: it can be provisioned and checked, and stays silent.
BARE = Profile("bare", "unknown", False, -1, -1, -1, 1, -1, WAKE_NONE, 20, 0)

PROFILES = {profile.name: profile for profile in (ESP32, ESP32C3, ESP32S3, BARE)}


def of_machine(machine):
    """Return the Profile for what `os.uname().machine` says, such as "... with ESP32C3"."""
    chip = machine.split(" with ")[-1].strip().upper().replace("-", "")
    for profile in (ESP32C3, ESP32S3, ESP32):
        if chip == profile.chip or chip.startswith(profile.chip + " "):
            return profile
    return BARE
