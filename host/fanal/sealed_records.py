"""Exported records, sealed for the way to the office: they say which beacon is where.

They are an age file to a key that follows from the fleet's root: KDF(F, "fanal/1 records", 32), an
X25519 key. So whatever opens the officer's secrets opens them, the passphrase or the key of any
officer, and that stays so when an officer is removed or the fleet is restored, which give its
folder another identity. A laptop gets the public half in its station file, which the fleet's
signing key signs for.
"""

import io
from typing import Any

import pyrage  # type: ignore[import-untyped]
from fanal_protocol.crypto import kdf

from fanal import age_file, registry_copy
from fanal.age_key import secret_text
from fanal.error import IntegrityError, UsageError

SUFFIX = ".fanal.age"

_CONTEXT = b"fanal/1 records"


def recipient(root: bytes) -> str:
    """Return what records of a fleet are sealed to, "age1...". root: the fleet's F, 32 bytes."""
    return str(_identity(root).to_public())


def seal(records: bytes, to: str) -> bytes:
    """Return an exported registry as only the fleet's officer can read it. to: `recipient`."""
    return age_file.seal(records, age_file.recipient(to))


def opened(sealed: bytes, root: bytes, most: int = registry_copy.MOST_BYTES) -> bytes:
    """Return the exported registry in a sealed file, untrusted.

    It is given up as soon as it cannot be one, or is larger than `most` bytes. Raises
    IntegrityError (sealed to another fleet, damaged, something else), UsageError (too large).
    """
    found = _Bounded(most)
    try:
        pyrage.decrypt_io(io.BytesIO(sealed), found, [_identity(root)])
    except pyrage.DecryptError:
        raise IntegrityError(
            "The file is not sealed to this fleet, or it is damaged.",
            "Check --fleet, and from which fleet's station the file is.",
            code="not_for_us",
        ) from None
    except OSError:  # what it says of all that comes after the header
        raise IntegrityError(
            "The sealed file is cut off or damaged; nothing was changed.",
            "Take it once more from where it came, or let the station export again.",
            code="damaged",
        ) from None
    records = found.getvalue()
    registry_copy.require_beginning(records)  # an empty one too
    return records


class _Bounded(io.BytesIO):
    """Takes what is opened, as long as it may be an exported registry."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def write(self, part: Any, /) -> int:
        """Take a part. Raises IntegrityError, UsageError."""
        if not self.tell():
            registry_copy.require_beginning(part)
        if self.tell() + len(part) > self._most:
            raise UsageError(
                "What is sealed in the file is too large to be an exported registry.",
                "Look at which file it is.",
            )
        return super().write(part)


def _identity(root: bytes) -> Any:
    return pyrage.x25519.Identity.from_str(secret_text(kdf(root, _CONTEXT, 32)))
