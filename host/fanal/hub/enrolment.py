"""Enrolment: the officer hands a hub what it may know of the fleet, in one file; the hub takes it.

The file is sealed to the hub (age) and signed by the fleet. What a hub holds never moves back: an
older file is refused, a revocation stays, and the anchor of a beacon, from which its event keys
are ratcheted, only ever moves on. The horizon of a beacon, up to which an event may be a replay, is
what the newest restore of the registry says, and within one only rises. An event that the file
knows by its number alone, and of which this hub heard nothing, is not beyond it.
"""

from collections.abc import Mapping, Set
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from hashlib import sha256

import pyrage  # type: ignore[import-untyped]
from fanal_protocol import keys
from fanal_protocol.line import FRESH, LATE
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from fanal import certificate
from fanal.error import FanalError, IntegrityError, UsageError
from fanal.hub import hub_log
from fanal.hub.enrolment_file import EnrolledBeacon, Enrolment, fleet_name, read, signed
from fanal.hub.keys import HubKeyring, open_anchor, seal_anchor
from fanal.hub.request import Request
from fanal.hub.store import BEACONS, Store, touch
from fanal.hub.tables import BeaconRow, FleetRow, MetaRow, SightingRow, StationRow, TurnRow
from fanal.keyring import Officer
from fanal.registry import RETIRED, Registry, Watched

_MOST_AHEAD_MS = 86_400_000


@dataclass(frozen=True)
class Made:
    """An enrolment that was made. sealed: the file, for that hub alone.

    behind: of how many beacons this computer heard events that the registry does not know of.
    """

    sealed: bytes = field(repr=False)
    fleet: str
    beacons: int
    revoked: int
    behind: int = 0


@dataclass(frozen=True)
class Accepted:
    """What an enrolment did to a hub, as numbers of beacons.

    revoked: of those that are enrolled now. missing: known to the hub and not in the file; they
    stay as they were. is_first: the hub had no fleet before. unsure: enrolled now, and none of
    their events is beyond their horizon yet. is_outdated: the file comes from a registry that was
    restored less often than the one of a file before: from a copy that was put back.
    """

    fleet: str
    is_first: bool
    added: int
    changed: int
    unchanged: int
    retired: int
    revoked: int
    missing: int
    unsure: int
    is_outdated: bool


def make(
    officer: Officer,
    registry: Registry,
    request: Request,
    now: datetime | None = None,
    heard: Mapping[str, int] | None = None,
) -> Made:
    """Return what the hub that sent `request` may know of the fleet. Raises FanalError.

    heard: beacon id -> the newest event that this computer heard (`high_water`), which a registry
    that was copied back does not know: up to there an event may be a replay.
    No root and no signing key is in it, and no key of an event before the last but one heard.
    """
    now = now or datetime.now(UTC)
    der = registry.fleet_certificate()
    fleet = certificate.from_der(der)
    if certificate.public_key_of(fleet) != officer.signing_key.public_key().public_bytes_raw():
        raise IntegrityError("Keyring and registry are of different fleets.", "Check --fleet.")
    known, beacons = registry.watched(), registry.beacons()
    heard = heard or {}
    watched = [replace(one, horizon=one.horizon_beside(heard.get(one.beacon_id, 0)))
               for one in known]  # fmt: skip
    certificates = {b.beacon_id: b.certificate for b in beacons}
    roots = {n: keys.station_root(officer.root, n) for n in sorted({b.station for b in watched})}
    enrolment = Enrolment(
        made_ms=round(now.timestamp() * 1000),
        fleet=der,
        log=certificate.to_der(
            certificate.for_log(request.log_key, fleet, officer.signing_key, now)
        ),
        sealing=officer.sealing,
        stations={n: registry.station_certificate(n) for n in roots},
        beacons=tuple(_enrolled(b, roots[b.station], certificates.get(b.beacon_id))
                      for b in watched),
        retired=tuple(b.beacon_id for b in beacons
                      if b.state == RETIRED and b.revocation is None),
        epoch=registry.epoch(),
    )  # fmt: skip
    try:
        recipient = pyrage.x25519.Recipient.from_str(request.recipient)
    except pyrage.RecipientError:
        raise UsageError(
            "The hub's key in its line is unreadable.", "Copy the line again."
        ) from None
    sealed = pyrage.encrypt(signed(enrolment, officer.signing_key), [recipient])
    revoked = sum(b.revocation is not None for b in watched)
    behind = sum(one != before for one, before in zip(watched, known, strict=True))
    return Made(sealed, fleet_name(enrolment), len(watched), revoked, behind)


def accept(store: Store, keyring: HubKeyring, sealed: bytes) -> Accepted:
    """Take an officer's file into the hub, whole or not at all; twice changes nothing.

    Raises IntegrityError (not for this hub, another fleet, damaged, keys that do not fit) and
    FanalError (`older` than what the hub has, `clock`).
    """
    held = keyring.keys()
    log_key = held.log_key.public_key().public_bytes_raw()
    enrolment = read(keyring.open(sealed), log_key)
    _require_plausible(enrolment, store.now_ms())
    with store.writing() as session:
        # nobody resolves meanwhile: both move anchors
        session.scalars(select(TurnRow).with_for_update()).one()
        fleet = session.get(FleetRow, 1)
        is_newer = fleet is None or fleet.made_ms != enrolment.made_ms
        before = _pinned(session, enrolment)
        is_first, is_restored = before is None, enrolment.epoch > (before or 0)
        known = {row.id: row for row in session.scalars(select(BeaconRow).with_for_update())}
        revoked = {name for name, row in known.items() if row.revoked_ms is not None}
        unheard = _unheard(session) if is_restored else None
        results = [_kept(session, known.get(b.beacon_id), b, held.storage, unheard)
                   for b in enrolment.beacons]  # fmt: skip
        retired = _retired(known, enrolment.retired, store.now_ms())
        unsure = _unsure(session)
        if is_first or retired or any(result != _SAME for result in results):
            session.get_one(MetaRow, BEACONS).value += 1
            session.flush()
            touch(session)
            is_newer = True
        if is_newer:
            _enter(session, enrolment, sealed, revoked, store.now_ms())
        # before the commit: a hub with beacons has what opens deliveries about them
        keyring.keep_sealing(enrolment.sealing)
    named = {b.beacon_id for b in enrolment.beacons} | set(enrolment.retired)
    return Accepted(
        fleet_name(enrolment), is_first, results.count(_ADDED), results.count(_CHANGED),
        results.count(_SAME), retired, sum(b.revocation is not None for b in enrolment.beacons),
        len(known.keys() - named), unsure, enrolment.epoch < (before or 0),
    )  # fmt: skip


_ADDED, _CHANGED, _SAME = "added", "changed", "same"


def _enter(
    session: Session, enrolment: Enrolment, sealed: bytes, revoked: set[str], now_ms: int
) -> None:
    """Enter a file that was accepted into the hub's log. revoked: before it."""
    told = [b.beacon_id for b in enrolment.beacons if b.revocation is not None]
    hub_log.enter(
        session, hub_log.ENROLLED, now_ms, of=session.get_one(FleetRow, 1),
        who=hub_log.COMMAND_LINE, beacons=len(enrolment.beacons),
        revoked=sorted(set(told) - revoked), detail=f"SHA-256 {sha256(sealed).hexdigest()}",
    )  # fmt: skip


def _enrolled(beacon: Watched, root: bytes, der: bytes | None) -> EnrolledBeacon:
    event = max(1, beacon.newest_event - 1)
    key = _ratcheted(keys.first_event_key(root, beacon.public_key), event - 1)
    return EnrolledBeacon(
        beacon.beacon_id, beacon.public_key, der, beacon.station, beacon.site, beacon.place,
        beacon.profile, beacon.newest_event, event, key, beacon.revocation,
        beacon.horizon,
    )  # fmt: skip


def _ratcheted(key: bytes, steps: int) -> bytes:
    for _ in range(steps):
        key = keys.next_event_key(key)
    return key


def _require_plausible(enrolment: Enrolment, now_ms: int) -> None:
    """Raise FanalError for a file from the future: all later ones would be older than it."""
    if enrolment.made_ms > now_ms + _MOST_AHEAD_MS:
        raise FanalError(
            f"The file was made on {_day(enrolment.made_ms)}, and here it is {_day(now_ms)}.",
            "Set the clock that is wrong, and have the file made again if it was the officer's.",
            code="clock",
        )


def _pinned(session: Session, enrolment: Enrolment) -> int | None:
    """Keep the fleet's certificates; return the epoch so far, None if it is the first fleet."""
    row = session.get(FleetRow, 1)
    for number, der in enrolment.stations.items():
        session.merge(StationRow(number=number, certificate=der))
    if row is None:
        session.add(FleetRow(id=1, certificate=enrolment.fleet, log_certificate=enrolment.log,
                             made_ms=enrolment.made_ms, epoch=enrolment.epoch))  # fmt: skip
        return None
    if _key_in(row.certificate) != _key_in(enrolment.fleet):
        raise IntegrityError(
            f"The file is of another fleet ({fleet_name(enrolment)}) than this hub.",
            "A hub serves one fleet: make another hub for the other one.",
            code="other_fleet",
        )
    if enrolment.made_ms < row.made_ms:
        raise FanalError(
            f"The file was made on {_day(enrolment.made_ms)}, before the one that this hub has"
            f" ({_day(row.made_ms)}); nothing was changed.",
            "Use the newest file; if this is it, the officer's clock is wrong: set it, and make"
            " the file again.",
            code="older",
        )
    row.log_certificate, row.made_ms = enrolment.log, enrolment.made_ms
    before = row.epoch or 0
    row.epoch = max(before, enrolment.epoch)
    return before


def _kept(session: Session, row: BeaconRow | None, told: EnrolledBeacon, storage: bytes,
          unheard: Set[str] | None) -> str:  # fmt: skip
    """Keep what is told of one beacon; return whether that is news.

    unheard: `_unheard` if the registry was restored since the file before, else None."""
    if row is None:
        row = BeaconRow(
            id=told.beacon_id, public_key=told.public_key, newest_event=told.newest_event,
            anchor_event=told.anchor_event, anchor=_sealed(told, storage),
            horizon=max(told.horizon, told.newest_event) or None,
        )  # fmt: skip
        _describe(row, told)
        session.add(row)
        return _ADDED
    mine = open_anchor(storage, row.id, row.anchor_event, row.anchor)
    ahead = told.anchor_event - row.anchor_event
    if row.public_key != told.public_key or (
        _ratcheted(mine, ahead) != _ratcheted(told.anchor, -ahead)
    ):
        raise IntegrityError(
            f"The key of beacon {row.id} in the file does not fit the one that this hub has.",
            "Nothing was changed. Ask the officer whether it is the right fleet's folder.",
            code="anchor",
        )
    if ahead > 0:
        row.anchor_event, row.anchor = told.anchor_event, _sealed(told, storage)
    # a registry that was copied back knows of no restore: it takes no mark away
    kept = (row.horizon or 0) if unheard is None else row.newest_event * (row.id in unheard)
    if told.newest_event > row.newest_event:
        kept = row.newest_event = told.newest_event
    row.horizon = max(kept, told.horizon) or None
    _describe(row, told)
    return _CHANGED if session.is_modified(row) else _SAME


def _unheard(session: Session) -> Set[str]:
    """Return the beacons of whose newest event nothing was heard here: an officer told of it."""
    of_newest = select(SightingRow.id).where(
        SightingRow.beacon == BeaconRow.id, SightingRow.event == BeaconRow.newest_event,
        SightingRow.verdict.in_((FRESH, LATE)),
    )  # fmt: skip
    return set(session.scalars(select(BeaconRow.id).where(~of_newest.exists())))


def _describe(row: BeaconRow, told: EnrolledBeacon) -> None:
    row.station, row.site, row.place = told.station, told.site, told.place
    row.profile, row.retired_ms = told.profile, None
    row.certificate = told.certificate or row.certificate
    if told.revocation is not None:  # and it is for good: no file takes one back
        row.revoked_ms, row.revoked_reason = told.revocation.at_ms, told.revocation.reason


def _unsure(session: Session) -> int:
    return session.scalar(
        select(func.count()).select_from(BeaconRow)
        .where(BeaconRow.newest_event <= BeaconRow.horizon, BeaconRow.retired_ms.is_(None))
    ) or 0  # fmt: skip


def _sealed(told: EnrolledBeacon, storage: bytes) -> bytes:
    return seal_anchor(storage, told.beacon_id, told.anchor_event, told.anchor)


def _retired(known: dict[str, BeaconRow], ids: tuple[str, ...], now_ms: int) -> int:
    """Mark those whose keys were erased; return how many were not marked before."""
    rows = [known[name] for name in ids if name in known and known[name].retired_ms is None]
    for row in rows:
        row.retired_ms = now_ms
    return len(rows)


def _key_in(der: bytes) -> bytes:
    return certificate.public_key_of(certificate.from_der(der))


def _day(at_ms: int) -> str:
    try:
        return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (OverflowError, ValueError, OSError):
        return "an impossible day"
