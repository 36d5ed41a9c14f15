"""A file that is written whole or not at all; unless it says otherwise, for its owner alone."""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fanal import beside
from fanal.error import ReadBackError


def write_private(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Write a file, whole or not at all, and read it back. Raises ReadBackError.

    mode: less what the umask takes.
    """
    with replacing(path, mode) as (handle, temporary):
        _write(handle, content)
        if temporary.read_bytes() != content:
            raise ReadBackError(f"{path} reads back differently.", "The disk may be failing.")


@contextmanager
def replacing(path: Path, mode: int = 0o600) -> Iterator[tuple[int, Path]]:
    """Give a new file, open for writing, and where it is; at the end it takes the place of `path`.

    Whoever fills it syncs it. mode: less what the umask takes. After an error nothing is left.
    """
    handle, temporary = beside.new_file(path, mode)
    try:
        try:
            yield handle, temporary
            if os.name != "nt":  # which renames no open file; elsewhere it is ours until the end
                os.replace(temporary, path)
        finally:
            os.close(handle)
        if os.name == "nt":
            os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    sync_folder(path.parent)


def write_new(path: Path, content: bytes) -> None:
    """Write a secret in clear, mode 0600, where no file may be yet. Raises FileExistsError.

    Where the system can, the file has no name until it is whole. Elsewhere it has its own from the
    beginning. Under another one, hidden, it would outlive a person who removes what they see.
    """
    if not _written_unnamed(path, content):
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            _write(handle, content)
        finally:
            os.close(handle)
    if path.read_bytes() != content:
        raise ReadBackError(f"{path} reads back differently.", "The disk may be failing.")
    sync_folder(path.parent)


def _written_unnamed(path: Path, content: bytes) -> bool:
    """Fill a file without a name and give it one; return whether this system and disk can."""
    if sys.platform != "linux":
        return False
    opened: list[int] = []
    try:
        opened.append(os.open(path.parent, os.O_RDONLY))
        opened.append(os.open(path.parent, os.O_WRONLY | os.O_TMPFILE, 0o600))
        _write(opened[1], content)
        # a folder is given only so that the link is followed
        os.link(f"/proc/self/fd/{opened[1]}", path.name, src_dir_fd=opened[0],
                dst_dir_fd=opened[0], follow_symlinks=True)  # fmt: skip
    except FileExistsError:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
    except OSError:
        return False
    finally:
        for handle in opened:
            os.close(handle)
    return True


def _write(handle: int, content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[os.write(handle, left) :]
    os.fsync(handle)


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a cut of power (Windows needs and offers nothing)."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
