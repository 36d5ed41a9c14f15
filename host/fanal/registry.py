"""Which beacon is where, and what was heard of it: one SQLite file, no secret in it."""

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from fanal.beacon_name import shown as shown_id
from fanal.beacon_record import (
    Beacon,
    Custody,
    Newest,
    Reservation,
    Revocation,
    StationRecord,
    Watched,
)
from fanal.database import Clash
from fanal.schema import (
    PROVISIONED,
    RESERVED,
    RETIRED,
    VERIFIED,
    BeaconRow,
    CustodyRow,
    RevocationRow,
    StationRevocationRow,
)
from fanal.station_book import StationBook
from fanal.whereabouts import shown

REGISTRY_FILE = "registry.db"

REVOKED = "revoked"  # in a beacon's history; it is no state
BEGUN = "events begun"  # in the log
# how a beacon was verified, in its history
BY_WIRE = "by wire"
ON_AIR = "by wire and on air"


class Registry(StationBook):
    """An open registry. Every method is one transaction."""

    # -- beacons

    def beacons(self) -> list[Beacon]:
        """Return all beacons, retired ones too, in the order in which they were added."""
        with self._reading() as session:
            rows = session.scalars(select(BeaconRow).order_by(BeaconRow.first_ms, BeaconRow.id))
            return [_beacon(row) for row in rows]

    def find(self, beacon_id: str) -> Beacon | None:
        """Return the beacon of that id, or None."""
        with self._reading() as session:
            row = session.get(BeaconRow, beacon_id)
            return None if row is None else _beacon(row)

    def active_on(self, mac: str | None) -> Beacon | None:
        """Return the identity that counts on the board of that MAC address, or None."""
        with self._reading() as session:
            row = _active_on(session, mac)
            return None if row is None else _beacon(row)

    def check(self, wanted: Reservation, *, replace: bool = False) -> Beacon | None:
        """Say what `reserve` would say, writing nothing; return the row if there is one already."""
        with self._reading() as session:
            row, _ = _clashes(session, wanted, replace)
            return None if row is None else _beacon(row)

    def reserve(self, wanted: Reservation, *, replace: bool = False) -> Beacon:
        """Hold an identity for a board before its key is written; repeating is fine.

        replace: retire another active identity of the same board. Raises Clash: one identity
        per board, one board per identity, one key per id.
        """
        with self._writing() as session:
            row, other = _clashes(session, wanted, replace)
            if other is not None:
                self._retire(session, other, f"replaced by {shown_id(wanted.beacon_id)}")
                session.flush()
            if row is None:
                at = self._now_ms()
                row = BeaconRow(
                    id=wanted.beacon_id, public_key=wanted.public_key, mac=wanted.mac,
                    chip=wanted.chip, station=wanted.station, state=RESERVED, certificate=None,
                    site=wanted.site, place=wanted.place, profile=wanted.profile, settings="{}",
                    newest_event=0, first_ms=at, last_ms=at, horizon=wanted.begun,
                )  # fmt: skip
                session.add(row)
                session.flush()
                self._log(session, row, RESERVED, f"station {wanted.station}")
            self._begun(session, row, wanted.begun)
            return _beacon(row)

    def begun(self, beacon_id: str, event: int) -> None:
        """Record the newest event that a beacon began, by its own word, 0 to MOST_EVENT.

        Those up to there that nobody here heard can be played by whoever recorded them. It is no
        event that was heard: a board that lies is marked, and recognised as ever.
        """
        with self._writing() as session:
            self._begun(session, _known(session, beacon_id), event)

    def provisioned(
        self,
        beacon_id: str,
        certificate: bytes,
        *,
        site: str,
        place: str,
        profile: str,
        settings: Mapping[str, Any],
    ) -> None:
        """Record that a beacon holds its key, is certified (DER), and where it is."""
        with self._writing() as session:
            row = _trusted(session, beacon_id)
            first = row.state == RESERVED
            row.state, row.certificate = PROVISIONED, certificate
            row.site, row.place, row.profile = site, place, profile
            row.settings = json.dumps(dict(settings), sort_keys=True)
            self._log(session, row, PROVISIONED if first else "changed", f"{site}, {profile}")

    def verified(self, beacon_id: str, how: str = BY_WIRE) -> None:
        """Record that a beacon passed every check. how: BY_WIRE or ON_AIR too, for its history."""
        with self._writing() as session:
            row = _trusted(session, beacon_id)
            row.state = VERIFIED
            self._log(session, row, VERIFIED, how)

    def moved(self, beacon_id: str, site: str, place: str) -> bool:
        """Record where a beacon is from now on; return whether that is news."""
        with self._writing() as session:
            row = _in_service(session, beacon_id)
            if (row.site, row.place) == (site, place):
                return False
            was = shown(row.site, row.place)
            row.site, row.place = site, place
            self._log(session, row, "moved", f"from {was} to {shown(site, place)}")
            return True

    def retire(self, beacon_id: str, reason: str, *, is_erased: bool = True) -> None:
        """Take a beacon out of service for good.

        is_erased: False if its keys are still on its board; it is revoked then, so that whoever
        has the board is heard.
        """
        with self._writing() as session:
            row = _in_service(session, beacon_id)
            self._retire(session, row, reason)
            if not is_erased and row.revocation is None:
                self._revoke(session, row, "not erased")

    def erased(self, beacon_id: str) -> None:
        """Record that the keys of a beacon that was retired before are gone from its board."""
        with self._writing() as session:
            self._log(session, _known(session, beacon_id), "erased", "its board was found")

    def revoke(self, beacon_id: str, reason: str) -> bool:
        """Trust a beacon no more, whatever its state; return whether that, or the reason, is news.

        It stays among those that are watched for ever: a copy of its keys may be anywhere.
        """
        with self._writing() as session:
            row = _known(session, beacon_id)
            if row.revocation is not None and row.revocation.reason == reason:
                return False
            self._revoke(session, row, reason)
            return True

    def custody(self, beacon_id: str) -> list[Custody]:
        """Return a beacon's history, oldest first."""
        with self._reading() as session:
            rows = session.scalars(
                select(CustodyRow).where(CustodyRow.beacon == beacon_id).order_by(CustodyRow.id)
            )
            return [Custody(row.at_ms, row.what, row.detail) for row in rows]

    # -- what was heard

    def watched(self) -> list[Watched]:
        """Return every beacon that may be squeezed.

        Reserved ones too: the board may have its key, and only the news of it been lost. And
        revoked ones, even retired: whoever has a beacon that was lost may need help. A beacon of a
        revoked station stays in service and is marked by that station's revocation.
        """
        with self._reading() as session:
            of_station = {row.station: row for row in session.scalars(select(StationRevocationRow))}
            rows = session.scalars(select(BeaconRow).order_by(BeaconRow.first_ms, BeaconRow.id))
            return [
                Watched(
                    row.id, row.public_key, row.site, row.place, row.profile, row.newest_event,
                    row.station, _marked(row, of_station.get(row.station)), row.horizon,
                    row.first_ms,
                )
                for row in rows
                if row.state != RETIRED or row.revocation is not None
            ]  # fmt: skip

    # -- inside

    def _begun(self, session: Session, row: BeaconRow, event: int) -> None:
        if event > max(row.newest_event, row.horizon):
            row.horizon = event
            self.enter(session, BEGUN, self._now_ms(), of=row, detail=f"event {event}")

    def _retire(self, session: Session, row: BeaconRow, reason: str) -> None:
        row.state = RETIRED
        self._log(session, row, RETIRED, reason)

    def _revoke(self, session: Session, row: BeaconRow, reason: str) -> None:
        at = self._now_ms()
        if row.revocation is None:
            row.revocation = RevocationRow(at_ms=at, reason=reason)
        else:
            row.revocation.reason = reason  # it is revoked since the first time
        self._log(session, row, REVOKED, reason, at)

    def _log(
        self, session: Session, row: BeaconRow, what: str, detail: str, at: int | None = None
    ) -> None:
        """Write a line into the history of a beacon that has been changed, and into the log."""
        at = self._now_ms() if at is None else at
        # or a station whose clock is ahead would undo it whenever its file is merged again
        row.last_ms = max(row.last_ms, at)
        line = CustodyRow(beacon=row.id, at_ms=at, what=what, detail=detail)
        session.add(line)
        session.flush()
        self.enter(session, what, at, of=row, detail=detail, custody=line.id)


def _clashes(
    session: Session, wanted: Reservation, replace: bool
) -> tuple[BeaconRow | None, BeaconRow | None]:
    """Return the identity's own row, if any, and the one to be retired for it. Raises Clash."""
    row, name = session.get(BeaconRow, wanted.beacon_id), shown_id(wanted.beacon_id)
    if row is not None and row.public_key != wanted.public_key:
        raise Clash(
            f"The new key of this board shares its id {name} with another beacon.",
            "Wipe the board, so that it makes another key, and provision again.",
            code="id_clash",
        )
    if row is not None and row.mac != wanted.mac:
        raise Clash(
            f"The key of {name} is on a second board: {wanted.mac}; it belongs to {row.mac}.",
            f"One of them is a copy. Wipe this board (--wipe {row.id}) and find out how the key got"
            " there.",
            4,
            code="clone",
        )
    if row is not None and row.state == RETIRED:
        raise Clash(
            f"Beacon {name} was retired and does not come back.",
            "Wipe the board, so that it makes a new key, and provision again.",
            code="retired",
        )
    if row is not None and row.revocation is not None:
        raise revoked(_beacon(row))
    if row is not None and row.station != wanted.station:
        raise Clash(
            f"Beacon {name} belongs to station {row.station}, not {wanted.station}.",
            "Provision it there, or wipe it first.",
            code="other_station",
        )
    if row is None:
        _require_trusted_station(session, wanted.station)
    other = None if row is not None else _active_on(session, wanted.mac)
    if other is not None and not replace:
        before = shown_id(other.id)
        raise Clash(
            f"This board ({other.mac}) is registered as beacon {before} ({other.site}).",
            f"To retire {before} and register the new key, add --replace.",
            code="mac_in_use",
        )
    return row, other


def _require_trusted_station(session: Session, number: int) -> None:
    told = session.get(StationRevocationRow, number)
    if told is not None:
        raise Clash(
            f"Station {number} was revoked ({told.reason}): it makes no new beacons.",
            "Ask to be another station, from a new folder: `fanal station request`.",
            4,
            code="station_revoked",
        )


def revoked(beacon: Beacon) -> Clash:
    """Return the refusal to trust a beacon that was revoked."""
    why = beacon.revocation.reason if beacon.revocation else ""
    return Clash(
        f"Beacon {shown_id(beacon.beacon_id)} was revoked ({why}): others may know its keys.",
        f"Do not install it. `fanal retire {beacon.beacon_id}` erases them, and `fanal provision`"
        " then gives the board a new identity.",
        4,
        code="revoked",
    )


def _known(session: Session, beacon_id: str) -> BeaconRow:
    row = session.get(BeaconRow, beacon_id)
    if row is None:
        raise Clash(f"Beacon {shown_id(beacon_id)} is not in this registry.", "Provision it first.")
    return row


def _in_service(session: Session, beacon_id: str) -> BeaconRow:
    row = _known(session, beacon_id)
    if row.state == RETIRED:
        raise Clash(f"Beacon {shown_id(beacon_id)} was retired.", "Wipe it and provision it anew.")
    return row


def _trusted(session: Session, beacon_id: str) -> BeaconRow:
    row = _in_service(session, beacon_id)
    if row.revocation is not None:
        raise revoked(_beacon(row))
    return row


def _marked(row: BeaconRow, of_station: StationRevocationRow | None) -> Revocation | None:
    """Return why sightings of a beacon are marked: it was revoked, or its station was."""
    if row.revocation is not None:
        return Revocation(row.revocation.at_ms, row.revocation.reason)
    if of_station is not None:
        return Revocation(
            of_station.at_ms, f"its station {of_station.station} was revoked: {of_station.reason}"
        )
    return None


def _active_on(session: Session, mac: str | None) -> BeaconRow | None:
    if mac is None:
        return None
    return session.scalar(select(BeaconRow).where(BeaconRow.mac == mac, BeaconRow.state != RETIRED))


def _beacon(row: BeaconRow) -> Beacon:
    told = row.revocation
    return Beacon(
        beacon_id=row.id, public_key=row.public_key, mac=row.mac, chip=row.chip,
        station=row.station, state=row.state, certificate=row.certificate, site=row.site,
        place=row.place, profile=row.profile, settings=json.loads(row.settings),
        newest_event=row.newest_event, first_ms=row.first_ms, last_ms=row.last_ms,
        revocation=None if told is None else Revocation(told.at_ms, told.reason),
    )  # fmt: skip


__all__ = [
    "BY_WIRE",
    "ON_AIR",
    "PROVISIONED",
    "REGISTRY_FILE",
    "RESERVED",
    "RETIRED",
    "REVOKED",
    "VERIFIED",
    "Beacon",
    "Clash",
    "Custody",
    "Newest",
    "Registry",
    "Reservation",
    "Revocation",
    "StationRecord",
    "Watched",
]
