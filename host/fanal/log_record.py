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


@dataclass(frozen=True)
class Finding:
    """Something that is not as it was. log: "" for this file's own one.

    entry: where, None if it cannot be told so closely. code: edited, missing, unreadable, nodes,
    cut, checkpoint, table, anchor, file.
    """

    code: str
    sentence: str
    log: str = ""
    entry: int | None = None


@dataclass(frozen=True)
class LogState:
    """One log. signed: how many of its entries a good checkpoint covers. root: 32 bytes.

    unsigned_since_ms: when the first of the others was written, by its own word; None if all are
    signed, or if it cannot be read.
    """

    log: str
    size: int
    root: bytes
    signed: int
    unsigned_since_ms: int | None = None


@dataclass(frozen=True)
class Verified:
    """The outcome: it is as it was if there are no findings. anchors: how many were checked."""

    logs: tuple[LogState, ...]
    findings: tuple[Finding, ...]
    remarks: tuple[str, ...]
    anchors: int
