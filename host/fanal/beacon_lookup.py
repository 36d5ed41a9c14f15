"""Which registered beacon is meant: one look-up for every command that takes an id.

Only a whole id selects. A part of one would be shorter to type, but a barcode reader that drops
letters, or a person who stops half-way, must be refused and not guessed at: what follows may
erase keys.
"""

from fanal import beacon_name
from fanal.error import DeviceError, UsageError
from fanal.registry import Beacon, Registry
from fanal.status import Status


def find(registry: Registry, text: str) -> Beacon:
    """Return the beacon whose id a person typed or a barcode reader sent, retired ones too.

    Raises UsageError (`beacon_id`: that is no id; `unknown_beacon`: of no beacon of this fleet).
    """
    beacon_id = beacon_name.parse(text)
    beacon = registry.find(beacon_id)
    if beacon is None:
        near = [b for b in registry.beacons() if _differ(b.beacon_id, beacon_id) == 1]
        meant = " or ".join(f"{beacon_name.shown(b.beacon_id)} ({b.site})" for b in near[:3])
        raise UsageError(
            f"There is no beacon {beacon_name.shown(beacon_id)} in this fleet.",
            f"Is it {meant}?" if meant else "See `fanal list --all`, or name its fleet (--fleet).",
            code="unknown_beacon",
        )
    return beacon


def require_attached(status: Status, beacon_id: str | None) -> None:
    """Raise DeviceError unless the board is the beacon of that id; None asks for nothing."""
    if beacon_id is None or status.beacon_id == beacon_id:
        return
    here = "a board without an identity"
    if status.beacon_id:
        here = f"beacon {beacon_name.shown(status.beacon_id)}"
    raise DeviceError(
        f"What is attached is {here}, not {beacon_name.shown(beacon_id)}; nothing was changed.",
        "Look at its label: is it the right board, and the right port?",
        code="other_beacon",
    )


def _differ(left: str, right: str) -> int:
    return sum(a != b for a, b in zip(left, right, strict=False))
