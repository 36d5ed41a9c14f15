"""Replace several files of a folder together: all of them or none, whenever it is cut off.

The new files are made in a folder beside the old ones. Its renaming to `.replacing` is the
decision; what is left to do after it needs no secret, and whoever opens the folder next does it.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from fanal.private_file import sync_folder, write_private

_DECIDED = ".replacing"
_BEGUN = ".replacing-"


def replace(folder: Path, files: Mapping[str, bytes]) -> None:
    """Put `files` (name -> content) into `folder`, each mode 0600. Call it within `alone`."""
    settle(folder)
    for left in folder.glob(f"{_BEGUN}*"):
        shutil.rmtree(left, ignore_errors=True)
    beside = Path(tempfile.mkdtemp(prefix=_BEGUN, dir=folder))
    try:
        for name, content in files.items():
            write_private(beside / name, content)
        beside.rename(folder / _DECIDED)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    sync_folder(folder)
    settle(folder)


def settle(folder: Path) -> None:
    """Finish a replacement that was decided and cut off; nothing happens if there is none."""
    decided = folder / _DECIDED
    if not decided.is_dir():
        return
    with suppress(FileNotFoundError):  # another process settles the same one
        for path in sorted(decided.iterdir()):
            with suppress(FileNotFoundError):
                os.replace(path, folder / path.name)
    sync_folder(folder)
    with suppress(FileNotFoundError):
        decided.rmdir()
    sync_folder(folder)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Wait until no other process changes the keys in `folder` (where the system has locks)."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
