"""The image of an ESP32 as micropython.org publishes it: bootloader, partition table, app.

Everything is little-endian. One ESP image: a header of 24 bytes, segments (address, length,
data), zeros and a checksum byte up to a multiple of 16, and the SHA-256 of all that. A combined
image starts with the bootloader; between its parts lies 0xFF. Pure: no file, no device.
"""

import hashlib
from dataclasses import dataclass, field, replace
from typing import Any

from construct import (
    BitStruct,
    Byte,
    Bytes,
    Const,
    ConstructError,
    ExprValidator,
    Int16ul,
    Int32ul,
    Nibble,
    Padding,
    Struct,
    obj_,
)

from fanal import partition_table
from fanal.app_info import AppInfo, micropython_version, read_app_info
from fanal.chips import Chip, by_image_id
from fanal.partition_table import ADDRESS, APP, TABLE_BYTES, VAULT, Partition
from fanal.partition_table import ImageError as ImageError

_ALIGNMENT = 16
_CHECKSUM_SEED = 0xEF
_DIGEST_BYTES = 32
_MOST_SEGMENTS = 16
_SIZE_AT = 3  # in the header: flash size and speed
_MEGABYTE = 1 << 20
_MAGIC = b"\xe9"

_HEADER = Struct(
    "magic" / Const(_MAGIC),
    "segments" / ExprValidator(Byte, (obj_ >= 1) & (obj_ <= _MOST_SEGMENTS)),
    "flash_mode" / Byte,
    "flash" / BitStruct("size" / Nibble, "speed" / Nibble),  # size: 1 MB << n
    "entry" / Int32ul,
    "wp_pin" / Byte,
    "drive" / Bytes(3),
    "chip_id" / Int16ul,
    "least_revision_old" / Byte,
    "least_revision" / Int16ul,
    "most_revision" / Int16ul,
    Padding(4),
    "has_digest" / ExprValidator(Byte, obj_ <= 1),
)
_SEGMENT = Struct("address" / Int32ul, "length" / ExprValidator(Int32ul, obj_ % 4 == 0))


@dataclass(frozen=True)
class Header:
    """What `check_image` found. length: of the whole image in bytes. flash_bytes: as it assumes."""

    chip_id: int
    segments: int
    entry: int
    flash_bytes: int
    length: int


@dataclass(frozen=True)
class EspImage:
    """A combined image that was checked.

    content: from flash_offset on, as it goes into flash. sha256: of content, 64 hex digits.
    version: of MicroPython, "1.28.0". flash_bytes: the size of flash that its bootloader assumes.
    app_bytes: the length of the app itself, which its partition is often far longer than.
    """

    content: bytes = field(repr=False)
    chip: Chip
    flash_offset: int
    app: AppInfo
    partitions: tuple[Partition, ...]
    sha256: str
    version: str
    flash_bytes: int
    app_bytes: int


def read(content: bytes) -> EspImage:
    """Return a combined image, all of it checked. content: untrusted, from its first byte on.

    Raises ImageError: "not_image", "truncated", "chip" (an unknown one, or bootloader and app
    differ), "table", "checksum", "digest", "descriptor" (no app descriptor or no version).
    """
    bootloader = check_image(content)
    chip = by_image_id(bootloader.chip_id)
    if chip is None:
        raise _bad(f"is for a chip with the unknown id {bootloader.chip_id}", "chip")
    at = ADDRESS - chip.image_offset
    if bootloader.length > at:
        raise _bad("has a bootloader that reaches into the partition table", "table")
    partitions = partition_table.parse(content[at : at + TABLE_BYTES])
    app_at, app = _check_app(content, chip, partitions)
    info = read_app_info(content, app_at)
    return EspImage(
        content=content,
        chip=chip,
        flash_offset=chip.image_offset,
        app=info,
        partitions=partitions,
        sha256=hashlib.sha256(content).hexdigest(),
        version=micropython_version(info, content[app_at : app_at + app.length]),
        flash_bytes=bootloader.flash_bytes,
        app_bytes=app.length,
    )


def image_bytes(data: bytes, at: int = 0) -> int:
    """Return the length of the ESP image at `at`, checksum and digest included.

    Raises ImageError (codes "not_image", "truncated"). Neither of the two is checked.
    """
    header, _, end = _walk(data, at)
    return end + (_DIGEST_BYTES if header.has_digest else 0) - at


def check_image(data: bytes, at: int = 0) -> Header:
    """Return the header of the one ESP image at `at` if all of it is right.

    Raises ImageError with code "not_image", "truncated", "checksum" or "digest".
    """
    header, segments, end = _walk(data, at)
    checksum = _CHECKSUM_SEED
    for start, stop in segments:
        checksum ^= _xor(data[start:stop])
    if data[end - 1] != checksum:
        raise _bad("does not match its checksum", "checksum")
    if not header.has_digest:
        raise _bad("carries no SHA-256", "digest")
    if hashlib.sha256(data[at:end]).digest() != data[end : end + _DIGEST_BYTES]:
        raise _bad("does not match its SHA-256", "digest")
    flash_bytes = _MEGABYTE << header.flash.size
    length = end + _DIGEST_BYTES - at
    return Header(header.chip_id, header.segments, header.entry, flash_bytes, length)


def layout(image: EspImage, flash_bytes: int = 4 * _MEGABYTE) -> tuple[Partition, ...]:
    """Return the partitions of a board with this image: the vault among them.

    An app's partition that reaches into the vault's place is cut if the app itself does not.
    Raises ImageError (code "table") if there is no room.
    """
    parts = list(image.partitions)
    first = next(at for at, part in enumerate(parts) if part.type == APP)
    if parts[first].end > VAULT.address >= parts[first].address + image.app_bytes:
        parts[first] = replace(parts[first], size=VAULT.address - parts[first].address)
    return partition_table.with_vault(parts, flash_bytes)


def with_vault(image: EspImage, flash_bytes: int = 4 * _MEGABYTE) -> bytes:
    """Return the content for a board with so much flash: the vault added to the table.

    If the bootloader assumes another size of flash, its header and digest are made anew too: it
    refuses a table beyond that size, and the app one beyond the chip's. Nothing else differs.
    Raises ImageError (code "table") if there is no room.
    """
    if image.flash_offset + len(image.content) > VAULT.address:
        raise _bad("reaches into the vault", "table")
    table = partition_table.build(layout(image, flash_bytes))
    at = ADDRESS - image.flash_offset
    content = image.content[:at] + table + image.content[at + TABLE_BYTES :]
    return content if flash_bytes == image.flash_bytes else _for_flash(content, flash_bytes)


def _for_flash(content: bytes, flash_bytes: int) -> bytes:
    """Return the content with another size of flash in the bootloader's header."""
    size = (flash_bytes // _MEGABYTE).bit_length() - 1
    if flash_bytes != _MEGABYTE << size or size > 7:
        raise _bad(f"cannot be made for a flash of {flash_bytes} bytes", "table")
    changed = bytearray(content)
    changed[_SIZE_AT] = size << 4 | content[_SIZE_AT] & 0x0F
    end = image_bytes(content) - _DIGEST_BYTES
    changed[end : end + _DIGEST_BYTES] = hashlib.sha256(changed[:end]).digest()
    return bytes(changed)


def _check_app(content: bytes, chip: Chip, partitions: tuple[Partition, ...]) -> tuple[int, Header]:
    """Return where in `content` the app begins, and its header."""
    place = next((p for p in partitions if p.type == APP), None)
    if place is None:
        raise _bad("has a partition table without an app", "table")
    at = place.address - chip.image_offset
    app = check_image(content, at)
    if app.chip_id != chip.image_id:
        raise _bad(f"has a bootloader for {chip.title} and an app for another chip", "chip")
    if app.length > place.size:
        raise _bad("has an app that is longer than its partition", "table")
    return at, app


def _walk(data: bytes, at: int) -> tuple[Any, list[tuple[int, int]], int]:
    """Return header, the bounds of each segment's data, and the end of the checksum byte."""
    if data[at : at + 1] not in (_MAGIC, b""):
        raise _bad("is not one for an ESP32", "not_image")
    header, place = _parse(_HEADER, data, at), at + _HEADER.sizeof()
    segments: list[tuple[int, int]] = []
    for _ in range(header.segments):
        start = place + _SEGMENT.sizeof()
        place = start + int(_parse(_SEGMENT, data, place).length)
        segments.append((start, place))
    end = at + (place - at) // _ALIGNMENT * _ALIGNMENT + _ALIGNMENT
    if end + (_DIGEST_BYTES if header.has_digest else 0) > len(data):
        raise _bad("is cut short", "truncated")
    return header, segments, end


def _parse(structure: Any, data: bytes, at: int) -> Any:
    raw = data[at : at + structure.sizeof()]
    if len(raw) < structure.sizeof():
        raise _bad("is cut short", "truncated")
    try:
        return structure.parse(raw)
    except ConstructError:
        raise _bad("has a header that no chip would take", "not_image") from None


def _xor(data: bytes) -> int:
    """Return all bytes xored together, folding halves: a loop over megabytes is slow."""
    while len(data) > 1:
        half = (len(data) + 1) // 2
        folded = int.from_bytes(data[:half], "little") ^ int.from_bytes(data[half:], "little")
        data = folded.to_bytes(half, "little")
    return data[0] if data else 0


def _bad(what: str, code: str) -> ImageError:
    return ImageError(
        f"The image {what}.",
        "Take the file ESP32_...-vX.Y.Z.bin for this chip from micropython.org, and no other kind.",
        code=code,
    )
