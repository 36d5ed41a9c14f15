"""The chips there are: what an image says of them, where it lies, whether the firmware has pins."""

import re
from dataclasses import dataclass

from fanal.error import DeviceError


@dataclass(frozen=True)
class Chip:
    """One kind of chip.

    name: as Fanal writes it, "esp32c3". title: as people do, "ESP32-C3". image_id: the chip id in
    the header of an image. image_offset: where the bootloader lies in flash, which is also where
    the first byte of a combined image goes. supported: the firmware has a board profile for it.
    """

    name: str
    title: str
    image_id: int
    image_offset: int
    supported: bool


CHIPS = {
    chip.name: chip
    for chip in (
        Chip("esp32", "ESP32", 0, 0x1000, True),
        Chip("esp32s2", "ESP32-S2", 2, 0x1000, False),
        Chip("esp32c3", "ESP32-C3", 5, 0, True),
        Chip("esp32s3", "ESP32-S3", 9, 0, True),
        Chip("esp32c6", "ESP32-C6", 13, 0, False),
        Chip("esp32h2", "ESP32-H2", 16, 0, False),
    )
}

# Some packages have a name of their own. A letter may follow, but no digit: an ESP32-C61 is no C6.
_TITLES = (
    ("esp32c3", r"ESP32-C3|ESP8685|ESP8686"),
    ("esp32s2", r"ESP32-S2"),
    ("esp32s3", r"ESP32-S3"),
    ("esp32c6", r"ESP32-C6"),
    ("esp32h2", r"ESP32-H2"),
    ("esp32", r"ESP32(?=$| |-[DSU]\dWD|-PICO)"),
)


def by_title(title: str) -> Chip:
    """Return the chip that esptool calls `title`: "ESP32-C3 (QFN32) (revision v0.4)" or less.

    Raises DeviceError (code "chip") for one that is not in `CHIPS`.
    """
    text = title.strip().upper().removeprefix("UNKNOWN ")
    for name, pattern in _TITLES:
        if re.match(rf"(?:{pattern})(?!\d)", text):
            return CHIPS[name]
    raise DeviceError(
        f"Fanal does not know the chip {title.strip() or '(no name)'}.",
        f"It knows {', '.join(chip.title for chip in CHIPS.values())}.",
        code="chip",
    )


def shown(name: str) -> str:
    """Return a chip as people read it: "ESP32-C3" for "esp32c3" and "ESP32C3"."""
    chip = CHIPS.get(name.lower().replace("-", ""))
    return name if chip is None else chip.title


def by_image_id(image_id: int) -> Chip | None:
    """Return the chip whose images carry this id, or None."""
    return next((chip for chip in CHIPS.values() if chip.image_id == image_id), None)
