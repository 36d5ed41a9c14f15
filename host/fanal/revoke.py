"""Trust a beacon no more: it was lost, stolen or seized, and whoever has it may know its keys.

A revocation is for good. That a beacon came back does not show that nobody read its keys, and
nothing else could show it: erase it, and give its board a new identity.

Its alerts are heard and shown as before, marked. Whoever squeezes a lost beacon may be the one it
was made for.
"""

from dataclasses import dataclass

from fanal.reason import require_reason
from fanal.registry import RETIRED, Beacon, Registry


@dataclass(frozen=True)
class Revoked:
    """A beacon that is trusted no more. changed: False if it was revoked for that reason already.

    is_retired: whether it was out of service already.
    """

    beacon_id: str
    site: str
    place: str
    reason: str
    is_retired: bool
    changed: bool


def revoke(registry: Registry, beacon: Beacon, reason: str) -> Revoked:
    """Record that a beacon is out of our hands, and why. It may be in any state.

    A second reason replaces the first one, and both are in its history. Raises UsageError for a
    reason that is not one line.
    """
    require_reason(reason)
    changed = registry.revoke(beacon.beacon_id, reason)
    is_retired = beacon.state == RETIRED
    return Revoked(beacon.beacon_id, beacon.site, beacon.place, reason, is_retired, changed)
