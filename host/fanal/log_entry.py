"""One entry of a log as bytes: canonical JSON, so that equal entries have equal hashes.

Keys sorted, no spaces, ASCII. `what` and `at_ms` (Unix milliseconds) are in each; `beacon` or
`station` says whose it is; `row` is what the registry says of it from then on; `custody` is the
number of the line in its history. `salt`, 16 random bytes in hex, is there because whoever gets one
entry with its proof also gets the hashes of its neighbours, and could guess short ones.
"""

import json
import secrets
from hashlib import sha256
from typing import Any

from fanal.error import IntegrityError

_SALT_BYTES = 16


def encode(fields: dict[str, Any]) -> bytes:
    """Return the bytes of a new entry, with a salt of its own."""
    return _canonical({**fields, "salt": secrets.token_hex(_SALT_BYTES)})


def decode(content: bytes) -> dict[str, Any]:
    """Return the fields of an entry. content: untrusted. Raises IntegrityError."""
    try:
        fields = json.loads(content)
        if isinstance(fields, dict) and _canonical(fields) == content and _is_entry(fields):
            return fields
    except (ValueError, RecursionError):
        pass
    raise IntegrityError(
        "An entry of the log is unreadable.",
        "`fanal log verify`, at a hub `fanal hub log verify`, says which.",
        code="log",
    )


def written_ms(content: bytes) -> int | None:
    """Return when an entry was written, by its own word, Unix ms; None if it cannot be read."""
    try:
        return int(decode(content)["at_ms"])
    except IntegrityError:
        return None


def digest(certificate: bytes | None) -> str | None:
    """Return how an entry tells a certificate: SHA-256 in hex."""
    return None if certificate is None else sha256(certificate).hexdigest()


def _canonical(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def _is_entry(fields: dict[str, Any]) -> bool:
    return (
        isinstance(fields.get("what"), str)
        and type(fields.get("at_ms")) is int
        and isinstance(fields.get("detail", ""), str)
        and isinstance(fields.get("row", {}), dict)
    )
