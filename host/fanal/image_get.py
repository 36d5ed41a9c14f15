"""Download an official image into the store: only over HTTPS, only the file that was pinned."""

import hashlib
import ssl
from collections.abc import Callable
from urllib.parse import urlsplit

from fanal import image_download
from fanal.chips import Chip
from fanal.error import FanalError, IntegrityError, UsageError
from fanal.esp_image import EspImage, ImageError
from fanal.firmware_image import MICROPYTHON
from fanal.image_lock import ImageLock, Pin, other_checksum
from fanal.image_store import MOST_BYTES, ImageStore, StoredImage, checked, unsupported

# chip -> what micropython.org calls the build for any board with it
BOARDS = {"esp32": "ESP32_GENERIC", "esp32c3": "ESP32_GENERIC_C3", "esp32s3": "ESP32_GENERIC_S3"}


def get(
    store: ImageStore,
    chip: Chip,
    version: str = MICROPYTHON,
    *,
    source: str = image_download.MICROPYTHON_ORG,
    sha256: str = "",
    pin: bool = False,
    context: ssl.SSLContext | None = None,
    on_progress: Callable[[int, int | None], None] | None = None,
) -> StoredImage:
    """Download the image for a chip into `store` and pin its checksum there.

    What is pinned and in the store already is not downloaded again. source: an https address, of
    the folder or, ending in .bin, of the file. sha256: that the file must have, 64 hex digits.
    pin: trust the first file that comes. Raises IntegrityError (code "not_pinned", "pin"),
    ImageError, FanalError (code "unknown_image"), and what `image_download.fetch` raises.
    """
    image_download.check_address(source)
    lock = ImageLock(store.folder)
    wanted = _wanted(lock, chip, version, source)
    expected = _expected(wanted, sha256, pin)
    image = store.find(expected)
    if image is None:
        url = source if _is_file(source) else f"{source.rstrip('/')}/{wanted.file}"
        content = image_download.fetch(url, MOST_BYTES, context=context, on_progress=on_progress)
        if expected and hashlib.sha256(content).hexdigest() != expected:
            raise other_checksum(wanted)
        image = checked(content)
    _require(image, chip, version, wanted.file)
    stored = store.keep(image)
    lock.keep(Pin(wanted.board, version, wanted.file, image.sha256))
    return stored


def _wanted(lock: ImageLock, chip: Chip, version: str, source: str) -> Pin:
    """Return the file for a chip, with its checksum if that is known."""
    if chip.name not in BOARDS:
        raise unsupported(chip)
    board = BOARDS[chip.name]
    known = lock.find(board, version)
    if known is not None:
        return known
    if not _is_file(source):
        raise FanalError(
            f"What the file of MicroPython {version} for {board} is called is not known.",
            "Give its whole address with --from https://...bin, or download it yourself and use"
            " `fanal image add FILE`.",
            code="unknown_image",
        )
    try:
        return Pin(board, version, urlsplit(source).path.rsplit("/", 1)[1])
    except ValueError:
        raise UsageError(
            "The version, or the file's name at the end of the address, is none of MicroPython's.",
            "They look like 1.28.0 and ESP32_GENERIC-20260406-v1.28.0.bin.",
        ) from None


def _is_file(source: str) -> bool:
    return urlsplit(source).path.endswith(".bin")


def _expected(wanted: Pin, sha256: str, pin: bool) -> str:
    """Return the checksum that the file must have, "" if the first one is to be trusted."""
    if wanted.sha256 and sha256 and wanted.sha256 != sha256:
        raise IntegrityError(
            f"Another checksum than that of --sha256 is pinned for {wanted.file}.",
            "Find out which one is right before you use either file.",
            code="pin",
        )
    expected = wanted.sha256 or sha256
    if not expected and not pin:
        raise IntegrityError(
            f"No checksum of {wanted.file} is known, so nothing was downloaded.",
            "Give the right one with --sha256 HEX, or trust the first file that comes, and only"
            " that one from then on, with --pin.",
            code="not_pinned",
        )
    return expected


def _require(image: EspImage, chip: Chip, version: str, name: str) -> None:
    if image.chip != chip:
        what = f"for {image.chip.title}, not for {chip.title}"
    elif image.version != version:
        what = f"MicroPython {image.version}, not {version}"
    else:
        return
    raise ImageError(
        f"{name} is {what}; it was not stored.",
        "The server confuses its files: take another one with --from.",
        code="chip" if image.chip != chip else "version",
    )
