"""A fleet without a passphrase, so without its two seconds: registry and station in one step."""

from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from fanal import certificate
from fanal.keyring import Officer
from fanal.registry import Registry

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def officer(fill: int) -> Officer:
    """An officer whose secrets are bytes of one value each."""
    return Officer(bytes([fill]) * 32, bytes([fill + 1]) * 32, bytes([fill + 2]) * 32)


@cache
def _registry_file(fill: int) -> bytes:
    """An empty registry with stations 0 and 1: made once, since tests want hundreds."""
    boss = officer(fill)
    fleet = certificate.for_fleet(boss.signing_key, NOW)
    public_key = PaperFleet.station_of(fill).signing_key.public_key()
    stations = {
        number: certificate.to_der(
            certificate.for_station(number, public_key, fleet, boss.signing_key, NOW)
        )
        for number in (0, 1)
    }
    with TemporaryDirectory() as folder:
        path = Path(folder) / "registry.db"
        Registry.create(path, certificate.to_der(fleet), stations, now_ms=lambda: 0).close()
        return path.read_bytes()


class PaperFleet:
    """officer, station 0, and a registry of its own in `folder`; a clock that ticks."""

    made = 0

    def __init__(self, folder: Path, fill: int = 7) -> None:
        PaperFleet.made += 1
        self.officer = officer(fill)
        self.station = self.station_of(fill)
        self.ticks = 0
        self.path = folder / f"registry-{PaperFleet.made}.db"
        self.path.write_bytes(_registry_file(fill))
        self.registry = Registry(self.path, now_ms=self.now_ms)

    @staticmethod
    @cache
    def station_of(fill: int):
        """Station 0 of the fleet: the same key each time, so that its certificate fits."""
        return officer(fill).station(0)

    def now_ms(self) -> int:
        self.ticks += 1
        return self.ticks
