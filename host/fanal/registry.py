"""Which beacon is where, and what was heard of it: one SQLite file, no secret in it."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from fanal.database import Clash, Database
from fanal.schema import (
    PROVISIONED,
    RESERVED,
    RETIRED,
    VERIFIED,
    BeaconRow,
    CustodyRow,
    FleetRow,
    SightingRow,
    StationRow,
)

REGISTRY_FILE = "registry.db"

_LINE = ("fresh", "late")  # the verdicts of SPEC 3.2 that join an event's line


@dataclass(frozen=True)
class Reservation:
    """An identity about to be given. public_key: 32 bytes.

    mac: "aa:bb:cc:dd:ee:ff", or None for a board that has none."""

    beacon_id: str
    public_key: bytes
    mac: str | None
    chip: str
    station: int
    site: str
    place: str
    profile: str


@dataclass(frozen=True)
class Beacon:
    """A beacon as registered. certificate: DER or None; first_ms, last_ms: Unix milliseconds."""

    beacon_id: str
    public_key: bytes
    mac: str | None
    chip: str
    station: int
    state: str
    certificate: bytes | None
    site: str
    place: str
    profile: str
    settings: Mapping[str, Any]
    newest_event: int
    first_ms: int
    last_ms: int


@dataclass(frozen=True)
class Watched:
    """What a listener has to know of a beacon. newest_event: 0 if none was heard."""

    beacon_id: str
    public_key: bytes
    site: str
    place: str
    profile: str
    newest_event: int
    station: int


@dataclass(frozen=True)
class Custody:
    """One line of a beacon's history."""

    at_ms: int
    what: str
    detail: str


class Registry(Database):
    """An open registry. Every method is one transaction."""

    # -- the fleet

    def fleet_certificate(self) -> bytes:
        """Return the fleet's certificate, DER."""
        with self._reading() as session:
            return session.get_one(FleetRow, 1).certificate

    def station_certificate(self, number: int) -> bytes:
        """Return a station's certificate, DER. Raises FanalError if it is not of this fleet."""
        with self._reading() as session:
            row = session.get(StationRow, number)
            if row is None:
                raise Clash(
                    f"Station {number} is not in this registry.",
                    "Keyring and registry come from different fleets: check --fleet.",
                )
            return row.certificate

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
                self._retire(session, other, f"replaced by {wanted.beacon_id}")
                session.flush()
            if row is None:
                at = self._now_ms()
                row = BeaconRow(
                    id=wanted.beacon_id, public_key=wanted.public_key, mac=wanted.mac,
                    chip=wanted.chip, station=wanted.station, state=RESERVED, certificate=None,
                    site=wanted.site, place=wanted.place, profile=wanted.profile, settings="{}",
                    newest_event=0, first_ms=at, last_ms=at,
                )  # fmt: skip
                session.add(row)
                session.flush()
                self._log(session, row, RESERVED, f"station {wanted.station}")
            return _beacon(row)

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
            row = _in_service(session, beacon_id)
            first = row.state == RESERVED
            row.state, row.certificate = PROVISIONED, certificate
            row.site, row.place, row.profile = site, place, profile
            row.settings = json.dumps(dict(settings), sort_keys=True)
            self._log(session, row, PROVISIONED if first else "changed", f"{site}, {profile}")

    def verified(self, beacon_id: str) -> None:
        """Record that a beacon passed every check on the wire."""
        with self._writing() as session:
            row = _in_service(session, beacon_id)
            row.state = VERIFIED
            self._log(session, row, VERIFIED, "")

    def retire(self, beacon_id: str, reason: str) -> None:
        """Take a beacon out of service for good."""
        with self._writing() as session:
            self._retire(session, _in_service(session, beacon_id), reason)

    def custody(self, beacon_id: str) -> list[Custody]:
        """Return a beacon's history, oldest first."""
        with self._reading() as session:
            rows = session.scalars(
                select(CustodyRow).where(CustodyRow.beacon == beacon_id).order_by(CustodyRow.id)
            )
            return [Custody(row.at_ms, row.what, row.detail) for row in rows]

    # -- what was heard

    def watched(self) -> list[Watched]:
        """Return every beacon that may be squeezed. Reserved ones too: the board may have its key,
        and only the news of it been lost."""
        return [
            Watched(
                b.beacon_id, b.public_key, b.site, b.place, b.profile, b.newest_event, b.station
            )
            for b in self.beacons()
            if b.state != RETIRED
        ]

    def line(self, beacon_id: str, event: int) -> list[tuple[int, int, int]]:
        """Return the line of one event (SPEC 3.2): (t_ms, slot, seq) in the order of joining."""
        return self.lines().get((beacon_id, event), [])

    def lines(self) -> dict[tuple[str, int], list[tuple[int, int, int]]]:
        """Return all lines by (beacon id, event), so that replay state survives a restart."""
        found: dict[tuple[str, int], list[tuple[int, int, int]]] = defaultdict(list)
        with self._reading() as session:
            for row in session.scalars(
                select(SightingRow).where(SightingRow.verdict.in_(_LINE)).order_by(SightingRow.id)
            ):
                found[row.beacon, row.event].append((row.t_ms, row.slot, row.seq))
        return dict(found)

    def record_sighting(
        self,
        beacon_id: str,
        event: int,
        *,
        slot: int,
        seq: int,
        t_ms: int,
        verdict: str,
        rssi_dbm: int | None = None,
        left: Iterable[tuple[int, int, int]] = (),
    ) -> None:
        """Keep one alert and its verdict (fresh, late, duplicate, replay).

        left: the entries (t_ms, slot, seq) that this one pushed out of the line: replays now.
        """
        with self._writing() as session:
            for _, left_slot, left_seq in left:
                of_line = select(SightingRow).where(
                    SightingRow.beacon == beacon_id, SightingRow.event == event,
                    SightingRow.slot == left_slot, SightingRow.seq == left_seq,
                    SightingRow.verdict.in_(_LINE),
                )  # fmt: skip
                for row in session.scalars(of_line):
                    row.verdict = "replay"
            sighting = SightingRow(
                beacon=beacon_id, event=event, slot=slot, seq=seq, t_ms=t_ms,
                verdict=verdict, rssi_dbm=rssi_dbm,
            )  # fmt: skip
            session.add(sighting)
            beacon = session.get_one(BeaconRow, beacon_id)
            if verdict != "replay" and event > beacon.newest_event:
                beacon.newest_event = event

    # -- inside

    def _retire(self, session: Session, row: BeaconRow, reason: str) -> None:
        row.state = RETIRED
        self._log(session, row, RETIRED, reason)

    def _log(self, session: Session, row: BeaconRow, what: str, detail: str) -> None:
        row.last_ms = self._now_ms()
        session.add(CustodyRow(beacon=row.id, at_ms=row.last_ms, what=what, detail=detail))


def _clashes(
    session: Session, wanted: Reservation, replace: bool
) -> tuple[BeaconRow | None, BeaconRow | None]:
    """Return the identity's own row, if any, and the one to be retired for it. Raises Clash."""
    row = session.get(BeaconRow, wanted.beacon_id)
    if row is not None and row.public_key != wanted.public_key:
        raise Clash(
            f"The new key of this board shares its id {wanted.beacon_id} with another beacon.",
            "Wipe the board, so that it makes another key, and provision again.",
            code="id_clash",
        )
    if row is not None and row.mac != wanted.mac:
        raise Clash(
            f"The key of {row.id} is on a second board: {wanted.mac}; it belongs to {row.mac}.",
            f"One of them is a copy. Wipe this board (--wipe {row.id}) and find out how the key got"
            " there.",
            4,
            code="clone",
        )
    if row is not None and row.state == RETIRED:
        raise Clash(
            f"Beacon {row.id} was retired and does not come back.",
            "Wipe the board, so that it makes a new key, and provision again.",
            code="retired",
        )
    if row is not None and row.station != wanted.station:
        raise Clash(
            f"Beacon {row.id} belongs to station {row.station}, not {wanted.station}.",
            "Provision it there, or wipe it first.",
            code="other_station",
        )
    other = None if row is not None else _active_on(session, wanted.mac)
    if other is not None and not replace:
        raise Clash(
            f"This board ({other.mac}) is registered as beacon {other.id} ({other.site}).",
            f"To retire {other.id} and register the new key, add --replace.",
            code="mac_in_use",
        )
    return row, other


def _in_service(session: Session, beacon_id: str) -> BeaconRow:
    row = session.get(BeaconRow, beacon_id)
    if row is None:
        raise Clash(f"Beacon {beacon_id} is not in this registry.", "Provision it first.")
    if row.state == RETIRED:
        raise Clash(f"Beacon {beacon_id} was retired.", "Wipe it and provision it anew.")
    return row


def _active_on(session: Session, mac: str | None) -> BeaconRow | None:
    if mac is None:
        return None
    return session.scalar(select(BeaconRow).where(BeaconRow.mac == mac, BeaconRow.state != RETIRED))


def _beacon(row: BeaconRow) -> Beacon:
    return Beacon(
        beacon_id=row.id, public_key=row.public_key, mac=row.mac, chip=row.chip,
        station=row.station, state=row.state, certificate=row.certificate, site=row.site,
        place=row.place, profile=row.profile, settings=json.loads(row.settings),
        newest_event=row.newest_event, first_ms=row.first_ms, last_ms=row.last_ms,
    )  # fmt: skip


__all__ = [
    "PROVISIONED",
    "REGISTRY_FILE",
    "RESERVED",
    "RETIRED",
    "VERIFIED",
    "Beacon",
    "Clash",
    "Custody",
    "Registry",
    "Reservation",
    "Watched",
]
