"""Create a fleet: its keys, its first station, its registry; all of it or nothing."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from fanal import beside, certificate, keyring
from fanal.error import UsageError
from fanal.registry import REGISTRY_FILE, Registry

FIRST_STATION = 0


@dataclass(frozen=True)
class Fleet:
    """A fleet that was created. name: "fanal fleet" and 8 hex digits of its key's digest."""

    folder: Path
    name: str
    station: int


def create(folder: Path, passphrase: str, now: datetime | None = None) -> Fleet:
    """Create a fleet in `folder`, which must not exist or be empty. Raises UsageError.

    Everything is made beside it and takes its name at the end, so that an interruption leaves no
    half fleet and nothing is ever overwritten.
    """
    keyring.check_passphrase(passphrase)
    with founding(folder) as made:
        name = _fill(made, passphrase, now or datetime.now(UTC))
    return Fleet(folder, name, FIRST_STATION)


@contextmanager
def founding(folder: Path) -> Iterator[Path]:
    """Give a new folder to fill, which becomes `folder` at the end, or vanishes.

    Raises UsageError unless `folder` does not exist or is empty.
    """
    require_free(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with beside.new_folder(folder) as made:
        yield made
        _take_place(made, folder)
    keyring.sync_folder(folder.parent)


def _fill(folder: Path, passphrase: str, now: datetime) -> str:
    officer = keyring.new_officer()
    station = officer.station(FIRST_STATION)
    of_fleet = certificate.for_fleet(officer.signing_key, now)
    of_station = certificate.for_station(
        FIRST_STATION, station.signing_key.public_key(), of_fleet, officer.signing_key, now
    )
    keyring.Keyring.create(folder, passphrase, officer, station)
    Registry.create(
        folder / REGISTRY_FILE,
        certificate.to_der(of_fleet),
        {FIRST_STATION: certificate.to_der(of_station)},
    ).close()
    return certificate.fleet_name(officer.signing_key.public_key())


def _take_place(made: Path, folder: Path) -> None:
    try:
        with suppress(FileNotFoundError):
            folder.rmdir()  # only ever an empty one
        made.rename(folder)
    except OSError:
        require_free(folder)
        raise


def require_free(folder: Path) -> None:
    """Raise UsageError unless a fleet can be created in `folder`."""
    if (folder / keyring.KEY_FILE).exists() or (folder / REGISTRY_FILE).exists():
        raise UsageError(
            f"There is a fleet in {folder} already; it was not touched.",
            "To create another one, choose its folder with --fleet DIR.",
            code="fleet_exists",
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(
            f"{folder} is not empty.", "Choose a new folder with --fleet DIR.", code="not_empty"
        )
