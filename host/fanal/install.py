"""Put the firmware's files on a board that runs MicroPython: what differs, and nothing else.

What the firmware needs first goes last: `boot.py` and `main.py` are replaced after everything that
they import, so that an interrupted update leaves the old program or the new one to start.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fanal.error import DeviceError, ReadBackError
from fanal.firmware_image import FirmwareImage
from fanal.repl import HALF_WRITTEN, Repl, ScriptFailed

_ROOT_FILES = ("boot.py", "main.py")
_LIBRARY = "lib"

# Every file that the firmware could take for its own, by path, with its SHA-256.
_HASHES = f"""
import os, hashlib, json
from binascii import hexlify
found, buffer = {{}}, bytearray(1024)
def see(path):
    if os.stat(path)[0] & 0x4000:
        for name in os.listdir(path):
            see(path + "/" + name)
        return
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while True:
            n = file.readinto(buffer)
            if not n:
                break
            digest.update(memoryview(buffer)[:n])
    found[path] = hexlify(digest.digest()).decode()
for name in os.listdir("/"):
    if name in {(*_ROOT_FILES, _LIBRARY)!r} or name.endswith({HALF_WRITTEN!r}):
        see(name)
print(json.dumps(found))
"""
# Without a file system the root is an empty list of what is mounted: only writing tells.
_TRY = """
import os
with open("/try.new", "wb"):
    pass
os.remove("/try.new")
"""
_NO_FILE_SYSTEM, _NO_ROOM = (19, 2), 28  # ENODEV or ENOENT; ENOSPC
_FORMAT = """
import vfs
from esp32 import Partition
flash = Partition.find(Partition.TYPE_DATA, label="vfs")[0]
try:
    vfs.umount("/")
except OSError:
    pass
vfs.VfsLfs2.mkfs(flash)
vfs.mount(vfs.VfsLfs2(flash, readsize=32, progsize=32, lookahead=32), "/")
"""


@dataclass(frozen=True)
class Installed:
    """What had to be done. written, removed: paths on the board. formatted: a file system made."""

    written: tuple[str, ...]
    removed: tuple[str, ...]
    formatted: bool

    @property
    def changed(self) -> bool:
        """Whether anything was not as shipped."""
        return bool(self.written or self.removed)


def install(
    repl: Repl,
    image: FirmwareImage,
    *,
    formats: bool = False,
    on_writing: Callable[[], None] = lambda: None,
    on_share: Callable[[float], None] = lambda _: None,
) -> Installed:
    """Make the files of the board those of the image, and read them back.

    formats: make its file system anew first, whatever is in it. on_writing: called if anything
    differs. on_share: told how much is done, 0 to 1. Raises ReadBackError, DeviceError, BoardLost;
    run it again after any of them. What is not the firmware's (settings, a vault file) is not
    touched otherwise.
    """
    wanted = image.manifest.files
    if formats:
        repl.run(_FORMAT)
    there = _files(repl)
    written = sorted((p for p in wanted if there.get(p) != wanted[p]), key=_urgency)
    removed = sorted(path for path in there if path not in wanted)
    if written or removed:
        on_writing()
        formats = _has_no_file_system(repl) or formats
    # what an interrupted run left half written goes first: its name is used again
    _remove(repl, [path for path in removed if path.endswith(HALF_WRITTEN)])
    _make_folders(repl, written)
    _write(repl, image, written, on_share)
    _remove(repl, [path for path in removed if not path.endswith(HALF_WRITTEN)])
    if (written or removed) and _files(repl) != wanted:
        raise ReadBackError(
            "The firmware on the board is not what was written.",
            "Run the command again; if it fails again, the flash of the board is worn out.",
            port=repl.port,
        )
    return Installed(tuple(written), tuple(removed), formats)


def _files(repl: Repl) -> dict[str, str]:
    """Return path -> SHA-256 of the board's files."""
    found: Any
    try:
        found = json.loads(repl.run(_HASHES))
    except (ScriptFailed, ValueError):
        found = None
    if not isinstance(found, dict):
        raise DeviceError(
            f"The files on the board on {repl.port} cannot be read.",
            "Run the command again; if it fails again, add --again, which formats its file system.",
            code="garbage", port=repl.port,
        )  # fmt: skip
    return {str(path): str(digest) for path, digest in found.items()}


def _has_no_file_system(repl: Repl) -> bool:
    """Return whether a board had no file system and got one; what is there is never formatted."""
    try:
        repl.run(_TRY)
    except ScriptFailed as problem:
        if problem.errno in _NO_FILE_SYSTEM:
            repl.run(_FORMAT)
            return True
        if problem.errno != _NO_ROOM:
            raise
    return False


def _urgency(path: str) -> tuple[bool, str]:
    return (path in _ROOT_FILES, path)


def _remove(repl: Repl, paths: list[str]) -> None:
    for path in paths:
        repl.run(f"import os\nos.remove({path!r})")


def _make_folders(repl: Repl, paths: list[str]) -> None:
    folders = {str(parent) for path in paths for parent in Path(path).parents} - {"."}
    if folders:
        names = sorted(Path(folder).as_posix() for folder in folders)
        repl.run(
            f"import os\nfor name in {names!r}:\n"
            "    try:\n        os.mkdir(name)\n    except OSError:\n        pass"
        )


def _write(
    repl: Repl, image: FirmwareImage, paths: list[str], on_share: Callable[[float], None]
) -> None:
    sizes: Mapping[str, int] = image.manifest.sizes
    total, done = sum(sizes[path] for path in paths), 0
    for path in paths:
        try:
            repl.write_file(path, (image.folder / path).read_bytes())
        except ScriptFailed as problem:
            if problem.errno != _NO_ROOM:
                raise
            raise DeviceError(
                f"The board on {repl.port} has no room for {path}.",
                "Files of others may fill it: flash it with --again, which formats it.",
                code="no_room", port=repl.port,
            ) from None  # fmt: skip
        done += sizes[path]
        on_share(done / total)
