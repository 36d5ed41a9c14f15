"""Which file of micropython.org is which image, and which checksum it must have.

Two lock files of one form, TOML with a table `image` per file: the one that Fanal ships, and one
in the folder of the images, where checksums go that this computer has come to know.
"""

import json
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

from fanal.error import IntegrityError
from fanal.keyring import write_private

LOCK_FILE = "images.lock"

_SHIPPED = Path(__file__).with_name(LOCK_FILE)
_HEAD = (
    "# Checksums that `fanal image get` was told, or saw first. Keep this file with the images.\n"
)
_FORMS = {
    "board": r"[A-Z0-9_]{1,64}",
    "version": r"[\w.+-]{1,64}",
    "file": r"[A-Za-z0-9_][\w.+-]{0,150}\.bin",
    "sha256": r"[0-9a-f]{64}|",
}


@dataclass(frozen=True)
class Pin:
    """One image. board: as micropython.org names it. sha256: 64 hex digits, "" if not known.

    Raises ValueError or TypeError for what no such file is called.
    """

    board: str
    version: str
    file: str
    sha256: str = ""

    def __post_init__(self) -> None:
        for name, form in _FORMS.items():
            if not re.fullmatch(form, getattr(self, name), re.ASCII):
                raise ValueError(name)


class ImageLock:
    """The pins of a folder of images, before those that Fanal ships."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / LOCK_FILE

    def find(self, board: str, version: str) -> Pin | None:
        """Return what is known of an image, with its checksum if anybody knows it."""
        found = [pin for pin in self._all() if (pin.board, pin.version) == (board, version)]
        return next((pin for pin in found if pin.sha256), found[0] if found else None)

    def keep(self, pin: Pin) -> None:
        """Write a pin into the folder's own lock file; where one is known it stays.

        Raises IntegrityError (code "pin") if another checksum is known for that image.
        """
        known = self.find(pin.board, pin.version)
        if known is not None and known.sha256:
            if known.sha256 != pin.sha256:
                raise other_checksum(known)
            return
        text = _HEAD + "".join(_entry(p) for p in [*_read(self.path), pin])
        write_private(self.path, text.encode())

    def _all(self) -> list[Pin]:
        return _read(self.path) + _read(_SHIPPED)


def other_checksum(pin: Pin) -> IntegrityError:
    """Return the error for a file that is not the one it has to be."""
    return IntegrityError(
        f"{pin.file} does not have the SHA-256 that it must have; it was not stored.",
        "Do not use what this server sends before you know why. Another one: --from URL.",
        code="pin",
    )


def checksum(text: str) -> str:
    """Return a SHA-256 as 64 lower-case hex digits, or raise ValueError."""
    value = text.strip().lower()
    if not re.fullmatch(r"[0-9a-f]{64}", value):
        raise ValueError("not a SHA-256 in hexadecimal")
    return value


def _entry(pin: Pin) -> str:
    # a JSON string of these characters is a TOML string
    return "\n[[image]]\n" + "".join(f"{k} = {json.dumps(v)}\n" for k, v in vars(pin).items() if v)


def _read(path: Path) -> list[Pin]:
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8")).get("image", [])
        return [Pin(**entry) for entry in entries]
    except FileNotFoundError:
        return []
    except (ValueError, TypeError, AttributeError):  # TOML's own error is a ValueError
        raise IntegrityError(
            f"{path} is damaged.",
            "Take it from your backup, or put it right by hand.",
            code="damaged",
        ) from None
