"""Take a beacon out of service: its keys are erased from its board, then it is marked.

In this order, so that after an interruption it still counts as in service, and running it again
completes it. Nothing else erases a vault but `fanal provision --wipe`; flashing never does.
"""

from collections.abc import Callable
from dataclasses import dataclass

from fanal.beacon_lookup import require_attached
from fanal.beacon_name import shown
from fanal.error import DeviceError, FanalError, IntegrityError, ReadBackError, UsageError
from fanal.identity import CORRUPT, VAULT_CORRUPT
from fanal.reason import require_reason
from fanal.registry import RETIRED, Beacon, Registry
from fanal.status import Board, Status, read_status, require_own_id, require_protocol


@dataclass(frozen=True)
class Retired:
    """A beacon out of service.

    is_erased: whether its board was seen to hold no key; False also if the board is not here.
    changed: False if all of it was so already. old_bytes: whether its keys lay in a file, so that
    old bytes of them may be left in flash.
    """

    beacon_id: str
    site: str
    place: str
    is_erased: bool
    changed: bool
    old_bytes: bool = False


def retire(
    board: Board | None,
    registry: Registry,
    beacon: Beacon | None,
    *,
    reason: str = "",
    force: bool = False,
    sure: Callable[[Beacon], None] = lambda _: None,
    on_step: Callable[[str], None] = lambda _: None,
) -> Retired:
    """Erase the keys of a beacon, read back that they are gone, mark it as retired.

    board: None if it is lost or dead, then it is only marked, and revoked. beacon: the one that is
    meant, or None for the one that is attached. force: also in the middle of an event. sure: asked
    before anything is changed, raises to leave it. Run it again after any FanalError.
    """
    if reason:
        require_reason(reason)
    if board is None:
        return _marked(registry, beacon, reason or "without its board", sure)
    on_step("Reading the board")
    status = read_status(board)
    require_protocol(status)
    require_own_id(status)
    held = _held(registry, status, beacon)
    if status.event is not None and not force:
        raise FanalError(
            "The beacon is in the middle of an event: somebody may need help.",
            "Find out; if it is nothing, let it end, or end it and retire the beacon with --force.",
            code="in_event",
        )
    holds_keys = status.public_key is not None or VAULT_CORRUPT in status.faults
    changed = holds_keys or held.state != RETIRED
    if changed:
        sure(held)
    if holds_keys:
        on_step("Erasing its keys")
        _erase(board, held, status)
    if held.state != RETIRED:
        registry.retire(held.beacon_id, reason or "keys erased")
    elif holds_keys:
        registry.erased(held.beacon_id)
    return Retired(
        held.beacon_id, held.site, held.place, True, changed, holds_keys and status.vault == "file"
    )


def _marked(
    registry: Registry, beacon: Beacon | None, reason: str, sure: Callable[[Beacon], None]
) -> Retired:
    """Retire a beacon whose board is not here."""
    if beacon is None:
        raise UsageError("Without its board the beacon has to be named.", "Give its id.")
    changed = beacon.state != RETIRED
    if changed:
        sure(beacon)
        registry.retire(beacon.beacon_id, reason, is_erased=False)
    return Retired(beacon.beacon_id, beacon.site, beacon.place, False, changed)


# -- which one it is


def _held(registry: Registry, status: Status, wanted: Beacon | None) -> Beacon:
    """Return the beacon whose board this is. Raises DeviceError, IntegrityError."""
    if status.public_key is None:
        return _by_mac(registry, status, wanted)
    require_attached(status, None if wanted is None else wanted.beacon_id)
    beacon = None if status.beacon_id is None else registry.find(status.beacon_id)
    if beacon is None or beacon.public_key != status.public_key:
        raise DeviceError(
            f"This board ({shown(status.beacon_id or '')}) is no beacon of this fleet.",
            "Name its fleet with --fleet DIR.",
            code="not_registered",
        )
    if beacon.mac != status.mac:
        # erasing it would mark the other one, whose keys would stay where they are
        raise IntegrityError(
            f"The key of {beacon.mac} is on {status.mac}: this board is a copy.",
            f"Find out how the key got there, and revoke {shown(beacon.beacon_id)};"
            f" `fanal provision --wipe {beacon.beacon_id}` erases the copy.",
            code="clone",
        )
    return beacon


def _by_mac(registry: Registry, status: Status, wanted: Beacon | None) -> Beacon:
    """Return the beacon whose board this was, or is, if its vault cannot be read."""
    active = registry.active_on(status.mac)
    if active is None and status.mac is not None:
        earlier = [b for b in registry.beacons() if b.mac == status.mac]
        found = earlier[-1] if wanted is None and earlier else wanted
        if found is not None and found.mac == status.mac:
            return found
    if active is not None and (wanted is None or wanted.beacon_id == active.beacon_id):
        return active
    what = "holds no key" if VAULT_CORRUPT not in status.faults else "cannot read its vault"
    whose = (
        f"was that of {shown(active.beacon_id)}" if active else "belongs to no beacon of this fleet"
    )
    hint = "Check the label and the cable; a beacon whose board is gone: --without-board."
    raise DeviceError(
        f"This board ({status.mac or 'no MAC'}) {what}, and {whose}; nothing was changed.", hint,
        code="other_beacon",
    )  # fmt: skip


# -- erasing


def _erase(board: Board, beacon: Beacon, status: Status) -> None:
    board.call("wipe", CORRUPT if status.public_key is None else beacon.beacon_id)
    after = read_status(board)
    if after.mac != status.mac:
        raise DeviceError(
            "Another board answers than at the beginning.",
            "Connect one beacon at a time, and run the command again.",
            code="other_board",
        )
    if after.public_key is not None or after.is_provisioned or VAULT_CORRUPT in after.faults:
        raise ReadBackError(
            "The board still holds what it erased.",
            "Run the command again; if it fails again, its flash is worn out: destroy the board"
            " and retire it with --without-board.",
        )
