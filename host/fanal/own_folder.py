"""What lies in the folder of a fleet, a hub or a listener: what a person names may not replace it.

A key that was written over is gone, and with it perhaps the fleet. By the names of files alone: who
asks may not have what it takes to read them.
"""

from pathlib import Path

from fanal.error import UsageError

# each folder has one of these, and may not have the others yet
MARKS = ("key.age", "registry.db", "hub.toml", "hub.db", "listener.key")
_OTHERS = ("officer.age", "station.age", "officers.age", "request.age", "request.txt", "hub.age",
           "rids.index", "outbox.db", "outbox.spare")  # fmt: skip
_BESIDE = ("", "-wal", "-shm", "-journal")  # what SQLite puts beside a database
NAMES = frozenset(name + end for name in (*MARKS, *_OTHERS) for end in _BESIDE)
_BATCHES = "batches"


def require_other(out: Path) -> None:
    """Raise UsageError if writing `out` could replace a file of a fleet, a hub or a listener.

    Any file that is in such a folder already is taken for one, and any name that one would have.
    """
    if out.is_dir():
        return
    for path in (out.absolute(), out.resolve()):  # one that follows a link, and one that takes it
        folder = path.parent
        if folder.parent.name == _BATCHES:
            folder = folder.parent.parent
        is_own = any((folder / mark).exists() for mark in MARKS)
        if is_own and (path.exists() or path.name.lower() in NAMES):
            raise UsageError(
                f"{out} lies among the files of {folder}, and may be one of them.",
                "Choose another name, or another folder.",
                code="fleet_file",
            )
