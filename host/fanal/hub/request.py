"""What a hub asks its officer for, see `request_line`: to be enrolled."""

from dataclasses import dataclass
from typing import ClassVar

from fanal.request_line import RequestLine


@dataclass(frozen=True)
class Request(RequestLine):
    """A hub's public keys: what the enrolment is sealed to, and its log key."""

    WHOSE: ClassVar[str] = "hub"
    PRINTED: ClassVar[str] = "`fanal hub init` prints it at the hub"

    @property
    def log_key(self) -> bytes:
        """The key that the officer certifies: Ed25519, 32 bytes."""
        return self.key


parse = Request.parse
