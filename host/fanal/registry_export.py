"""Take all records out of a registry, in a file: in clear, or signed for and sealed by its keys."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path

from fanal import sealed_records
from fanal.error import FanalError
from fanal.keyring import KEY_FILE, OFFICER_FILE, STATION_FILE, Keyring, Station
from fanal.log import OWN, size_of
from fanal.log_checkpoint import checkpoint
from fanal.private_file import write_private
from fanal.registry import Registry
from fanal.registry_copy import JSON, Tables, contents, export, to_csv, to_json

_TRIES = 20  # each takes milliseconds


@dataclass(frozen=True)
class Exported:
    """A file of all records. signed: entries of its log that the station vouches for, 0 if none."""

    beacons: int
    sealed: bool
    signed: int


def is_station(folder: Path) -> bool:
    """Say whether a fleet's folder is that of a station whose records go to an officer elsewhere.

    A copy without keys is none.
    """
    has_keys = (folder / KEY_FILE).exists() and (folder / STATION_FILE).exists()
    return has_keys and not (folder / OFFICER_FILE).exists()


def file_name(station: int, form: str, day: date, *, is_sealed: bool) -> str:
    """Return what an exported file is called if nobody says otherwise. form: "json" or "csv"."""
    suffix = sealed_records.SUFFIX if is_sealed else f".{form}"
    return f"station-{station}-{day.isoformat()}{suffix}"


def export_plain(registry: Registry, out: Path, form: str) -> Exported:
    """Write all records in clear, as they are, to a file for its owner alone."""
    data = export(registry, form)
    write_private(out, data)
    return Exported(len(registry.beacons()), False, 0)


def export_by(
    keyring: Keyring, registry: Registry, out: Path, form: str, *, is_sealed: bool, is_signed: bool,
    anchors: Path | None,
) -> Exported:  # fmt: skip
    """Write all records, which the station of an open keyring signs for, sealed for the officer.

    is_sealed, is_signed: either may be left. anchors: as `log_checkpoint.checkpoint` has it. Raises
    FanalError (nobody said what to seal to) and what `checkpoint` raises; then no file is written.
    """
    station = keyring.station()
    to = _office(keyring, station) if is_sealed else ""
    registry.exported(f"{form}, sealed" if is_sealed else form)
    tables, signed = _taken(registry, station if is_signed else None, anchors)
    data = to_json(tables) if form == JSON else to_csv(tables)
    write_private(out, sealed_records.seal(data, to) if is_sealed else data)
    return Exported(len(tables["beacon"]), is_sealed, signed)


def _office(keyring: Keyring, station: Station) -> str:
    if (keyring.folder / OFFICER_FILE).exists():
        return sealed_records.recipient(keyring.officer().root)
    if not station.office:
        raise FanalError(
            "This laptop joined with an older Fanal: nobody said to which key its records are to"
            " be sealed.",
            "Export with --plain and hand the file over by hand; or let the officer run `fanal"
            " station create` once more for this laptop's line and number, and join again.",
            code="no_office",
        )
    return station.office


def _taken(registry: Registry, station: Station | None, anchors: Path | None) -> tuple[Tables, int]:
    """Return all records, and how many entries of their log, all of them, the station signed for.

    station: None signs for nothing. The entry of this export is signed for too.
    """
    for _ in range(_TRIES):
        signed = 0 if station is None else checkpoint(registry, station, anchors).size
        with registry.snapshot() as session:
            # another command may have entered something since: a file with that is refused
            if station is None or size_of(session, OWN) == signed:
                return contents(session), signed
    raise FanalError(
        "Other commands write into the registry all the time.",
        "Run it again when they are done.",
        code="busy",
    )
