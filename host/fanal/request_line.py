"""What a computer asks an officer for: one line with its two public keys, and letters to compare.

    PREFIX:RECIPIENT:KEY:FINGERPRINT

RECIPIENT is the "age1..." key that the answer is sealed to, KEY an Ed25519 key (64 hex digits) that
the fleet certifies. Nothing in it is secret, but whoever could put another line in its place would
be sent the secrets of the answer: so people compare the fingerprint, by telephone.
"""

import re
from dataclasses import dataclass
from typing import ClassVar, Self

from fanal.error import UsageError
from fanal.short_name import short_name

# 80 bits: who wants to be sent the answer can try many keys of his own until the letters fit
LETTERS = 16

_LINE = re.compile(r"([a-z-]+):(age1[02-9ac-hj-np-z]{58}):([0-9a-f]{64}):([0-9A-Z-]+)")
_LONGEST = 1024


@dataclass(frozen=True)
class RequestLine:
    """A computer's public keys. recipient: "age1..."; key: Ed25519, 32 bytes.

    Of a subclass: whose the line is ("hub", "station"), and what prints it where.
    """

    recipient: str
    key: bytes

    WHOSE: ClassVar[str]
    PRINTED: ClassVar[str]

    @classmethod
    def prefix(cls) -> str:
        """How such a line begins."""
        return f"fanal-{cls.WHOSE}"

    @property
    def fingerprint(self) -> str:
        """16 letters to compare: the first 80 bits of SHA-256 in Crockford's base32."""
        said = f"{self.recipient} {self.key.hex()}"
        context = f"fanal/1 {self.WHOSE} request "
        return short_name(context.encode("ascii"), said.encode("ascii"), LETTERS)

    @property
    def line(self) -> str:
        """The one line that goes to the officer."""
        return f"{self.prefix()}:{self.recipient}:{self.key.hex()}:{self.fingerprint}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the request in `text`; white space around and within it is ignored.

        A mail may have broken the line. Raises UsageError, whose sentence quotes nothing.
        """
        code = f"{cls.WHOSE}_request"
        found = _LINE.fullmatch("".join(text.split())) if len(text) <= _LONGEST else None
        if found is None or found[1] != cls.prefix():
            raise UsageError(
                f"That is not the line of a {cls.WHOSE}.",
                f"{cls.PRINTED}; it begins with {cls.prefix()}:age1.",
                code=code,
            )
        request = cls(found[2], bytes.fromhex(found[3]))
        if found[4] != request.fingerprint:
            raise UsageError(
                f"The line of the {cls.WHOSE} is damaged.", "Copy it once more, whole.", code=code
            )
        return request
