"""What an app for ESP32 says of itself: the descriptor that ESP-IDF puts at its start.

Official MicroPython images leave version and project in it empty; the version of MicroPython is
then found where the app has the text of its banner. Pure: no file, no device.
"""

import re
from dataclasses import dataclass

from construct import Byte, Bytes, Const, ConstructError, Int16ul, Int32ul, Padding, Struct

from fanal.partition_table import ImageError

_AT = 0x20  # behind the headers of the image and of its first segment

# esp_app_desc_t of ESP-IDF, 256 bytes, little-endian; texts end with a zero
_DESCRIPTOR = Struct(
    "magic" / Const(0xABCD5432, Int32ul),
    "secure_version" / Int32ul,
    Padding(8),
    "version" / Bytes(32),
    "project" / Bytes(32),
    "time" / Bytes(16),
    "date" / Bytes(16),
    "idf" / Bytes(32),
    "elf_sha256" / Bytes(32),
    "least_efuse_revision" / Int16ul,
    "most_efuse_revision" / Int16ul,
    "mmu_page_log2" / Byte,
    Padding(75),
)
APP_INFO_BYTES = _AT + _DESCRIPTOR.sizeof()  # from the first byte of an app

_BANNER = re.compile(rb"MicroPython (v\d[\w.+-]{0,40}) on \d{4}-\d\d-\d\d")
_VERSION = re.compile(r"v?(\d+\.\d+(?:\.\d+)?(?:-[\w.+-]+)?)")


@dataclass(frozen=True)
class AppInfo:
    """The descriptor. built: date and time as the compiler wrote them. elf_sha256: 64 hex digits.

    version and project are empty in official MicroPython images; the digest tells builds apart.
    """

    version: str
    project: str
    built: str
    idf: str
    elf_sha256: str


def read_app_info(data: bytes, at: int = 0) -> AppInfo:
    """Return the descriptor of the app that begins at `at`, of which APP_INFO_BYTES are enough.

    Raises ImageError (code "descriptor").
    """
    try:
        found = _DESCRIPTOR.parse(data[at + _AT : at + APP_INFO_BYTES])
        texts = (found.version, found.project, found.date, found.time, found.idf)
        version, project, date, time, idf = (_text(raw) for raw in texts)
    except (ConstructError, UnicodeDecodeError):
        raise _bad("has no app descriptor") from None
    return AppInfo(version, project, f"{date} {time}".strip(), idf, found.elf_sha256.hex())


def micropython_version(info: AppInfo, app: bytes) -> str:
    """Return the version of MicroPython in an app, "1.28.0". info: its descriptor.

    The banner goes first, since that is what a running board reports; the descriptor's version
    may be that of a project around MicroPython. Raises ImageError (code "descriptor").
    """
    banner = _BANNER.search(app)
    said = banner[1].decode("ascii") if banner else info.version
    version = _VERSION.fullmatch(said)
    if version is None:
        raise _bad("does not say which MicroPython it is")
    return version[1]


def _text(raw: bytes) -> str:
    return raw.partition(b"\0")[0].decode("ascii")


def _bad(what: str) -> ImageError:
    return ImageError(
        f"The image {what}.",
        "Take the file ESP32_...-vX.Y.Z.bin for this chip from micropython.org.",
        code="descriptor",
    )
