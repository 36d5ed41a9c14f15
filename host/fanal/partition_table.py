"""The partition table of an ESP32: bytes to partitions and back, and the place of the vault.

In flash at 0x8000, 0xC00 bytes: entries of 32 bytes, little-endian, then one with the MD5 of
those before it, then 0xFF. Pure: no file, no device.
"""

import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

from construct import Byte, Bytes, Const, ConstructError, Int32ul, Struct

from fanal.error import IntegrityError

ADDRESS = 0x8000
TABLE_BYTES = 0xC00

APP, DATA = 0, 1
SECTOR = 0x1000
_FIRST_FREE = ADDRESS + SECTOR  # the table has its sector alone
_ENTRY_BYTES = 32
_MOST_ENTRIES = TABLE_BYTES // _ENTRY_BYTES - 1
_APP_ALIGNMENT = 0x10000
_LEAST_VFS = 0x40000  # the firmware takes a third of it

_ENTRY = Struct(
    "magic" / Const(b"\xaa\x50"),
    "type" / Byte,
    "subtype" / Byte,
    "address" / Int32ul,
    "size" / Int32ul,
    "label" / Bytes(16),
    "flags" / Int32ul,
)
_MD5 = Struct("magic" / Const(b"\xeb\xeb" + b"\xff" * 14), "md5" / Bytes(16))


class ImageError(IntegrityError):
    """An image, or a part of it, is not what it has to be. code: which part."""

    code = "image"


@dataclass(frozen=True)
class Partition:
    """One entry. address and size in bytes; label: 1 to 16 ASCII characters."""

    label: str
    type: int
    subtype: int
    address: int
    size: int
    flags: int = 0

    @property
    def end(self) -> int:
        """The first address behind it."""
        return self.address + self.size


VAULT = Partition("vault", DATA, 0x40, 0x200000, 0x4000)
_VFS_SUBTYPE = 0x81


def parse(data: bytes) -> tuple[Partition, ...]:
    """Return the partitions of a table; `data` begins with it and has 0xC00 bytes or more.

    Raises ImageError (code "table") if entries, MD5 or padding are not exactly right, or if two
    partitions overlap.
    """
    table = data[:TABLE_BYTES]
    if len(table) < TABLE_BYTES:
        raise _bad("is cut short")
    starts = range(0, TABLE_BYTES, _ENTRY_BYTES)
    end = next((at for at in starts if table[at : at + 2] == b"\xeb\xeb"), None)
    if end is None:
        raise _bad("has no MD5" if table[:2] == b"\xaa\x50" else "is not there")
    try:
        found = [_ENTRY.parse(table[at : at + _ENTRY_BYTES]) for at in range(0, end, _ENTRY_BYTES)]
        md5 = _MD5.parse(table[end : end + _ENTRY_BYTES]).md5
    except ConstructError:
        raise _bad("holds something that is no entry") from None
    if md5 != _md5(table[:end]):
        raise _bad("does not match its MD5")
    if table[end + _ENTRY_BYTES :].strip(b"\xff"):
        raise _bad("has something behind its end")
    partitions = tuple(
        Partition(_label(e.label), e.type, e.subtype, e.address, e.size, e.flags) for e in found
    )
    _check(partitions)
    return partitions


def build(partitions: Sequence[Partition]) -> bytes:
    """Return the table, 0xC00 bytes. Raises ImageError for one that `parse` would not take."""
    if len(partitions) > _MOST_ENTRIES:
        raise _bad("has too many entries")
    try:
        entries = b"".join(
            _ENTRY.build({**vars(p), "label": p.label.encode("ascii").ljust(16, b"\0")})
            for p in partitions
        )
    except (ConstructError, UnicodeEncodeError):
        raise _bad("cannot hold such a partition") from None
    table: bytes = (entries + _MD5.build({"md5": _md5(entries)})).ljust(TABLE_BYTES, b"\xff")
    parse(table)
    return table


def has_vault(partitions: Sequence[Partition]) -> bool:
    """Tell whether the vault is there, exactly where and as the firmware wants it."""
    return VAULT in partitions


def with_vault(
    partitions: Sequence[Partition], flash_bytes: int = 4 << 20
) -> tuple[Partition, ...]:
    """Return the partitions with `VAULT` among them, and `vfs` behind it to the end of the flash.

    Doing it again changes nothing. Raises ImageError (code "table") if anything else reaches
    into the vault, or if the flash is too small.
    """
    if flash_bytes < VAULT.end + _LEAST_VFS:
        raise ImageError(
            f"A flash of {flash_bytes / (1 << 20):g} MB has no room for the vault, which lies"
            f" at 0x{VAULT.address:x}.",
            "Use a board with 4 MB of flash or more.",
            code="table",
        )
    if any(p.label == VAULT.label and p != VAULT for p in partitions):
        raise _bad("has another vault than the firmware's")
    others = [p for p in partitions if p.label not in (VAULT.label, "vfs")]
    for p in others:
        if p.address < VAULT.end and p.end > VAULT.address:
            raise _bad(f"has its partition {p.label} where the vault has to be")
        if p.end > flash_bytes:
            raise _bad(f"has its partition {p.label} outside the flash")
    vfs = _place_vfs(next((p for p in partitions if p.label == "vfs"), None), others, flash_bytes)
    result = tuple(sorted([*others, VAULT, vfs], key=lambda p: p.address))
    _check(result)
    return result


def _place_vfs(old: Partition | None, others: list[Partition], flash_bytes: int) -> Partition:
    """Return the file system's partition: where it was if that is behind the vault."""
    if old is None:
        old = Partition("vfs", DATA, _VFS_SUBTYPE, max(p.end for p in [VAULT, *others]), 0)
    start = max(old.address, VAULT.end)
    end = min([p.address for p in others if p.address >= start], default=flash_bytes)
    if end - start < _LEAST_VFS:
        raise _bad("leaves no room for the file system behind the vault")
    return replace(old, address=start, size=end - start)


def _check(partitions: Sequence[Partition]) -> None:
    """Raise ImageError unless a bootloader could take these together."""
    if not partitions:
        raise _bad("is empty")
    if len({p.label for p in partitions}) < len(partitions):
        raise _bad("has one name twice")
    for p in partitions:
        alignment = _APP_ALIGNMENT if p.type == APP else SECTOR
        if p.address < _FIRST_FREE or p.address % alignment or not p.size or p.size % SECTOR:
            raise _bad(f"has its partition {p.label} at a place where none can be")
    ordered = sorted(partitions, key=lambda p: p.address)
    for before, after in itertools.pairwise(ordered):
        if before.end > after.address:
            raise _bad(f"has {before.label} and {after.label} overlap")


def _label(raw: bytes) -> str:
    text, _, rest = raw.partition(b"\0")
    if not text or rest.strip(b"\0") or not all(0x21 <= byte < 0x7F for byte in text):
        raise _bad("has a partition without a readable name")
    return text.decode("ascii")


def _md5(entries: bytes) -> bytes:
    return hashlib.md5(entries, usedforsecurity=False).digest()


def _bad(what: str) -> ImageError:
    return ImageError(
        f"The partition table {what}.",
        "Take a fresh copy of an official MicroPython image.",
        code="table",
    )
