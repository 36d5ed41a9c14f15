"""What a log answers: frozen, and no secret in it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Leaf:
    """One entry as it is in the file. content: canonical JSON; hash: 32 bytes, as kept."""

    number: int
    content: bytes
    hash: bytes


@dataclass(frozen=True)
class Stamp:
    """A timestamp of the checkpoint of that origin and size.

    authority: the URL that gave it. token: a whole RFC 3161 response, DER.
    """

    origin: str
    size: int
    authority: str
    token: bytes
