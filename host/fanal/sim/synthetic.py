"""Small images with true headers: what a virtual board is flashed with in place of MicroPython.

Bootloader, partition table and app lie where those of a real image do and pass the same checks;
their code is random bytes that compress as badly as real code is assumed to at worst. Nobody
executes them.
"""

from __future__ import annotations

import hashlib
import random
import struct
from functools import lru_cache

from fanal import partition_table
from fanal.chips import CHIPS
from fanal.partition_table import Partition

VERSION, DATE = "v1.28.0", "2026-04-06"
APP_ADDRESS = 0x10000
# as micropython.org publishes it: MicroPython puts `vfs` behind the last one by itself
STOCK = (
    Partition("nvs", 1, 0x02, 0x9000, 0x6000),
    Partition("phy_init", 1, 0x01, 0xF000, 0x1000),
    Partition("factory", 0, 0x00, APP_ADDRESS, 0x1F0000),
)

_HEADER = struct.Struct("<BBBBIB3sHBHH4sB")
_SEGMENT = struct.Struct("<II")
_DESCRIPTOR = struct.Struct("<IIII32s32s16s16s32s32sHHB3x72x")
_BOOTLOADER_BYTES = 4096
_BUILT = "Apr  6 2026"  # the same date as the compiler writes it
# where each chip maps read-only data, code in flash, and RAM that a bootloader runs from
_MAPS = {
    "esp32": (0x3F400020, 0x400D0020, 0x40080400),
    "esp32c3": (0x3C000020, 0x42000020, 0x403CC710),
    "esp32s3": (0x3C000020, 0x42000020, 0x403C8700),
    "esp32c6": (0x42000020, 0x42010020, 0x4086C410),
}


@lru_cache(maxsize=16)
def synthetic_image(
    chip: str, version: str = VERSION, app_bytes: int = 64 << 10, seed: int = 0
) -> bytes:
    """Return a combined image without a vault, as it goes to the chip's image offset.

    chip: a name of `chips.CHIPS` that the bench has. version: of MicroPython, with its "v".
    app_bytes: about how long the app is, 4 KB at least. Raises KeyError.
    """
    kind = CHIPS[chip]
    read_only, code, ram = _MAPS[chip]
    dice = random.Random(f"{chip} {version} {app_bytes} {seed}")
    bootloader = _image(kind.image_id, ram, [(ram, dice.randbytes(_BOOTLOADER_BYTES))])
    # MicroPython's banner is in its read-only data; the version in the descriptor is the builder's
    said = f"MicroPython {version} on {DATE}; ".encode().ljust(64, b"\0")
    rodata = _descriptor(version, dice.randbytes(32)) + said
    body = dice.randbytes(max(app_bytes - len(rodata), 2048) & ~3)
    app = _image(kind.image_id, code, [(read_only, rodata), (code, body)])
    content = bootloader.ljust(partition_table.ADDRESS - kind.image_offset, b"\xff")
    content += partition_table.build(STOCK)
    return content.ljust(APP_ADDRESS - kind.image_offset, b"\xff") + app


def _image(chip_id: int, entry: int, segments: list[tuple[int, bytes]]) -> bytes:
    """Return one ESP image: header, segments, checksum, SHA-256. For 4 MB of flash."""
    out = bytearray(
        _HEADER.pack(
            0xE9, len(segments), 2, 0x2F, entry, 0xEE, bytes(3), chip_id, 0, 0, 0xFFFF, bytes(4), 1
        )
    )
    checksum = 0xEF
    for address, data in segments:
        out += _SEGMENT.pack(address, len(data)) + data
        for byte in data:
            checksum ^= byte
    out += bytes(15 - len(out) % 16) + bytes((checksum,))
    return bytes(out) + hashlib.sha256(out).digest()


def _descriptor(version: str, elf_digest: bytes) -> bytes:
    """Return the app descriptor, 256 bytes."""
    return _DESCRIPTOR.pack(
        0xABCD5432, 0, 0, 0, version.encode(), b"micropython", b"12:00:00", _BUILT.encode(),
        b"v5.5.1", elf_digest, 0, 0xFFFF, 16,
    )  # fmt: skip
