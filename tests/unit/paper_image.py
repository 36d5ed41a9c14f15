"""Small images with true headers, made by hand: nothing here comes from the code under test."""

import hashlib
import random
import struct

OFFSETS = {0: 0x1000, 2: 0x1000, 5: 0, 9: 0, 13: 0, 16: 0}
STOCK = (
    ("nvs", 1, 0x02, 0x9000, 0x6000),
    ("phy_init", 1, 0x01, 0xF000, 0x1000),
    ("factory", 0, 0x00, 0x10000, 0x1F0000),
)
STOCK_WITH_VFS = (*STOCK, ("vfs", 1, 0x81, 0x200000, 0x200000))


def esp(segments, chip_id=5, flash_mb=4, has_digest=True):
    """Return one ESP image of (address, data) segments."""
    size = flash_mb.bit_length() - 1
    out = struct.pack(
        "<BBBBIB3sHBHH4sB", 0xE9, len(segments), 2, size << 4 | 0xF, 0x40080400, 0xEE, bytes(3),
        chip_id, 0, 0, 399, bytes(4), has_digest,
    )  # fmt: skip
    checksum = 0xEF
    for address, data in segments:
        out += struct.pack("<II", address, len(data)) + data
        for byte in data:
            checksum ^= byte
    out += bytes(15 - len(out) % 16) + bytes([checksum])
    return out + hashlib.sha256(out).digest() if has_digest else out


def descriptor(version="v1.28.0", project="micropython", idf="v5.5.1", elf=b"\x5a" * 32):
    """Return an app descriptor, 256 bytes."""
    return struct.pack(
        "<IIII32s32s16s16s32s32sHHB3x72x", 0xABCD5432, 0, 0, 0, version.encode(), project.encode(),
        b"10:11:12", b"Apr  6 2026", idf.encode(), elf, 0, 199, 16,
    )  # fmt: skip


def table(partitions=STOCK):
    """Return a partition table, 0xC00 bytes, of (label, type, subtype, address, size)."""
    entries = b"".join(
        struct.pack("<HBBII16sI", 0x50AA, kind, subtype, address, size, label.encode(), 0)
        for label, kind, subtype, address, size in partitions
    )
    mark = b"\xeb\xeb" + b"\xff" * 14 + hashlib.md5(entries).digest()
    return (entries + mark).ljust(0xC00, b"\xff")


def app(version="v1.28.0", body=b"", chip_id=5, seed=0, banner=None):
    """Return an app image; banner: such a version where MicroPython has the text of its banner."""
    said = b"" if banner is None else f"MicroPython {banner} on 2026-04-06".encode()
    rodata = descriptor(version) + said + b"\0" * (-len(said) % 4)
    code = (body or random.Random(seed).randbytes(1000)).ljust(64, b"\0")
    return esp([(0x3C000020, rodata), (0x42000020, code[: len(code) & ~3])], chip_id)


def combined(chip_id=5, *, partitions=STOCK, app_image=None, boot=None, flash_mb=4, **of_app):
    """Return what micropython.org publishes, in small."""
    boot = boot or esp([(0x3FCD5820, bytes(range(200)))], chip_id, flash_mb)
    app_image = app_image or app(chip_id=chip_id, **of_app)
    start = OFFSETS.get(chip_id, 0)
    content = boot.ljust(0x8000 - start, b"\xff") + table(partitions)
    return content.ljust(0x10000 - start, b"\xff") + app_image
