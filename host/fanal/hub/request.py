"""What a hub asks its officer for: one line with its two public keys, and letters to compare.

    fanal-hub:RECIPIENT:LOG KEY:FINGERPRINT

RECIPIENT is the "age1..." key that the enrolment is sealed to, LOG KEY the Ed25519 key (64 hex
digits) that the officer certifies. Nothing in it is secret, but whoever could put another line in
its place would be sent the keys of all future events: so people compare the fingerprint, by phone.
"""

import re
from dataclasses import dataclass

from fanal.error import UsageError
from fanal.short_name import short_name

_PREFIX = "fanal-hub"
_LINE = re.compile(rf"{_PREFIX}:(age1[02-9ac-hj-np-z]{{58}}):([0-9a-f]{{64}}):([0-9A-Z-]+)")
_LONGEST = 1024
# 80 bits: who wants to be sent the keys can try many keys of his own until the letters fit
_LETTERS = 16


@dataclass(frozen=True)
class Request:
    """A hub's public keys. recipient: "age1..."; log_key: Ed25519, 32 bytes."""

    recipient: str
    log_key: bytes

    @property
    def fingerprint(self) -> str:
        """16 letters to compare: the first 80 bits of SHA-256 in Crockford's base32."""
        said = f"{self.recipient} {self.log_key.hex()}"
        return short_name(b"fanal/1 hub request ", said.encode("ascii"), _LETTERS)

    @property
    def line(self) -> str:
        """The one line that goes to the officer."""
        return f"{_PREFIX}:{self.recipient}:{self.log_key.hex()}:{self.fingerprint}"


def parse(text: str) -> Request:
    """Return the request in `text`; white space around and within it is ignored.

    A mail may have broken the line. Raises UsageError, whose sentence quotes nothing.
    """
    found = _LINE.fullmatch("".join(text.split())) if len(text) <= _LONGEST else None
    if found is None:
        raise UsageError(
            "That is not the line of a hub.",
            f"`fanal hub init` prints it at the hub; it begins with {_PREFIX}:age1.",
            code="hub_request",
        )
    request = Request(found[1], bytes.fromhex(found[2]))
    if found[3] != request.fingerprint:
        raise UsageError(
            "The line of the hub is damaged.", "Copy it once more, whole.", code="hub_request"
        )
    return request
