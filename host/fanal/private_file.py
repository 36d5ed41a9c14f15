"""A file for its owner alone, written whole or not at all."""

import os
import secrets
from contextlib import suppress
from pathlib import Path

from fanal.error import ReadBackError


def write_private(path: Path, content: bytes) -> None:
    """Write a file, mode 0600, whole or not at all, and read it back. Raises ReadBackError."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if temporary.read_bytes() != content:
            raise ReadBackError(f"{path} reads back differently.", "The disk may be failing.")
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a cut of power (Windows needs and offers nothing)."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
