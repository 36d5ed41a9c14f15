"""The newest checkpoint of each log, kept outside of the registry's folder.

A registry that is copied back from yesterday is whole in itself. Only something that lies elsewhere
knows that there was more: this folder, of the user's own state, or whoever was handed a checkpoint.
"""

from pathlib import Path

from fanal.checkpoint import MOST_BYTES, parse
from fanal.error import IntegrityError
from fanal.log_epoch import Epoch
from fanal.private_file import write_private

_SUFFIX = ".checkpoint"


def default_folder() -> Path:
    """Return where checkpoints are kept on this computer, unless told otherwise."""
    import platformdirs

    return Path(platformdirs.user_state_dir("fanal", appauthor=False)) / "checkpoints"


def keep(folder: Path, note: str) -> None:
    """Keep a signed checkpoint as the newest one of its log."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_private(_path(folder, parse(note).origin), note.encode())


def newest(folder: Path, origin: str) -> str | None:
    """Return the checkpoint kept of that log, as a note, or None. Raises IntegrityError."""
    path = _path(folder, origin)
    return read(path) if path.exists() else None


def of_log(folder: Path, origin: str) -> list[str]:
    """Return the checkpoints kept of that log, and of those that a restore ended."""
    first = origin.split("/epoch-")[0]
    paths = [_path(folder, first), *sorted(folder.glob(_path(folder, f"{first}/epoch-*").name))]
    return [read(path) for path in paths if path.exists()]


def newest_epoch(folder: Path, origin: str) -> int:
    """Return the highest epoch of that log of which a checkpoint is kept; 0 if there is none."""
    first = _path(folder, origin.split("/epoch-")[0] + "/").name.removesuffix(_SUFFIX)
    told = (Epoch.parse(path.name.removesuffix(_SUFFIX).removeprefix(first))
            for path in folder.glob(f"{first}epoch-*{_SUFFIX}"))  # fmt: skip
    return max((epoch.number for epoch in told if epoch is not None), default=0)


def read(path: Path) -> str:
    """Return a checkpoint from a file, as a note, not looked at. Raises IntegrityError."""
    with path.open("rb") as file:
        data = file.read(MOST_BYTES + 1)
    try:
        note = data.decode()
        parse(note)
    except (UnicodeDecodeError, IntegrityError):
        raise IntegrityError(
            f"{path} is no checkpoint.", "Take it from whoever keeps another copy.", code="anchor"
        ) from None
    return note


def _path(folder: Path, origin: str) -> Path:
    return folder / (origin.replace("/", "_") + _SUFFIX)
