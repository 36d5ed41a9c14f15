"""The fleet in its registry: its certificate, its epoch, and which stations may certify."""

from collections.abc import Mapping

from sqlalchemy import select

from fanal import certificate
from fanal.beacon_record import Revocation, StationRecord
from fanal.database import Clash
from fanal.heard_log import HeardLog
from fanal.schema import BeaconRow, FleetRow, StationRevocationRow, StationRow


class StationBook(HeardLog):
    """The part of a registry that the fleet's officer writes. Every method is one transaction."""

    def fleet_certificate(self) -> bytes:
        """Return the fleet's certificate, DER."""
        with self._reading() as session:
            return session.get_one(FleetRow, 1).certificate

    def epoch(self) -> int:
        """Return how often this registry was restored from a backup: 0 if never."""
        with self._reading() as session:
            return session.get_one(FleetRow, 1).epoch

    def raise_epoch(self, newest: Mapping[str, int] | None = None) -> int:
        """Record that this registry comes from a backup; return its new epoch.

        newest: beacon id -> the newest event that something outside of the backup knows of. The
        horizon of every beacon moves to the newest event that is known of it.
        """
        with self._writing() as session:
            row = session.get_one(FleetRow, 1)
            for beacon in session.scalars(select(BeaconRow)):
                known = (newest or {}).get(beacon.id, 0)
                beacon.horizon = max(beacon.horizon, beacon.newest_event, known)
            row.epoch += 1
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
        the fleet did not certify it, Clash if the number is that of another key.
        """
        new = certificate.from_der(of_station)
        with self._writing() as session:
            fleet = certificate.from_der(session.get_one(FleetRow, 1).certificate)
            certificate.verify_station(number, new, fleet)
            row = session.get(StationRow, number)
            if row is None:
                session.add(
                    StationRow(number=number, certificate=of_station, created_ms=self._now_ms())
                )
                return True
            held = certificate.from_der(row.certificate)
            if certificate.public_key_of(held) != certificate.public_key_of(new):
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
            if row.revocation is None:
                row.revocation = StationRevocationRow(at_ms=self._now_ms(), reason=reason)
                return True
            if row.revocation.reason == reason:
                return False
            row.revocation.reason = reason  # it is revoked since the first time
            return True


def _station(row: StationRow) -> StationRecord:
    told = row.revocation
    return StationRecord(
        row.number, row.certificate, row.created_ms,
        None if told is None else Revocation(told.at_ms, told.reason),
    )  # fmt: skip
