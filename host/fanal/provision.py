"""Give a beacon its identity: safe to interrupt and to repeat at every step.

The order is what makes it safe. The identity is reserved in the registry, on disk, before the
board gets its first event key; the board never writes that key over another; and what is
recorded last is recorded only after the board has shown that it holds the key. SPEC 1.
"""

import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from fanal_protocol import crypto, keys

from fanal import certificate
from fanal.error import (
    BoardRefused,
    DeviceError,
    FanalError,
    IntegrityError,
    ReadBackError,
    UsageError,
)
from fanal.keyring import Station
from fanal.registry import PROVISIONED, VERIFIED, Beacon, Registry, Reservation
from fanal.status import Board, Status, prove, read_status, require_own_id, require_protocol

DEFAULT_PROFILE = "fixed"

_CHECK = b"fanal/1 first key check"
_CHECK_BYTES = 8
_COMPLETE = (PROVISIONED, VERIFIED)


@dataclass(frozen=True)
class Request:
    """What a technician wants of the beacon.

    place, profile: None keeps what is registered, at first "" and "fixed". settings: those that differ from the board's. replace: retire another identity of this board.
    wipe: the id of the identity to be erased from the board first, or None.
    """

    site: str
    place: str | None = None
    profile: str | None = None
    settings: Mapping[str, Any] | None = None
    replace: bool = False
    wipe: str | None = None


@dataclass(frozen=True)
class Provisioned:
    """A beacon that holds its key and is registered.

    changed: False if everything was as wanted already. faults: what the board complains of.
    """

    beacon_id: str
    public_key: bytes
    mac: str
    chip: str
    site: str
    place: str
    profile: str
    changed: bool
    faults: tuple[str, ...]


def provision(
    board: Board,
    station: Station,
    registry: Registry,
    request: Request,
    *,
    on_step: Callable[[str], None] = lambda _: None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Provisioned:
    """Make, prove, reserve, write, read back, configure, certify, register; in this order.

    Raises Clash (the registry contradicts), BoardRefused, BoardLost, IntegrityError,
    ReadBackError; run it again after any of them. on_step: told what is about to happen.
    """
    on_step("Reading the board")
    status = _ready(board, request)
    if status.public_key is None:
        _require_free_board(registry, status, request)
        on_step("The board makes its key")
        board.call("create_identity")
        status = _ready(board, request)
    public_key = status.public_key
    if public_key is None:
        raise ReadBackError("The board made a key and shows none.", "Run the command again.")
    on_step("The board proves that it holds its key")
    prove(board, public_key)
    wanted = _reservation(registry, status, public_key, station, request)
    known = registry.check(wanted, replace=_may_replace(request))
    _require_not_foreign(status, known)
    if known is None or known.state not in _COMPLETE or not status.is_provisioned:
        on_step("Writing the first event key")
        _give_key(board, station, registry, wanted, request, is_new=known is None)
    on_step("Configuring and registering")
    settings = _configure(
        board, status, known, {"profile": wanted.profile, **(request.settings or {})}
    )
    changed = _register(registry, station, wanted, settings, now())
    on_step("Reading the board again")
    after = _same_after(read_status(board), status)
    return Provisioned(
        wanted.beacon_id, public_key, wanted.mac, wanted.chip, wanted.site, wanted.place,
        wanted.profile, changed, after.faults,
    )  # fmt: skip


# -- before anything is written


def _ready(board: Board, request: Request) -> Status:
    """Return the status of a board that may be provisioned now, wiped if that was asked for."""
    status = read_status(board)
    require_protocol(status)
    if status.event is not None:
        raise FanalError(
            "The beacon is in the middle of an event: somebody may need help.",
            "Find out; if it is nothing, let it end, then provision.",
            code="in_event",
        )
    if status.drill_armed_s:
        raise FanalError(
            "A drill is armed on this beacon.", "Take it back with `fanal drill --disarm`.",
            code="drill_armed",
        )  # fmt: skip
    require_own_id(status)
    if request.wipe is not None and status.beacon_id is not None:
        return _wiped(board, status, request.wipe)
    return status


def _wiped(board: Board, status: Status, beacon_id: str) -> Status:
    """Erase the identity `beacon_id` from the board and return its status then."""
    if not status.is_provisioned:
        return status  # an earlier run erased it already: this key was never used
    if status.beacon_id != beacon_id:
        raise UsageError(
            f"The board is beacon {status.beacon_id}, not {beacon_id}; nothing was erased.",
            "Check the label; --wipe needs the id of the identity to erase.",
        )
    board.call("wipe", beacon_id)
    after = read_status(board)
    if after.public_key is not None:
        raise ReadBackError("The board still holds the key it erased.", "Flash it anew.")
    return after


def _may_replace(request: Request) -> bool:
    return request.replace or request.wipe is not None


def _require_free_board(registry: Registry, status: Status, request: Request) -> None:
    """Refuse before the board makes a key that its registered identity would forbid."""
    other = registry.active_on(status.mac)
    if other is not None and not _may_replace(request):
        raise FanalError(
            f"This board is registered as {other.beacon_id} ({other.site}) but holds no key.",
            f"If it was erased, retire {other.beacon_id} and make a new key with --replace.",
            code="mac_in_use",
        )


def _reservation(
    registry: Registry, status: Status, public_key: bytes, station: Station, request: Request
) -> Reservation:
    beacon_id = keys.beacon_id(public_key)
    row = registry.find(beacon_id)
    place = request.place if request.place is not None else row.place if row else ""
    profile = request.profile or (row.profile if row else DEFAULT_PROFILE)
    return Reservation(
        beacon_id=beacon_id, public_key=public_key, mac=status.mac, chip=status.chip,
        station=station.number, site=request.site, place=place, profile=profile,
    )  # fmt: skip


def _require_not_foreign(status: Status, known: Beacon | None) -> None:
    # its first key is gone after an event, so nothing could show whose it was
    if known is None and status.is_provisioned and status.next_event > 1:
        raise _foreign(status.beacon_id)


def _foreign(beacon_id: str | None) -> IntegrityError:
    return IntegrityError(
        f"Beacon {beacon_id} was provisioned under another station or fleet.",
        f"Use it with that one, or erase it with `--wipe {beacon_id}`.",
        code="foreign",
    )


# -- the key


def _give_key(
    board: Board,
    station: Station,
    registry: Registry,
    wanted: Reservation,
    request: Request,
    *,
    is_new: bool,
) -> None:
    """Reserve, then write the first event key, and see that the board holds that one."""
    registry.reserve(wanted, replace=_may_replace(request))
    first_key = keys.first_event_key(station.root, wanted.public_key)
    expected = crypto.kdf(first_key, _CHECK, _CHECK_BYTES)
    try:
        reply = board.call("provision", first_key.hex())
    except BoardRefused as refusal:
        # the board said no, so it did not take the key: do not block its place in the registry
        if is_new:
            registry.withdraw(wanted.beacon_id)
        if refusal.code == "conflict":
            raise _foreign(wanted.beacon_id) from None
        raise
    if hmac.compare_digest(str(reply.get("check")), expected.hex()):
        return
    if reply.get("written") is False:
        raise _foreign(wanted.beacon_id)
    raise ReadBackError(
        "The board does not hold the key that was written.",
        "Erase it with --wipe and try again; if it fails again, its flash is worn out.",
    )


# -- settings, certificate, registry


def _configure(
    board: Board, status: Status, known: Beacon | None, wanted: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the settings in force, after changing those that differ."""
    in_force = dict(status.settings)
    is_complete = known is not None and known.state in _COMPLETE
    if is_complete and not status.faults and _holds(in_force, wanted):
        return in_force
    reply = board.call("configure", json.dumps({**in_force, **wanted}))
    in_force = reply.get("settings") or {}
    if not isinstance(in_force, dict) or not _holds(in_force, wanted):
        raise ReadBackError(
            "The settings in force are not those that were written.", "Run the command again."
        )
    return in_force


def _holds(in_force: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return all(name in in_force and in_force[name] == wanted[name] for name in wanted)


def _register(
    registry: Registry,
    station: Station,
    wanted: Reservation,
    settings: Mapping[str, Any],
    now: datetime,
) -> bool:
    """Certify and record; return whether anything was new."""
    row = registry.find(wanted.beacon_id)
    if row is not None and row.state in _COMPLETE and row.certificate is not None:
        then = (row.site, row.place, row.profile, dict(row.settings))
        if then == (wanted.site, wanted.place, wanted.profile, dict(settings)):
            return False
        der = row.certificate
    else:
        issuer = certificate.from_der(registry.station_certificate(station.number))
        beacon = certificate.for_beacon(
            wanted.beacon_id, wanted.public_key, issuer, station.signing_key, now
        )
        fleet = certificate.from_der(registry.fleet_certificate())
        certificate.verify_chain(
            beacon, issuer, fleet, beacon_id=wanted.beacon_id, public_key=wanted.public_key
        )
        der = certificate.to_der(beacon)
    registry.provisioned(
        wanted.beacon_id, der, site=wanted.site, place=wanted.place, profile=wanted.profile,
        settings=settings,
    )  # fmt: skip
    return True


def _same_after(after: Status, before: Status) -> Status:
    if (after.mac, after.public_key) != (before.mac, before.public_key):
        raise DeviceError(
            "Another board answers than at the beginning.",
            "Connect one beacon at a time, and verify both.",
            code="other_board",
        )
    if not after.is_provisioned:
        raise ReadBackError("The board says that it holds no key.", "Run the command again.")
    return after
