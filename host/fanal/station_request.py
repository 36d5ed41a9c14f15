"""What a laptop asks its officer for, see `request_line`: to be a station."""

from dataclasses import dataclass
from typing import ClassVar

from fanal.request_line import RequestLine


@dataclass(frozen=True)
class Request(RequestLine):
    """A laptop's public keys: what its root is sealed to, and its signing key."""

    WHOSE: ClassVar[str] = "station"
    PRINTED: ClassVar[str] = "`fanal station request` prints it at the laptop"

    @property
    def signing_key(self) -> bytes:
        """The key that the fleet certifies: Ed25519, 32 bytes."""
        return self.key


PREFIX = Request.prefix()
parse = Request.parse
