"""The fields of a payload and what can be said of each without a key. SPEC 2.1 to 2.3."""

from collections.abc import Iterator
from dataclasses import dataclass

from fanal import layout

_MEANINGS = {
    "rid": "rotating identifier",
    "ciphertext": "status, battery, crumbs, phase",
    "tag": "only the event's key makes it",
    "chunk": "of the veiled signature",
    "check": "only the event's key makes it",
    "x": "index of the crumb, veiled",
    "v": "the crumb, sealed and veiled",
}
_WRONG_FIELD = {"version": "hdr", "type": "hdr", "reserved": "hdr", "seq": "q", "page": "page"}


@dataclass(frozen=True, slots=True)
class Field:
    """One field as it came. offset: from the first byte given. is_wrong: it is why we refuse."""

    offset: int
    data: bytes
    name: str
    meaning: str
    is_wrong: bool = False


def payload_fields(data: bytes, offset: int, reason: str) -> Iterator[Field]:
    """Explain a payload as far as it goes, field by field; at least one, in order, without gaps.

    data: any bytes. offset: of its first byte in the packet. reason: why a receiver refuses the
    payload, "" if it does not; the field that is to blame is marked.
    """
    if not data:
        yield Field(offset, b"", "payload", "missing", True)
        return
    header = layout.ANY_HEADER.parse(data[:1])
    form = layout.FRAMES.get(header.type) if header.version == layout.VERSION else None
    if form is None:
        yield Field(offset, data[:1], "hdr", _meaning("hdr", data[:1]), reason in _WRONG_FIELD)
        if data[1:]:
            yield Field(offset + 1, data[1:], "rest", "not known in version 1")
        return
    at = 0
    for part in form.subcons:
        size = part.sizeof()
        piece = data[at : at + size]
        if len(piece) < size:
            meaning = f"cut short: {len(piece)} of {size} bytes" if piece else "missing"
            yield Field(offset + at, piece, part.name, meaning, True)
            return
        is_wrong = _WRONG_FIELD.get(reason) == part.name
        yield Field(offset + at, piece, part.name, _meaning(part.name, piece), is_wrong)
        at += size
    if data[at:]:
        meaning = f"{len(data) - at} too many: this frame has {at} bytes"
        yield Field(offset + at, data[at:], "rest", meaning, True)


def _meaning(name: str, piece: bytes) -> str:
    """Say what a whole field of a frame means. name: as `layout` calls it."""
    value = int.from_bytes(piece, "big")
    match name:
        case "hdr":
            header = layout.ANY_HEADER.parse(piece)
            kind = layout.FRAME_NAMES.get(header.type, "reserved")
            if header.version != layout.VERSION:
                return f"version {header.version}; only 1 is known"
            return f"version 1, type {header.type} ({kind}), reserved {header.reserved}"
        case "q":
            return f"{value}: sequence + mask mod 450"
        case "page":
            content = "of the signature" if value < 3 else "of parity"
            return f"page {value} {content}" if value < 12 else f"page {value}, and 11 is the last"
        case _:
            return _MEANINGS[name]
