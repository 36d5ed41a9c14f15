"""What flashing is told, and what it answers; which image a board gets, which boards get none."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from fanal import partition_table
from fanal.chips import Chip
from fanal.error import DeviceError
from fanal.esp_image import EspImage
from fanal.esptool_run import DEFAULT_BAUD
from fanal.firmware_image import MICROPYTHON
from fanal.partition_table import VAULT, ImageError, Partition


class Images(Protocol):
    """Where images come from: an ImageStore, or one file."""

    def for_chip(self, chip: Chip) -> EspImage:
        """Return the image for a chip. Raises FanalError if there is none."""


@dataclass(frozen=True)
class OneImage:
    """The images of somebody who insists on one. A chip that it is not for is refused."""

    image: EspImage

    def for_chip(self, _: Chip) -> EspImage:
        """Return it."""
        return self.image


@dataclass(frozen=True)
class Plan:
    """How a board is to be flashed.

    again: write the image even if it is there, and format the file system (not the vault).
    disturb: also a beacon that is in an event.
    """

    baud: int = DEFAULT_BAUD
    again: bool = False
    disturb: bool = False


@dataclass(frozen=True)
class Flashed:
    """A board that runs this release. mac: "aa:bb:cc:dd:ee:ff".

    beacon_id: None without an identity. image_written: False if the image was right. written,
    removed: files of the firmware. formatted: its file system was made anew, so that its settings
    are gone.
    """

    mac: str
    chip: str
    micropython: str
    image_sha256: str
    firmware: str
    beacon_id: str | None
    image_written: bool
    written: tuple[str, ...]
    removed: tuple[str, ...]
    formatted: bool = False

    @property
    def changed(self) -> bool:
        """Whether anything was not as it should be."""
        return self.image_written or bool(self.written or self.removed)


@dataclass
class Progress:
    """What is told on the way. step: what begins now; share: how much of it is done, 0 to 1.

    known: called with MAC address, chip and, of a board that runs and holds an event key, beacon id
    (else None), before anything is written; it may raise FanalError.
    """

    step: Callable[[str], None] = lambda _: None
    share: Callable[[float], None] = lambda _: None
    known: Callable[[str, str, str | None], None] = lambda *_: None


def image_for(chip: Chip, images: Images) -> EspImage:
    """Return the image for a chip. Raises DeviceError before anything is erased."""
    if not chip.supported:
        raise DeviceError(
            f"There is no Fanal for the {chip.title}; nothing was changed.",
            "Use an ESP32, ESP32-C3 or ESP32-S3.",
            code="unsupported",
        )
    image = images.for_chip(chip)
    if image.chip != chip:
        raise DeviceError(
            f"The board has an {chip.title}, and the image is for an {image.chip.title};"
            " nothing was changed.",
            "Run the command without --image: it takes the right one.",
            code="wrong_chip",
        )
    if _release(image.version) != _release(MICROPYTHON):
        raise DeviceError(
            f"The image is MicroPython {image.version}, and this release of Fanal was made for"
            f" {MICROPYTHON}; nothing was changed.",
            f"Take an image of {MICROPYTHON}, or the release of Fanal that goes with yours.",
            code="version",
        )
    return image


def require_place_for_vault(table: bytes) -> bool:
    """Return whether a board has a partition table at all. table: what it has now.

    Raises DeviceError for a board whose vault is somewhere else: it holds keys.
    """
    partitions = _readable(table)
    for partition in partitions:
        if partition.label == VAULT.label and partition != VAULT:
            raise DeviceError(
                "This board keeps its keys at another place than this release does.",
                "Retire it with the release that made it, then flash it.",
                code="layout",
            )
    return bool(partitions)


def _readable(table: bytes) -> tuple[Partition, ...]:
    try:
        return partition_table.parse(table)
    except ImageError:
        return ()


def _release(version: str) -> list[str]:
    return version.split(".")[:2]
