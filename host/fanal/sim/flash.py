"""One 4 MB NOR flash as a file: write and erase, bad sectors, and the power that fails.

NOR flash knows two operations. A program clears bits (new = old AND data); an erase sets a
whole 4 KB sector to ones. Every operation counts, and a `Cut` takes the power away before,
inside or after one of them.
"""

from __future__ import annotations

import os
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from pathlib import Path

from fanal.partition_table import VAULT, Partition

SIZE = 4 << 20
SECTOR = 4096

PARTITIONS = (
    Partition("nvs", 1, 0x02, 0x9000, 0x6000),
    Partition("phy_init", 1, 0x01, 0xF000, 0x1000),
    Partition("factory", 0, 0x00, 0x10000, 0x1F0000),
    VAULT,
    Partition("vfs", 1, 0x81, 0x204000, SIZE - 0x204000),
)
_IMAGE_END = VAULT.address  # what the chip starts from lies below


@dataclass(frozen=True)
class Cut:
    """Take the power away at flash operation number `operation` (the next one is 0).

    where: "before", "inside" (after `after_bytes` of it took effect) or "after". is_brown_out: it
    comes back at once.
    """

    operation: int
    where: str = "before"
    after_bytes: int = 0
    is_brown_out: bool = False


class PowerCut(Exception):
    """The armed cut has happened; the operation took effect as far as the cut says."""

    def __init__(self, is_brown_out: bool = False) -> None:
        super().__init__("brown-out" if is_brown_out else "power cut")
        self.is_brown_out = is_brown_out


class Flash:
    """The flash chip of one board, on the file `path`, erased if it is new.

    bad_sectors: addresses of sectors that keep what they hold. `image_changes` counts operations
    on the part that the chip starts from.
    """

    def __init__(self, path: Path, bad_sectors: AbstractSet[int] = frozenset()) -> None:
        if not path.exists():
            path.write_bytes(b"\xff" * SIZE)
        self.path = path
        self.fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self.operations = self.image_changes = 0
        self._bad_sectors = bad_sectors
        self._cut: Cut | None = None

    def close(self) -> None:
        """Close the file."""
        os.close(self.fd)

    def arm(self, cut: Cut | None) -> None:
        """Arm a cut, counted from the next operation on; None disarms."""
        self._cut = cut and replace(cut, operation=self.operations + cut.operation)

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
        self.image_changes += address < _IMAGE_END
        cut = self._cut if self._cut and self._cut.operation == number else None
        if cut is None:
            self._keep(address, result)
            return
        self._cut = None
        reach = {"before": 0, "inside": cut.after_bytes, "after": len(result)}[cut.where]
        self._keep(address, result[:reach])
        raise PowerCut(cut.is_brown_out)

    def _keep(self, address: int, result: bytes) -> None:
        if not self._bad_sectors:
            os.pwrite(self.fd, result, address)
            return
        while result:
            room = SECTOR - address % SECTOR
            if address - address % SECTOR not in self._bad_sectors:
                os.pwrite(self.fd, result[:room], address)
            address, result = address + room, result[room:]
