"""Times and figures as people read them. Exact times are in the hub's zone, with its offset."""

from datetime import UTC, datetime, timedelta

from fanal.hub.incident_record import rfc3339

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MOST_MS = 253_370_764_800_000  # a day's width before the year 10000, so that any zone fits
_STEPS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))

FRESH_MS = 60_000  # heard within this time, it is on air now


def exact(at_ms: int) -> str:
    """Return "2026-03-01 13:00:03 +01:00"."""
    local = _local(at_ms)
    offset = local.strftime("%z")
    return f"{local:%Y-%m-%d %H:%M:%S} {offset[:3]}:{offset[3:5]}"


def offset_min(at_ms: int) -> int:
    """Return how many minutes the hub's zone is before UTC then."""
    offset = _local(at_ms).utcoffset()
    return 0 if offset is None else round(offset.total_seconds() / 60)


def machine(at_ms: int) -> str:
    """Return the same for programs, in UTC."""
    return rfc3339(at_ms)


def lasting(seconds: float) -> str:
    """Return how long, in its two largest units: "4 s", "3 min 20 s", "2 h", "3 d 4 h"."""
    left = max(0, int(seconds))
    for at, (size, unit) in enumerate(_STEPS):
        if left >= size:
            small, letter = _STEPS[at + 1] if at + 1 < len(_STEPS) else (1, "")
            rest = left % size // small if letter else 0
            return f"{left // size} {unit}" + (f" {rest} {letter}" if rest else "")
    return "0 s"


def ago(at_ms: int, now_ms: int) -> str:
    """Return "3 min ago", by its largest unit; the page's script counts on in the same words."""
    seconds = (now_ms - at_ms) // 1000
    if seconds < 1:
        return "now"
    size, unit = next(step for step in _STEPS if seconds >= step[0])
    return f"{seconds // size} {unit} ago"


def volts(battery_mv: int) -> str:
    """Return "2.98 V"; a reading at the end of the scale is that or more."""
    return f"{'at least ' if battery_mv >= 5100 else ''}{battery_mv / 1000:.2f} V"


def coordinates(latitude: float, longitude: float) -> str:
    """Return degrees with five decimals, about a metre: "48.13712 N, 11.57542 E"."""
    north, east = "N" if latitude >= 0 else "S", "E" if longitude >= 0 else "W"
    return f"{abs(latitude):.5f} {north}, {abs(longitude):.5f} {east}"


def geo(latitude: float, longitude: float, accuracy_m: float) -> str:
    """Return the URI that opens a map on a phone (RFC 5870)."""
    return f"geo:{latitude:.6f},{longitude:.6f};u={accuracy_m:.0f}"


def metres(accuracy_m: float) -> str:
    """Return "80 m" or "2.4 km"."""
    return f"{accuracy_m:.0f} m" if accuracy_m < 1000 else f"{accuracy_m / 1000:.1f} km"


def _local(at_ms: int) -> datetime:
    bounded = max(86_400_000, min(at_ms, _MOST_MS))
    return (_EPOCH + timedelta(milliseconds=bounded)).astimezone()
