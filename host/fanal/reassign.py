"""Say that a beacon is somewhere else from now on. Its board knows of no place: none is needed."""

from dataclasses import dataclass

from fanal.registry import Beacon, Registry
from fanal.whereabouts import require_place, require_site


@dataclass(frozen=True)
class Reassigned:
    """Where a beacon was and is. changed: False if it was there already."""

    beacon_id: str
    site: str
    place: str
    old_site: str
    old_place: str
    changed: bool


def reassign(
    registry: Registry, beacon: Beacon, *, site: str, place: str | None = None
) -> Reassigned:
    """Record where a beacon is, with a line in its history.

    site: one word. place: None keeps it, if the site stays the same; a place belongs to its site,
    and one of another site would send people to the wrong door. Raises UsageError, Clash for a
    beacon that was retired.
    """
    if place is None:
        place = beacon.place if site == beacon.site else ""
    require_site(site)
    require_place(place)
    changed = registry.moved(beacon.beacon_id, site, place)
    return Reassigned(beacon.beacon_id, site, place, beacon.site, beacon.place, changed)
