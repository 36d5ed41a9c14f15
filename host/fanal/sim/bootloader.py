"""What ROM and bootloader find in the flash: an app to start, or why there is none.

Nothing is started here; what a chip would print is what its console prints. The sentences are
those of the ROM and of ESP-IDF's bootloader, but for the vault, which is this project's own need.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from fanal import esp_image, partition_table
from fanal.app_info import micropython_version, read_app_info
from fanal.chips import CHIPS, Chip
from fanal.partition_table import APP, ImageError, Partition
from fanal.sim.flash import SIZE, Flash

_BANNER = re.compile(rb"MicroPython v\d[\w.+-]{0,40} on (\d{4}-\d\d-\d\d)")
_UNKNOWN_DATE = "1970-01-01"
_LARGEST_BOOTLOADER = 0x7000


@dataclass(frozen=True)
class Found:
    """An app that starts. version: of its MicroPython, "1.28.0". date: of its banner.

    app, file_system: their partitions.
    """

    version: str
    date: str
    app: Partition
    file_system: Partition


class NotBootable(Exception):
    """Nothing starts. lines: what the chip prints before it tries again."""

    def __init__(self, *lines: str) -> None:
        super().__init__("; ".join(lines))
        self.lines = lines


class BootImage:
    """What one board's flash holds, looked at again only when it may have changed."""

    def __init__(self, flash: Flash) -> None:
        self._flash = flash
        self._found: Found | None = None
        self._found_in: tuple[int, str] | None = None

    def find(self, chip_name: str, needs_vault: bool, is_cold: bool) -> Found:
        """Return what starts. is_cold: look in any case. Raises NotBootable."""
        state = self._flash.image_changes, chip_name
        if self._found is None or is_cold or self._found_in != state:
            self._found = None
            self._found = find_app(self._flash, chip_name, needs_vault)
            self._found_in = state
        return self._found


def find_app(flash: Flash, chip_name: str, needs_vault: bool) -> Found:
    """Return what starts. Raises NotBootable."""
    chip = CHIPS[chip_name]
    _check_bootloader(flash, chip)
    partitions = _read_table(flash)
    app = next((p for p in partitions if p.type == APP), None)
    if app is None:
        raise NotBootable("E (44) boot: No bootable app partitions in the partition table")
    if needs_vault and not partition_table.has_vault(partitions):
        raise NotBootable("E (48) bench: The partition table has no vault for Fanal's firmware")
    content = _check_app(flash, chip, app)
    try:
        version = micropython_version(read_app_info(content), content)
    except ImageError:
        raise NotBootable("E (60) esp_image: The app does not say what it is") from None
    banner = _BANNER.search(content)
    date = banner[1].decode() if banner else _UNKNOWN_DATE
    return Found(version, date, app, _file_system(partitions))


def _check_bootloader(flash: Flash, chip: Chip) -> None:
    content = flash.read(chip.image_offset, _LARGEST_BOOTLOADER)
    try:
        header = esp_image.check_image(content)
    except ImageError as error:
        raise NotBootable(*_rom_says(error, content)) from None
    if header.chip_id != chip.image_id:
        raise NotBootable(_wrong_chip(header.chip_id, chip))


def _rom_says(error: ImageError, content: bytes) -> tuple[str, ...]:
    if error.code == "not_image":
        return (f"invalid header: 0x{int.from_bytes(content[:4], 'little'):08x}",) * 8
    if error.code == "checksum":
        return ("csum err", "ets_main.c 371")
    if error.code == "digest":
        return ("SHA-256 comparison failed", "ets_main.c 371")
    return ("flash read err, 1000", "ets_main.c 371")


def _read_table(flash: Flash) -> tuple[Partition, ...]:
    table = flash.read(partition_table.ADDRESS, partition_table.TABLE_BYTES)
    try:
        return partition_table.parse(table)
    except ImageError as error:
        raise NotBootable(
            f"E (30) flash_parts: {error.sentence}",
            "E (36) boot: Failed to verify partition table",
            "E (41) boot: load partition table error!",
        ) from None


def _check_app(flash: Flash, chip: Chip, app: Partition) -> bytes:
    """Return the app's image."""
    content = flash.read(app.address, app.size)
    try:
        header = esp_image.check_image(content)
    except ImageError as error:
        reason = {
            "not_image": f"image at 0x{app.address:x} has invalid magic byte"
            " (nothing flashed here?)",
            "truncated": "Image length doesn't fit in partition length",
            "checksum": "Checksum failed. Image is corrupt",
            "digest": "Image hash failed - image is corrupt",
        }.get(error.code, error.sentence)
        raise NotBootable(
            f"E (52) esp_image: {reason}",
            "E (58) boot: Factory app partition is not bootable",
            "E (63) boot: No bootable app partitions in the partition table",
        ) from None
    if header.chip_id != chip.image_id:
        raise NotBootable(_wrong_chip(header.chip_id, chip))
    return content[: header.length]


def _wrong_chip(found: int, chip: Chip) -> str:
    return f"E (55) boot_comm: mismatch chip ID, expected {chip.image_id}, found {found}"


def _file_system(partitions: tuple[Partition, ...]) -> Partition:
    """Return `vfs`, or what MicroPython takes for it if the table has none: all the rest."""
    for partition in partitions:
        if partition.label == "vfs":
            return partition
    start = max(p.end for p in partitions)
    return Partition("vfs", 1, 0x81, start, SIZE - start)
