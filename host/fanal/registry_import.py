"""Make a registry from an exported file: whole, checked, or not at all."""

from dataclasses import dataclass
from pathlib import Path

from fanal import beside, registry_copy
from fanal.beacon_record import MOST_EVENT
from fanal.error import IntegrityError, UsageError
from fanal.log_verify import verify
from fanal.private_file import sync_folder
from fanal.registry import REGISTRY_FILE, Registry
from fanal.registry_conflict import LATEST_MS


@dataclass(frozen=True)
class Imported:
    """A registry that was made. beacons, entries: how many; unsigned: entries nobody signed for."""

    path: Path
    beacons: int
    entries: int
    unsigned: int


def import_registry(data: bytes, folder: Path) -> Imported:
    """Make the registry in `folder`, where there must be none. data: an exported file, untrusted.

    Raises UsageError, IntegrityError if its log does not say what its tables say.
    """
    path = folder / REGISTRY_FILE
    require_none(folder)
    tables = registry_copy.parse(data)
    _require_possible(tables)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with beside.new_folder(path) as place:
        made = place / REGISTRY_FILE
        registry_copy.fill(made, tables)
        with Registry(made) as registry:
            found = require_unaltered(registry)
            beacons = len(registry.beacons())
        made.rename(path)
    sync_folder(folder)
    return Imported(path, beacons, found[0], found[1])


def _require_possible(tables: registry_copy.Tables) -> None:
    """Raise IntegrityError for what no registry says, and whoever reads this one would stumble on.

    It is not brought into reach, as a merge does: a copy is exact, or its log says otherwise.
    """
    most = {"newest_event": MOST_EVENT, "horizon": MOST_EVENT}
    for rows in tables.values():
        for name, value in (item for row in rows for item in row.items()):
            limit = LATEST_MS if name.endswith("_ms") else most.get(name)
            if limit is not None and value is not None and not 0 <= value <= limit:
                raise IntegrityError(
                    f"The file tells of {name} {value}, which nothing can have.",
                    "It is not from `fanal registry export`, or from a computer with a strange"
                    " clock.",
                    code="nonsense",
                )


def require_none(folder: Path) -> None:
    """Raise UsageError if there is a registry in `folder`; what killed ones left there goes."""
    path = folder / REGISTRY_FILE
    beside.clear(path)
    if path.exists():
        raise UsageError(
            f"There is a registry in {folder} already.",
            "`fanal registry merge` brings a station's records into it.",
            code="fleet_exists",
        )


def require_unaltered(registry: Registry) -> tuple[int, int]:
    """Return how many entries the log has, and how many nobody signed for.

    Raises IntegrityError unless log and tables of a registry from a file agree.
    """
    try:
        found = verify(registry)
        registry.beacons()
    except Exception as problem:
        raise IntegrityError("The file holds no whole registry.", code="no_export") from problem
    if found.findings:
        raise IntegrityError(
            f"The file was altered: {found.findings[0].sentence}",
            "Take it as it was exported; nothing was changed.",
            code="altered",
        )
    own = found.logs[0]
    return own.size, own.size - own.signed
