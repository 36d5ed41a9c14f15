"""The history of one beacon: what was done to it, oldest first."""

from dataclasses import dataclass

from fanal.registry import Beacon, Custody, Registry


@dataclass(frozen=True)
class History:
    """A beacon as it is, and how it came to be so."""

    beacon: Beacon
    lines: tuple[Custody, ...]


def history(registry: Registry, beacon: Beacon) -> History:
    """Return the history of a beacon, retired ones too."""
    return History(beacon, tuple(registry.custody(beacon.beacon_id)))
