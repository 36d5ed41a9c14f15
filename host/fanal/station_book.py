"""The fleet in its registry: its certificate, its epoch, and which stations may certify."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

from cryptography import x509
from sqlalchemy import select
from sqlalchemy.orm import Session

from fanal import certificate
from fanal.beacon_record import Revocation, StationRecord
from fanal.database import Clash
from fanal.error import UsageError
from fanal.heard_log import HeardLog
from fanal.log_epoch import Epoch
from fanal.schema import BeaconRow, FleetRow, StationRevocationRow, StationRow

RESTORED = "restored"  # in the log


class StationBook(HeardLog):
    """The part of a registry that the fleet's officer writes. Every method is one transaction."""

    @classmethod
    def create(
        cls,
        path: Path,
        fleet: bytes,
        stations: Mapping[int, bytes],
        now_ms: Callable[[], int] | None = None,
        *,
        home: int | None = None,
    ) -> Self:
        """Make a registry with the DER certificates of the fleet and of its stations.

        home: the station whose file it is, by default the first one.
        """
        cls.make_file(path)
        book = cls(path, now_ms)
        at = book._now_ms()
        with book._writing() as session:
            home = min(stations) if home is None else home
            row = FleetRow(id=1, certificate=fleet, created_ms=at, epoch=0, station=home,
                           branch="")  # fmt: skip
            session.add(row)
            book.enter(session, "log began", at, of=row)
            for number, of_station in sorted(stations.items()):
                book._add(session, number, of_station, at)
        return book

    def fleet_certificate(self) -> bytes:
        """Return the fleet's certificate, DER."""
        with self._reading() as session:
            return session.get_one(FleetRow, 1).certificate

    def epoch(self) -> int:
        """Return how often this registry was restored from a backup: 0 if never."""
        with self._reading() as session:
            return session.get_one(FleetRow, 1).epoch

    def raise_epoch(self, newest: Mapping[str, int] | None = None, beyond: int = 0) -> int:
        """Record that this registry comes from a backup; return its new epoch.

        newest: beacon id -> the newest event that something outside of the backup knows of. The
        horizon of every beacon moves to the newest event that is known of it. beyond: an epoch
        that another restored file has already, as far as anybody here knows.
        """
        with self._writing() as session:
            row, at = session.get_one(FleetRow, 1), self._now_ms()
            row.epoch, row.branch = Epoch.after(max(row.epoch, beyond))
            self.enter(session, RESTORED, at, of=row, detail=f"epoch {row.epoch}")
            for beacon in session.scalars(select(BeaconRow).order_by(BeaconRow.id)).all():
                known = (newest or {}).get(beacon.id, 0)
                horizon = max(beacon.horizon, beacon.newest_event, known)
                if horizon != beacon.horizon:
                    beacon.horizon = horizon
                    self.enter(session, RESTORED, at, of=beacon, detail=f"event {horizon}")
            return row.epoch

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

    def stations(self) -> list[StationRecord]:
        """Return all stations, revoked ones too, by number."""
        with self._reading() as session:
            rows = session.scalars(select(StationRow).order_by(StationRow.number))
            return [_station(row) for row in rows]

    def add_station(self, number: int, of_station: bytes) -> bool:
        """Record a station and its certificate (DER); return whether that is news.

        The same key again is none, and the first certificate of it stays. Raises IntegrityError if
        the fleet did not certify it, Clash if the number is that of another key, UsageError if the
        key has another number.
        """
        new = certificate.from_der(of_station)
        with self._writing() as session:
            fleet = certificate.from_der(session.get_one(FleetRow, 1).certificate)
            certificate.verify_station(number, new, fleet)
            row = session.get(StationRow, number)
            if row is None:
                _require_no_number(session, new)
                self._add(session, number, of_station, self._now_ms())
                return True
            if _key_of(row) != certificate.public_key_of(new):
                raise Clash(
                    f"Station {number} has another key already.",
                    "Take the next number: a number belongs to one key for ever.",
                    code="station_clash",
                )
            return False

    def revoke_station(self, number: int, reason: str) -> bool:
        """Trust a station no more; return whether that, or the reason, is news. For good.

        Raises Clash if it is not in this registry.
        """
        with self._writing() as session:
            row = session.get(StationRow, number)
            if row is None:
                raise Clash(f"Station {number} is not in this registry.", "See: fanal station list")
            if row.revocation is not None and row.revocation.reason == reason:
                return False
            at = self._now_ms()
            if row.revocation is None:
                row.revocation = StationRevocationRow(at_ms=at, reason=reason)
            else:
                row.revocation.reason = reason  # it is revoked since the first time
            self.enter(session, "station revoked", at, of=row, detail=reason)
            return True

    def _add(self, session: Session, number: int, of_station: bytes, at: int) -> None:
        row = StationRow(number=number, certificate=of_station, created_ms=at)
        session.add(row)
        self.enter(session, "station added", at, of=row)


def _require_no_number(session: Session, of_station: x509.Certificate) -> None:
    """Raise UsageError if a laptop is a station already, under another number."""
    for row in session.scalars(select(StationRow)):
        if _key_of(row) == certificate.public_key_of(of_station):
            raise UsageError(
                f"That laptop is station {row.number} already.",
                f"Make its file again with --number {row.number}, or let it ask with a new folder.",
                code="station_clash",
            )


def _key_of(row: StationRow) -> bytes:
    return certificate.public_key_of(certificate.from_der(row.certificate))


def _station(row: StationRow) -> StationRecord:
    told = row.revocation
    return StationRecord(
        row.number, row.certificate, row.created_ms,
        None if told is None else Revocation(told.at_ms, told.reason),
    )  # fmt: skip
