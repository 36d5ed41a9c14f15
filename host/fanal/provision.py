"""Give a beacon its identity: safe to interrupt and to repeat at every step.

The order is what makes it safe. The identity is reserved in the registry, on disk, before the
board gets its first event key; the board never writes that key over another; and what is
recorded last is recorded only after the board has shown that it holds the key. SPEC 4.4.
"""

import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from fanal_protocol import crypto, keys

from fanal import certificate
from fanal.beacon_lookup import require_attached
from fanal.beacon_name import shown
from fanal.beacon_record import MOST_EVENT
from fanal.error import (
    BoardRefused,
    DeviceError,
    IntegrityError,
    ReadBackError,
    UsageError,
)
from fanal.identity import identified
from fanal.keyring import Station
from fanal.own_station import require_own
from fanal.registry import PROVISIONED, VERIFIED, Registry, Reservation
from fanal.status import Board, Status, read_status
from fanal.whereabouts import require_place, require_site

DEFAULT_PROFILE = "fixed"

_CHECK = b"fanal/1 first key check"
_CHECK_BYTES = 8
_COMPLETE = (PROVISIONED, VERIFIED)


@dataclass(frozen=True)
class Request:
    """What a technician wants of the beacon. Raises UsageError for what no list could show.

    site: one word. place, profile: None keeps what is registered, at first "" and "fixed"; a
    place is forgotten with its site.
    settings: those that differ from the board's. replace: retire another identity of this board.
    wipe: the id of the identity to be erased from the board first, or None. beacon: the id that
    the board must have now, or None.
    """

    site: str
    place: str | None = None
    profile: str | None = None
    settings: Mapping[str, Any] | None = None
    replace: bool = False
    wipe: str | None = None
    beacon: str | None = None

    def __post_init__(self) -> None:
        require_site(self.site)
        require_place(self.place or "")
        if self.wipe is not None and self.beacon is not None:
            raise UsageError("--beacon and --wipe exclude each other.", "--wipe names the beacon.")

    @property
    def may_replace(self) -> bool:
        """Whether another identity registered for this board may be retired for the new one."""
        return self.replace or self.wipe is not None


@dataclass(frozen=True)
class Provisioned:
    """A beacon that holds its key and is registered.

    changed: False if everything was as wanted already. faults: what the board complains of.
    """

    beacon_id: str
    public_key: bytes
    mac: str | None
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

    Raises Clash (the registry contradicts, or is another station's), BoardRefused, BoardLost,
    IntegrityError, ReadBackError; run it again after any of them. on_step: told what is about to
    happen.
    """
    require_own(registry, station)  # a mixed-up folder is told before any board is written to
    on_step("Reading the board")
    if request.beacon is not None:
        require_attached(read_status(board), request.beacon)
    status, public_key = identified(
        board, registry, wipe=request.wipe, replace=request.may_replace, on_step=on_step
    )
    wanted = _reservation(registry, status, public_key, station, request)
    known = registry.check(wanted, replace=request.may_replace)
    is_complete = known is not None and known.state in _COMPLETE
    if is_complete and not status.is_provisioned:
        raise _forgetful(wanted.beacon_id)
    if not is_complete:
        on_step("Writing the first event key")
        if known is None and status.is_provisioned:
            # nothing is reserved for a key that may be another station's; it writes nothing
            _offer_key(board, station, wanted)
        registry.reserve(wanted, replace=request.may_replace)
        _offer_key(board, station, wanted)
    on_step("Configuring and registering")
    # a board whose file system was formatted gets back what is registered of it
    kept = known.settings if known is not None and is_complete else {}
    wanted_settings = {
        **{name: value for name, value in kept.items() if name in status.settings},
        "profile": wanted.profile,
        **(request.settings or {}),
    }
    settings = _configured(board, status, wanted_settings, must=not is_complete)
    if known is not None and known.newest_event < wanted.begun:
        registry.begun(wanted.beacon_id, wanted.begun)
    changed = _registered(registry, station, wanted, settings, now())
    on_step("Reading the board again")
    after = _same_after(read_status(board), status)
    return Provisioned(
        wanted.beacon_id, public_key, wanted.mac, wanted.chip, wanted.site, wanted.place,
        wanted.profile, changed, after.faults,
    )  # fmt: skip


def _reservation(
    registry: Registry, status: Status, public_key: bytes, station: Station, request: Request
) -> Reservation:
    beacon_id = keys.beacon_id(public_key)
    row = registry.find(beacon_id)
    # a place belongs to its site: kept elsewhere, it would send people to a wrong door
    kept = row.place if row is not None and row.site == request.site else ""
    place = kept if request.place is None else request.place
    profile = request.profile or (row.profile if row else DEFAULT_PROFILE)
    return Reservation(
        beacon_id=beacon_id, public_key=public_key, mac=status.mac, chip=status.chip,
        station=station.number, site=request.site, place=place, profile=profile,
        begun=min(max(0, status.next_event - 1), MOST_EVENT) if status.is_provisioned else 0,
    )  # fmt: skip


def _forgetful(beacon_id: str) -> IntegrityError:
    # writing it again would repeat the keys of events that were on air already
    return IntegrityError(
        f"Beacon {shown(beacon_id)} was provisioned before and holds no event key now.",
        f"Give it a new identity with `--wipe {beacon_id}`.",
        code="forgetful",
    )


def _foreign(beacon_id: str) -> IntegrityError:
    return IntegrityError(
        f"Beacon {shown(beacon_id)} holds a key that did not come from this station.",
        f"If it belongs to another station or fleet, use it there; else erase it with"
        f" `--wipe {beacon_id}`.",
        code="foreign",
    )


# -- the key


def _offer_key(board: Board, station: Station, wanted: Reservation) -> None:
    """Offer the first event key, which a board takes only once, and see that it holds that one."""
    first_key = keys.first_event_key(station.root, wanted.public_key)
    expected = crypto.kdf(first_key, _CHECK, _CHECK_BYTES)
    try:
        reply = board.call("provision", first_key.hex())
    except BoardRefused as refusal:
        if refusal.code == "provisioned":
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


def _configured(
    board: Board, status: Status, wanted: Mapping[str, Any], *, must: bool
) -> dict[str, Any]:
    """Return the settings in force, after writing them if they differ or if it must be."""
    in_force = dict(status.settings)
    if not must and not status.faults and _holds(in_force, wanted):
        return in_force
    try:
        reply = board.call("configure", json.dumps({**in_force, **wanted}))
    except BoardRefused as refusal:
        if refusal.code != "bad_setting":
            raise
        hint = "Check the names and values of --set, and run the command again."
        raise UsageError(refusal.sentence, hint, code=refusal.code) from None
    in_force = reply.get("settings") or {}
    if not isinstance(in_force, dict) or not _holds(in_force, wanted):
        raise ReadBackError(
            "The settings in force are not those that were written.", "Run the command again."
        )
    return in_force


def _holds(in_force: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return all(name in in_force and in_force[name] == wanted[name] for name in wanted)


def _registered(
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
