"""The key of one listener: made at its first run, and what an officer enrols it by.

It signs what was heard, inside the seal. It opens nothing: whoever takes it can speak in the name
of this listener, and read nothing that this listener ever heard.
"""

import hashlib
import hmac
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from fanal.error import IntegrityError
from fanal.keyring import write_private
from fanal.short_name import short_name

KEY_FILE = "listener.key"

_BOOT_DIGITS = 16


def name_of(public_key: bytes) -> str:
    """Return the name of a listener, eight letters, by its Ed25519 public key of 32 bytes."""
    return short_name(b"fanal/1 listener", public_key)


@dataclass(frozen=True)
class ListenerKey:
    """An Ed25519 key, PKCS #8 in a file of mode 0600; its repr shows the name only."""

    private: Ed25519PrivateKey

    def __repr__(self) -> str:
        return f"ListenerKey({self.name!r})"

    @classmethod
    def in_folder(cls, folder: Path) -> Self:
        """Return the key that is in `folder`, or make it. Raises IntegrityError, OSError."""
        path = folder / KEY_FILE
        try:
            text = path.read_bytes()
        except FileNotFoundError:
            made = cls(Ed25519PrivateKey.generate())
            pem = made.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            write_private(path, pem)
            return made
        try:
            private = load_pem_private_key(text, None)
        except (ValueError, TypeError):
            private = None
        if not isinstance(private, Ed25519PrivateKey):
            raise IntegrityError(
                f"{path} is damaged.",
                "Take it from a backup, or remove it: then this listener gets another name, and"
                " the NGO has to enrol it again.",
                code="damaged",
            )
        return cls(private)

    @property
    def public(self) -> bytes:
        """The public half, 32 bytes."""
        return self.private.public_key().public_bytes_raw()

    @property
    def name(self) -> str:
        """Eight letters for the officer who enrols it."""
        return name_of(self.public)

    def boot(self, system_boot: str) -> str:
        """Return 16 hex digits for one boot of this computer, of no use to compare computers by.

        system_boot: what the system calls this boot. The same in each run of the program, so that
        what waited through a restart of it is still timed by the steady clock.
        """
        context = b"fanal/1 boot" + system_boot.encode()
        return hmac.digest(self.private.private_bytes_raw(), context, hashlib.sha256).hex()[
            :_BOOT_DIGITS
        ]
