"""When a beacon is awake: the schedule of its firmware, said once more for reckoning.

The firmware is not imported: these are its defaults and limits (`firmware/beacon/settings.py`) and
its phases (`event.py`, `life.py`), and a test holds both to each other.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from fanal.error import UsageError

FIXED = "fixed"
CARRIED = "carried"
PROFILES = (FIXED, CARRIED)

LONGEST_S = 86400  # of an event: slot 96 does not exist
POLL_S = 64  # under a constant load it looks that often whether it was let go

# name: (default, least, most)
NUMBERS = {
    "frame_ms": (100, 20, 1000),
    "alert_s": (600, 10, 7200),
    "event_s": (3600, 10, 86400),
    "self_test_s": (20, 4, 120),
    "track_period_s": (300, 10, 900),
    "burst_s": (12, 4, 120),
    "hold_ms": (3000, 1000, 10000),
}


@dataclass(frozen=True)
class Airtime:
    """What one event does. alert_s, bursts_s: on air. wakes: from deep sleep, one a burst."""

    alert_s: int
    bursts_s: int
    wakes: int
    length_s: int

    @property
    def on_air_s(self) -> int:
        """All that it transmits."""
        return self.alert_s + self.bursts_s


def settings_of(changed: Mapping[str, float] | None = None) -> dict[str, int]:
    """Return the settings that count here, defaults for what is not in `changed`.

    Raises UsageError for one that the firmware would refuse.
    """
    settings = {name: default for name, (default, _, _) in NUMBERS.items()}
    for name, value in (changed or {}).items():
        _, least, most = NUMBERS[name]
        if not least <= value <= most or value != int(value):
            raise UsageError(
                f"{name} cannot be {value:g}.", f"It is a whole number from {least} to {most}."
            )
        settings[name] = int(value)
    if settings["burst_s"] >= settings["track_period_s"]:
        raise UsageError(
            "A burst has to be shorter than the period of bursts.",
            "Change burst_s or track_period_s.",
        )
    return settings


def airtime(settings: Mapping[str, int], profile: str) -> Airtime:
    """Return what one event of a profile does after one hold, until it ends by itself.

    It transmits for alert_s; then a burst in each period, in deep sleep between.
    """
    length = LONGEST_S if profile == CARRIED else settings["event_s"]
    alert = min(settings["alert_s"], length)
    burst, period = settings["burst_s"], settings["track_period_s"]
    begins = range(alert + period - burst, length, period) if alert < length else range(0)
    return Airtime(alert, sum(min(burst, length - at) for at in begins), len(begins), length)
