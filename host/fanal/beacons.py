"""The beacons of a fleet: `fanal list`."""

from fanal.registry import RETIRED, Beacon, Registry


def listed(registry: Registry, *, retired: bool = False, only: str | None = None) -> list[Beacon]:
    """Return the beacons in the order in which they were added, retired ones only if asked.

    only: the id of the one that is asked for, retired or not.
    """
    if only is not None:
        return [beacon for beacon in registry.beacons() if beacon.beacon_id == only]
    return [beacon for beacon in registry.beacons() if retired or beacon.state != RETIRED]
