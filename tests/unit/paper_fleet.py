"""A fleet without a passphrase, so without its two seconds: registry and station in one step."""

from datetime import UTC, datetime
from pathlib import Path

from fanal import certificate
from fanal.keyring import Officer, Station
from fanal.registry import Registry

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class PaperFleet:
    """officer, station 0, and a registry in `folder`."""

    def __init__(self, folder: Path, fill: int = 7) -> None:
        self.officer = Officer(bytes([fill]) * 32, bytes([fill + 1]) * 32, bytes([fill + 2]) * 32)
        self.station = self.officer.station(0)
        self.path = folder / f"registry-{fill}.db"
        self.ticks = 0
        fleet = certificate.for_fleet(self.officer.signing_key, NOW)
        self.registry = Registry.create(
            self.path,
            certificate.to_der(fleet),
            {n: self.certified(fleet, n, self.station) for n in (0, 1)},
            now_ms=self.now_ms,
        )

    def certified(self, fleet, number: int, station: Station) -> bytes:
        return certificate.to_der(
            certificate.for_station(
                number, station.signing_key.public_key(), fleet, self.officer.signing_key, NOW
            )
        )

    def now_ms(self) -> int:
        self.ticks += 1
        return self.ticks
