"""The beacons of a fleet, as a person wants to see them."""

from dataclasses import dataclass

from fanal.registry import RETIRED, Registry


@dataclass(frozen=True)
class Listed:
    """One beacon of the list. newest_event: 0 if none was heard; last_ms: last work on it."""

    beacon_id: str
    site: str
    place: str
    profile: str
    state: str
    newest_event: int
    mac: str
    station: int
    last_ms: int


def listed(registry: Registry, *, retired: bool = False) -> list[Listed]:
    """Return the beacons in the order in which they were added, retired ones only if asked."""
    return [
        Listed(
            b.beacon_id,
            b.site,
            b.place,
            b.profile,
            b.state,
            b.newest_event,
            b.mac,
            b.station,
            b.last_ms,
        )  # fmt: skip
        for b in registry.beacons()
        if retired or b.state != RETIRED
    ]
