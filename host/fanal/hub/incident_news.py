"""What of an incident is news to people: why they would want to be told, the first that is true."""

from dataclasses import dataclass

from fanal_protocol import alert

from fanal.hub.placed import place_of
from fanal.hub.tables import IncidentRow
from fanal.position import Position

# beside OPENED and REOPENED of `tables`, which come before
KIND, CONFIRMED, SIGNATURE, TRACK = "kind", "confirmed", "signature", "track"
RESUMED, BATTERY, PLACE = "resumed", "battery", "place"


@dataclass(frozen=True, slots=True)
class Standing:
    """How an incident stood before something happened; see `tables.IncidentRow`."""

    kind: str
    is_confirmed: bool
    signature: str
    phase: int
    is_resumed: bool
    is_battery_low: bool


def standing(row: IncidentRow) -> Standing:
    """Return how an incident stands."""
    return Standing(row.kind, row.is_confirmed, row.signature, row.phase, row.is_resumed,
                    row.is_battery_low)  # fmt: skip


def reason(was: Standing, row: IncidentRow, told: Position | None) -> str:
    """Return why people would want to be told of an incident, "" if nothing is news.

    told: the place that they were told last.
    """
    reasons = {
        KIND: row.kind != was.kind,
        CONFIRMED: row.is_confirmed and not was.is_confirmed,
        SIGNATURE: row.signature != was.signature,
        TRACK: row.phase != was.phase and row.phase == alert.PHASE_TRACK,
        RESUMED: row.is_resumed and not was.is_resumed,
        BATTERY: row.is_battery_low and not was.is_battery_low,
        PLACE: _has_moved(place_of(row), told),
    }
    return next((why for why, is_so in reasons.items() if is_so), "")


def _has_moved(at: Position | None, told: Position | None) -> bool:
    """Return whether the place is known for the first time, or lies outside of what was told."""
    if at is None or told is None:
        return at is not told
    return at.distance_m(told) > max(at.accuracy_m, told.accuracy_m)
