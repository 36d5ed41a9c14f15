"""What a laptop asks its officer for: one line with its two public keys, and letters to compare.

    fanal-station:RECIPIENT:SIGNING KEY:FINGERPRINT

RECIPIENT is the "age1..." key that the answer is sealed to, SIGNING KEY the Ed25519 key (64 hex
digits) that the fleet certifies. Nothing in it is secret, but whoever could put another line in its
place would be sent a station's root: so people compare the fingerprint, by telephone.
"""

import re
from dataclasses import dataclass

from fanal.error import UsageError
from fanal.short_name import short_name

PREFIX = "fanal-station"
_LINE = re.compile(rf"{PREFIX}:(age1[02-9ac-hj-np-z]{{58}}):([0-9a-f]{{64}}):([0-9A-Z-]+)")
_LONGEST = 1024
# 80 bits: who wants to be sent the root can try many keys of his own until the letters fit
LETTERS = 16


@dataclass(frozen=True)
class Request:
    """A laptop's public keys. recipient: "age1..."; signing_key: Ed25519, 32 bytes."""

    recipient: str
    signing_key: bytes

    @property
    def fingerprint(self) -> str:
        """16 letters to compare."""
        said = f"{self.recipient} {self.signing_key.hex()}"
        return short_name(b"fanal/1 station request ", said.encode("ascii"), LETTERS)

    @property
    def line(self) -> str:
        """The one line that goes to the officer."""
        return f"{PREFIX}:{self.recipient}:{self.signing_key.hex()}:{self.fingerprint}"


def parse(text: str) -> Request:
    """Return the request in `text`; white space around and within it is ignored.

    A mail may have broken the line. Raises UsageError, whose sentence quotes nothing.
    """
    found = _LINE.fullmatch("".join(text.split())) if len(text) <= _LONGEST else None
    if found is None:
        raise UsageError(
            "That is not the line of a station.",
            f"`fanal station request` prints it at the laptop; it begins with {PREFIX}:age1.",
            code="station_request",
        )
    request = Request(found[1], bytes.fromhex(found[2]))
    if found[3] != request.fingerprint:
        raise UsageError(
            "The line of the station is damaged.", "Copy it once more, whole.",
            code="station_request",
        )  # fmt: skip
    return request
