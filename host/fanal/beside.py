"""What is made beside its place, and takes its name there when it is whole.

Whoever is killed leaves it behind: a dot, the name of the place, a dot and eight hex digits. Its
maker holds a lock on it as long as it lives (where the system has such locks), so whoever makes the
same thing next can tell what was left, and removes it.
"""

import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_LETTERS = 8
_NO_WAIT = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


def new_file(place: Path, mode: int = 0o600) -> tuple[int, Path]:
    """Make an empty file beside `place`; return its handle, open for writing, and its path.

    What was left there by others before us is removed. The lock ends when the handle is closed.
    """
    clear(place)
    while True:
        path = _name(place)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        # another one may have taken it for left over before it was locked
        if not _locked(handle) or os.fstat(handle).st_nlink:
            return handle, path
        os.close(handle)


@contextmanager
def new_folder(place: Path) -> Iterator[Path]:
    """Give an empty folder beside `place`, mode 0700, which may be renamed, or else vanishes.

    What was left there by others before us is removed.
    """
    clear(place)
    while True:
        path = _name(place)
        path.mkdir(mode=0o700)
        handle = None if os.name == "nt" else os.open(path, os.O_RDONLY)
        if handle is None or not _locked(handle) or path.exists():
            break
        os.close(handle)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        if handle is not None:
            os.close(handle)


def clear(place: Path) -> None:
    """Remove what those left who were killed while they made `place`. What fails is left."""
    left = re.compile(rf"\.{re.escape(place.name)}\.[0-9a-f]{{{_LETTERS}}}")
    with suppress(OSError):
        for entry in list(os.scandir(place.parent)):
            if left.fullmatch(entry.name):
                with suppress(OSError):
                    _remove_if_left(Path(entry.path))


def _remove_if_left(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | _NO_WAIT)
    try:
        found = os.fstat(handle)
        if not _locked(handle, wait=False) or found.st_uid != os.geteuid():
            return
        if stat.S_ISDIR(found.st_mode):
            shutil.rmtree(path, ignore_errors=True)
        elif stat.S_ISREG(found.st_mode):
            path.unlink()
    finally:
        os.close(handle)


def _name(place: Path) -> Path:
    return place.with_name(f".{place.name}.{secrets.token_hex(_LETTERS // 2)}")


def _locked(handle: int, *, wait: bool = True) -> bool:
    """Lock an open file or folder; return whether we have the lock."""
    try:
        import fcntl
    except ImportError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        return False
    return True
