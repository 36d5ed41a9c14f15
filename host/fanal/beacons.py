"""The beacons of a fleet: `fanal list`."""

from fanal.registry import RETIRED, Beacon, Registry


def listed(registry: Registry, *, retired: bool = False) -> list[Beacon]:
    """Return the beacons in the order in which they were added, retired ones only if asked."""
    return [beacon for beacon in registry.beacons() if retired or beacon.state != RETIRED]
