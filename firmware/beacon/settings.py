"""Settings: names, defaults and limits. Pure; this_board reads and writes their file.

They are one flat JSON object. None of them can keep a beacon from sending what SPEC.md says.
"""

import json

from beacon.profile import PROFILES

# Twice all of them; a file that is longer holds something else.
MOST_CHARACTERS = 1024

# name: (default, least, most), all integers.
_NUMBERS = {
    # one frame on air; the original ESP32 takes 100 ms or more
    "frame_ms": (100, 20, 1000),
    # the continuous phase after a hold
    "alert_s": (600, 10, 7200),
    # how long an event of a fixed beacon, and any drill, lasts after its last hold
    "event_s": (3600, 10, 86400),
    # how long a self-test is on air: long enough for a whole signature
    "self_test_s": (20, 4, 120),
    # the track phase: a burst in every period, deep sleep between
    "track_period_s": (300, 10, 900),
    "burst_s": (12, 4, 120),
    # how long a cold boot stays awake so that a technician can attach
    "window_s": (60, 5, 3600),
    # the squeeze detector's
    "hold_ms": (3000, 1000, 10000),
    "press_mv": (250, 20, 3000),
    "release_mv": (150, 10, 3000),
    "rearm_ms": (3000, 500, 60000),
    "rest_max_mv": (600, 0, 3000),
    # 0: never
    "battery_low_mv": (3400, 0, 5100),
    "battery_end_mv": (2900, 0, 5100),
}

_CHOICES = {
    # fixed: installed in a known place; carried: events last up to a day
    "profile": ("fixed", ("fixed", "carried")),
    "sensor": ("fsr", ("fsr", "switch")),
    # empty: as detected
    "board": ("", ("",) + tuple(sorted(PROFILES))),
}

_FLAGS = {"vibrate": False}


class SettingsError(ValueError):
    """A setting is not right. name: which one, or "file"."""

    def __init__(self, name):
        super().__init__(name)
        self.name = name


class Settings:
    """The settings in force, one attribute each. Raises SettingsError for the first bad one.

    values: a dictionary, untrusted; what it leaves out has its default.
    """

    def __init__(self, values=None):
        values = values or {}
        for name in values:
            if name not in _NUMBERS and name not in _CHOICES and name not in _FLAGS:
                raise SettingsError(name)
        for name, (default, least, most) in _NUMBERS.items():
            value = values.get(name, default)
            if type(value) is not int or not least <= value <= most:
                raise SettingsError(name)
            setattr(self, name, value)
        for name, (default, allowed) in _CHOICES.items():
            value = values.get(name, default)
            if type(value) is not str or value not in allowed:
                raise SettingsError(name)
            setattr(self, name, value)
        for name, default in _FLAGS.items():
            value = values.get(name, default)
            if type(value) is not bool:
                raise SettingsError(name)
            setattr(self, name, value)
        self._check_together()

    def _check_together(self):
        if self.release_mv > self.press_mv:
            raise SettingsError("release_mv")
        if self.burst_s >= self.track_period_s:
            raise SettingsError("burst_s")
        if self.battery_end_mv > self.battery_low_mv:
            raise SettingsError("battery_end_mv")

    def as_dict(self):
        """Return all of them, by name."""
        return {name: getattr(self, name) for form in (_NUMBERS, _CHOICES, _FLAGS) for name in form}


def parse(text):
    """Return the Settings of a JSON text, untrusted, of any length. Raises SettingsError."""
    if len(text) > MOST_CHARACTERS:
        raise SettingsError("file")
    try:
        values = json.loads(text)
    except (ValueError, MemoryError):  # a thousand brackets can be too much for a heap
        raise SettingsError("file")
    if not isinstance(values, dict):
        raise SettingsError("file")
    return Settings(values)
