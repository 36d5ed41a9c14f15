"""One 4 MB NOR flash as a file: partition table, write and erase, and the power that fails.

NOR flash knows two operations. A program clears bits (new = old AND data); an erase sets a
whole 4 KB sector to ones. Every operation counts, and a `Cut` takes the power away before,
inside or after one of them.
"""

from __future__ import annotations

import hashlib
import os
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

SIZE = 4 << 20
SECTOR = 4096
TABLE_ADDRESS = 0x8000
_ENTRY = struct.Struct("<HBBII16sI")
_ENTRY_MAGIC = 0x50AA
_RUN = "import sys, micropython_run as m; sys.exit(m.run_main(sys.argv))"
_MD5_MAGIC = b"\xeb\xeb" + b"\xff" * 14


@dataclass(frozen=True)
class Partition:
    """One entry of the ESP32 partition table; `address` and `size` in bytes."""

    label: str
    type: int
    subtype: int
    address: int
    size: int


PARTITIONS = (
    Partition("nvs", 1, 0x02, 0x9000, 0x6000),
    Partition("phy_init", 1, 0x01, 0xF000, 0x1000),
    Partition("factory", 0, 0x00, 0x10000, 0x1F0000),
    Partition("vault", 1, 0x40, 0x200000, 0x4000),
    Partition("vfs", 1, 0x81, 0x204000, SIZE - 0x204000),
)


@dataclass(frozen=True)
class Cut:
    """Take the power away at flash operation number `operation` (the next one is 0).

    where: "before", "inside" (after `after_bytes` of it took effect) or "after".
    """

    operation: int
    where: str = "before"
    after_bytes: int = 0


class PowerCut(Exception):
    """The armed cut has happened; the operation took effect as far as the cut says."""


def partition_table() -> bytes:
    """Return the table as it lies at 0x8000: entries, MD5 entry, padded to 0xC00 bytes."""
    entries = b"".join(
        _ENTRY.pack(_ENTRY_MAGIC, p.type, p.subtype, p.address, p.size, p.label.encode(), 0)
        for p in PARTITIONS
    )
    table = entries + _MD5_MAGIC + hashlib.md5(entries, usedforsecurity=False).digest()
    return table.ljust(0xC00, b"\xff")


def read_partition_table(image: bytes) -> Iterator[Partition]:
    """Yield the partitions of a flash image of any length that reaches beyond the table."""
    at = TABLE_ADDRESS
    while True:
        magic, kind, subtype, address, size, label, _flags = _ENTRY.unpack_from(image, at)
        if magic != _ENTRY_MAGIC:
            return
        yield Partition(label.rstrip(b"\0").decode(), kind, subtype, address, size)
        at += _ENTRY.size


def create(path: Path) -> None:
    """Write a blank flash with a partition table to `path`."""
    with path.open("wb") as file:
        file.write(b"\xff" * SIZE)
        file.seek(TABLE_ADDRESS)
        file.write(partition_table())


class Flash:
    """The flash chip of one board, on the file `path`."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            create(path)
        self.path = path
        self.fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self.operations = 0
        self._cut: Cut | None = None

    def close(self) -> None:
        """Close the file."""
        os.close(self.fd)

    def arm(self, cut: Cut | None) -> None:
        """Arm a cut, counted from the next operation on; None disarms."""
        self._cut = cut and Cut(self.operations + cut.operation, cut.where, cut.after_bytes)

    def read(self, address: int, size: int) -> bytes:
        """Return `size` bytes at `address`."""
        return os.pread(self.fd, size, address)

    def program(self, address: int, data: bytes) -> None:
        """Clear the bits that are 0 in `data`. Raises PowerCut, ValueError outside the chip."""
        old = self.read(address, len(data))
        if len(old) != len(data):
            raise ValueError("outside the flash")
        mixed = int.from_bytes(old, "big") & int.from_bytes(data, "big")
        self._perform(address, mixed.to_bytes(len(data), "big"))

    def erase(self, address: int, size: int) -> None:
        """Set whole sectors to ones. Raises PowerCut, ValueError if not on sector bounds."""
        if address % SECTOR or size % SECTOR or address + size > SIZE:
            raise ValueError("erase needs whole sectors")
        for sector in range(address, address + size, SECTOR):
            self._perform(sector, b"\xff" * SECTOR)

    def _perform(self, address: int, result: bytes) -> None:
        number, self.operations = self.operations, self.operations + 1
        cut = self._cut if self._cut and self._cut.operation == number else None
        if cut is None:
            os.pwrite(self.fd, result, address)
            return
        self._cut = None
        reach = {"before": 0, "inside": cut.after_bytes, "after": len(result)}[cut.where]
        os.pwrite(self.fd, result[:reach], address)
        raise PowerCut


def firmware_flash(firmware: Path) -> bytes:
    """Return a flash with the files of a folder in its `vfs`. Raises RuntimeError."""
    digest = hashlib.sha256()
    for file in sorted(path for path in firmware.rglob("*") if path.is_file()):
        digest.update(f"{file.relative_to(firmware)}\0".encode() + file.read_bytes())
    return _installed(firmware, digest.digest())


@lru_cache(maxsize=4)
def _installed(firmware: Path, _: bytes) -> bytes:
    """The same for a folder with content of that digest, made once."""
    vfs = next(p for p in PARTITIONS if p.label == "vfs")
    with tempfile.TemporaryDirectory(prefix="fanal-flash-") as folder:
        path = Path(folder) / "flash.bin"
        create(path)
        install = str(Path(__file__).parent / "device" / "install.py")
        arguments = ["-c", _RUN, install, str(path), str(vfs.address), str(vfs.size), str(firmware)]
        result = subprocess.run(
            [sys.executable, *arguments], capture_output=True, text=True, check=False
        )
        if result.returncode:
            raise RuntimeError(f"the file system could not be made: {result.stdout}")
        return path.read_bytes()
