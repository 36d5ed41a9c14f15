"""MicroPython images on this computer: a folder, so that flashing needs no network.

A file is named CHIP-micropython-VERSION-SHA8.bin after what was found in it; SHA8 is the start
of its SHA-256. Only whole, checked images get such a name, and one is checked again whenever it
is used.
"""

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from fanal import esp_image
from fanal.chips import CHIPS, Chip
from fanal.error import EnvironmentFault, IntegrityError
from fanal.esp_image import EspImage, ImageError
from fanal.firmware_image import MICROPYTHON
from fanal.keyring import write_private

MOST_BYTES = 8 << 20
FOLDER_VARIABLE = "FANAL_IMAGES"

_LEAST_FLASH = 4 << 20
_NAME = re.compile(
    r"(?P<chip>esp32\w{0,2})-micropython-(?P<version>[\w.+-]+)-(?P<sha8>[0-9a-f]{8})\.bin", re.ASCII
)


@dataclass(frozen=True)
class StoredImage:
    """An image in the store. sha256: of the file as it is now. is_damaged: not as it came."""

    path: Path
    chip: Chip
    version: str
    size: int
    sha256: str
    is_damaged: bool = False


def default_folder() -> Path:
    """Return FANAL_IMAGES, or `images` in the user's data folder."""
    import platformdirs

    if from_environment := os.environ.get(FOLDER_VARIABLE):
        return Path(from_environment)
    return Path(platformdirs.user_data_dir("fanal", appauthor=False)) / "images"


class ImageStore:
    """The images in a folder, which need not exist yet."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or default_folder()

    def add(self, path: Path) -> StoredImage:
        """Check an image file and keep a copy; the same file again changes nothing.

        Raises as `read_image` does.
        """
        return self.keep(read_image(path))

    def list(self) -> tuple[StoredImage, ...]:
        """Return all images, by chip and version; damaged ones too, marked."""
        if not self.folder.is_dir():
            return ()
        paths = sorted(self.folder.iterdir())
        return tuple(stored for path in paths if (stored := _stored(path)) is not None)

    def for_chip(self, chip: Chip, version: str = MICROPYTHON) -> EspImage:
        """Return the one image for a chip, checked.

        Raises EnvironmentFault (code "no_image", "several_images"), IntegrityError ("damaged").
        """
        found = [i for i in self.list() if (i.chip, i.version) == (chip, version)]
        if not found:
            raise EnvironmentFault(
                f"There is no image of MicroPython {version} for {chip.title} on this computer.",
                f"Run `fanal image get --chip {chip.name} --pin`, or `fanal image add FILE`.",
                code="no_image",
            )
        if len(found) > 1:
            names = ", ".join(image.path.name for image in found)
            raise EnvironmentFault(
                f"MicroPython {version} for {chip.title} is there {len(found)} times: {names}.",
                f"Delete those that you do not want from {self.folder}.",
                code="several_images",
            )
        return _opened(found[0])

    def find(self, sha256: str) -> EspImage | None:
        """Return the image of that checksum if it is here and as it came."""
        found = [i for i in self.list() if i.sha256 == sha256 and not i.is_damaged]
        return _opened(found[0]) if found else None

    def keep(self, image: EspImage) -> StoredImage:
        """Store a checked image whole, or leave it as it is if it is there."""
        name = f"{image.chip.name}-micropython-{image.version}-{image.sha256[:8]}.bin"
        path = self.folder / name
        self.folder.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_bytes() != image.content:
            write_private(path, image.content)
        return StoredImage(path, image.chip, image.version, len(image.content), image.sha256)


def read_image(path: Path) -> EspImage:
    """Return the image in a file if a beacon can run it.

    Raises ImageError with the reason, EnvironmentFault if the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as problem:
        raise EnvironmentFault(
            f"{path} cannot be read: {problem.strerror}.", "Check its name.", code="unreadable"
        ) from None
    return checked(content)


def checked(content: bytes) -> EspImage:
    """Return the image in `content` if a beacon can run it and has room for its vault.

    Raises ImageError.
    """
    if len(content) > MOST_BYTES:
        raise ImageError(
            "The file is larger than any image of MicroPython.",
            "Take the file ESP32_...-vX.Y.Z.bin from micropython.org.",
            code="not_image",
        )
    image = esp_image.read(content)
    if not image.chip.supported:
        raise unsupported(image.chip)
    esp_image.with_vault(image, max(image.flash_bytes, _LEAST_FLASH))
    return image


def _stored(path: Path) -> StoredImage | None:
    """Return what a file of the folder is, or None if it is no image of ours."""
    named = _NAME.fullmatch(path.name)
    if named is None or named["chip"] not in CHIPS or not path.is_file():
        return None
    content = path.read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    is_damaged = sha256[:8] != named["sha8"]
    return StoredImage(
        path, CHIPS[named["chip"]], named["version"], len(content), sha256, is_damaged
    )


def _opened(stored: StoredImage) -> EspImage:
    content = stored.path.read_bytes()
    try:
        if hashlib.sha256(content).hexdigest() != stored.sha256 or stored.is_damaged:
            raise _damaged(stored)
        image = checked(content)
        if (image.chip, image.version) != (stored.chip, stored.version):
            raise _damaged(stored)
    except ImageError:
        raise _damaged(stored) from None
    return image


def _damaged(stored: StoredImage) -> IntegrityError:
    return IntegrityError(
        f"{stored.path} is damaged.",
        f"Delete it, then run `fanal image get --chip {stored.chip.name}` or"
        " `fanal image add FILE` again.",
        code="damaged",
    )


def unsupported(chip: Chip) -> ImageError:
    """Return the error for a chip that the firmware has no pins for."""
    return ImageError(
        f"Fanal's firmware does not run on {chip.title}.",
        f"It runs on {', '.join(c.title for c in CHIPS.values() if c.supported)}.",
        code="chip",
    )
