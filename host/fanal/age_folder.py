"""What the folder of a fleet and that of a hub have in common: a key that a passphrase opens, and
files sealed to it."""

from pathlib import Path
from typing import Any

import pyrage  # type: ignore[import-untyped]

from fanal import age_file
from fanal.error import FanalError, IntegrityError, damaged

KEY_FILE = "key.age"

_SCRYPT_HEADER = b"age-encryption.org/v1\n-> scrypt "


def sealed_key(identity: Any, passphrase: str) -> bytes:
    """Return the content of KEY_FILE: an X25519 identity, sealed by a passphrase."""
    sealed: bytes = pyrage.passphrase.encrypt(f"{identity}\n".encode(), passphrase)
    return sealed


def opened_key(path: Path, sealed: bytes, passphrase: str, whose: str) -> Any:
    """Return the X25519 identity in the content of the KEY_FILE at `path`.

    It costs about two seconds and 512 MB. whose: "fleet" or "hub". Raises IntegrityError, and
    EnvironmentFault if the age library finds this computer too slow for it.
    """
    if not sealed.startswith(_SCRYPT_HEADER):
        raise damaged(path)
    try:
        text = age_file.open_by_passphrase(sealed, passphrase).decode("ascii")
        return pyrage.x25519.Identity.from_str(text.strip())
    except pyrage.DecryptError:
        raise IntegrityError(
            f"The passphrase does not open this {whose}.",
            f"Try again; if you are sure of it, {KEY_FILE} is damaged: use your backup.",
            code="passphrase",
        ) from None
    except (pyrage.IdentityError, UnicodeDecodeError):
        raise damaged(path) from None


def newer(path: Path) -> FanalError:
    """Return the error for a file of a later release."""
    return FanalError(
        f"{path} was written by a newer Fanal.", "Update Fanal and try again.", 7, code="newer"
    )


def secret(text: object) -> bytes:
    """Return the 32 bytes that `text` says in hex. Raises ValueError, which quotes nothing."""
    if not isinstance(text, str):
        raise ValueError("not text")
    value = bytes.fromhex(text)
    if len(value) != 32:
        raise ValueError("length")
    return value
