"""Where something was, on the globe: WGS 84 degrees, and how far off that may be."""

import math
from dataclasses import dataclass

from fanal.error import UsageError

FIXED = "fixed"
GPS = "gps"
SITE = "site"
LISTENERS = "listeners"

EARTH_M = 6_371_008.8  # mean radius, IUGG
_TYPED_ACCURACY_M = 25.0  # of a place that somebody looked up on a map


@dataclass(frozen=True, slots=True)
class Position:
    """latitude and longitude in degrees; accuracy_m: radius in which it is, most likely.

    source: who says so: FIXED (typed in), GPS, SITE (of a beacon that is installed), LISTENERS
    (reckoned from those that heard it). Raises ValueError for what is no place on earth.
    """

    latitude: float
    longitude: float
    accuracy_m: float
    source: str = FIXED

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, (self.latitude, self.longitude, self.accuracy_m))):
            raise ValueError("a position is made of finite numbers")
        if not (-90 <= self.latitude <= 90 and -180 <= self.longitude <= 180):
            raise ValueError("latitude is -90 to 90 degrees, longitude -180 to 180")
        if self.accuracy_m < 0:
            raise ValueError("an accuracy is not negative")

    def distance_m(self, other: "Position") -> float:
        """Return the distance to another position, in metres along the sphere (haversine)."""
        here, there = math.radians(self.latitude), math.radians(other.latitude)
        east = math.radians(other.longitude - self.longitude)
        half = (
            math.sin((there - here) / 2) ** 2
            + math.cos(here) * math.cos(there) * math.sin(east / 2) ** 2
        )
        return 2 * EARTH_M * math.asin(min(1.0, math.sqrt(half)))


def typed(text: str) -> Position:
    """Return the position in "LAT,LON" or "LAT,LON,METRES", in degrees. Raises UsageError."""
    try:
        latitude, longitude, *more = (float(part) for part in text.split(","))
        (accuracy_m,) = more or [_TYPED_ACCURACY_M]
        return Position(latitude, longitude, accuracy_m, FIXED)
    except ValueError:
        raise UsageError(
            "That is no place on earth.",
            "Write degrees north and east, with a minus for south and west, and how many metres"
            " that may be off: 52.5163,13.3777,20",
        ) from None
