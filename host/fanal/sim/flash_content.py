"""What is in the flash of a new board: an image, and the firmware's files; each made once."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
from functools import lru_cache
from pathlib import Path

from fanal import partition_table
from fanal.chips import CHIPS
from fanal.sim.flash import PARTITIONS, SIZE
from fanal.sim.synthetic import synthetic_image

_RUN = "import sys, micropython_run as m; sys.exit(m.run_main(sys.argv))"
_VFS = next(p for p in PARTITIONS if p.label == "vfs")
_APP_BYTES = 16 << 10  # of boards that nobody flashes: each of their cold boots reads it


def blank() -> bytes:
    """Return an erased flash."""
    return b"\xff" * SIZE


@lru_cache(maxsize=8)
def with_image(chip: str, *, stock: bool = False) -> bytes:
    """Return a flash with a synthetic image and no files. stock: as published, without a vault."""
    content = synthetic_image(chip, app_bytes=_APP_BYTES)
    start = CHIPS[chip].image_offset
    flash = bytearray(blank())
    flash[start : start + len(content)] = content
    if not stock:
        table = partition_table.build(PARTITIONS)
        flash[partition_table.ADDRESS : partition_table.ADDRESS + len(table)] = table
    return bytes(flash)


def with_firmware(chip: str, firmware: Path) -> bytes:
    """Return a flash with an image, and the files of a folder in `vfs`. Raises RuntimeError."""
    digest = hashlib.sha256()
    for file in sorted(path for path in firmware.rglob("*") if path.is_file()):
        digest.update(f"{file.relative_to(firmware)}\0".encode() + file.read_bytes())
    return _assembled(chip, firmware, digest.digest())


@lru_cache(maxsize=8)
def _assembled(chip: str, firmware: Path, digest: bytes) -> bytes:
    return with_image(chip)[: _VFS.address] + _file_system(firmware, digest)


@lru_cache(maxsize=4)
def _file_system(firmware: Path, _: bytes) -> bytes:
    """Return `vfs` for a folder with content of that digest."""
    with tempfile.TemporaryDirectory(prefix="fanal-flash-") as folder:
        path = Path(folder) / "flash.bin"
        path.write_bytes(blank())
        install = str(Path(__file__).parent / "device" / "install.py")
        arguments = [str(path), str(_VFS.address), str(_VFS.size), str(firmware)]
        result = subprocess.run(
            [sys.executable, "-c", _RUN, install, *arguments],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if result.returncode:
            raise RuntimeError(f"the file system could not be made: {result.stdout}")
        return path.read_bytes()[_VFS.address :]
