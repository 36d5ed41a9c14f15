"""Explain a packet field by field, valid or not, without any key. SPEC 2 and 3.1.

The fields come from `layout`, the verdict from the receiver's own code.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from construct import ConstructError
from fanal_protocol import advert, frame
from fanal_protocol.error import Refused

from fanal import layout
from fanal.error import UsageError
from fanal.field import Field, payload_fields

ADVERTISING_DATA = "advertising data"
PAYLOAD = "payload"

_OUR_UUID = layout.SERVICE_UUID.to_bytes(2, "little")
_AD_LENGTH_MOST = 30  # legacy advertising data has 31 bytes; every payload starts higher
_AD_TYPES = {
    0x01: "flags",
    0x02: "service UUIDs, some",
    0x03: "service UUIDs, all",
    0x08: "shortened name",
    0x09: "complete name",
    0x0A: "transmit power",
    0x16: "service data",
    0xFF: "manufacturer data",
}
_WHY = {
    "version": "bits 7..5 of its first byte are not 1",
    "type": "bits 4..3 of its first byte are 3, no type yet",
    "reserved": "bits 2..0 of its first byte are not 0",
    "seq": "its masked sequence is not below 450",
    "page": "its page is not below 12",
}


@dataclass(frozen=True, slots=True)
class Explanation:
    """All that can be said of a packet without a key.

    form: ADVERTISING_DATA or PAYLOAD. frame: of `layout.FRAME_NAMES`, "" if it cannot be told.
    fields: in order, without gaps: joined, their data is the packet.
    reason: "" if a receiver would now look for the key, else the name of SPEC 3.1.
    verdict: a sentence or two for a person.
    """

    form: str
    frame: str
    fields: tuple[Field, ...]
    reason: str
    verdict: str


def decode(hex_text: str) -> Explanation:
    r"""Explain the packet that `hex_text` spells: whole advertising data or a bare payload.

    White space, `:`, `,`, `-`, `_` and a `0x` or `\x` before any byte are passed over.
    Raises UsageError if what is left is not hexadecimal in whole bytes.
    """
    data = _read_hex(hex_text)
    is_advert = _is_advert(data)
    reason = _reason(data, is_advert)
    fields = tuple(_advert_fields(data, reason) if is_advert else payload_fields(data, 0, reason))
    name = _frame_name(fields)
    return Explanation(
        form=ADVERTISING_DATA if is_advert else PAYLOAD,
        frame=name,
        fields=fields,
        reason=reason,
        verdict=_verdict(data, is_advert, reason, name),
    )


def _read_hex(text: str) -> bytes:
    digits = re.sub(r"\b0[xX]|\\x|[\s:,_-]", "", text)
    if stranger := re.search(r"[^0-9a-fA-F]", digits):
        raise UsageError(
            f"This is not hexadecimal: it contains {stranger.group()!r}.",
            "Give the bytes as 0-9 and a-f; spaces, colons and 0x may stand between them.",
        )
    if not digits:
        raise UsageError("There is no packet to explain.", "Give its bytes in hexadecimal.")
    if len(digits) % 2:
        raise UsageError(
            f"A byte has two hexadecimal digits, and there are {len(digits)}.",
            "One is missing or too many: copy the packet again.",
        )
    return bytes.fromhex(digits)


def _is_advert(data: bytes) -> bool:
    """Return whether `data` reads as AD structures rather than as a payload.

    No structure is long enough to start like a payload of version 1 or higher. The remaining
    doubt, something of a payload's length and version 0, is settled by whether structures fit
    or the first one, though cut short, names our UUID.
    """
    if data[0] > _AD_LENGTH_MOST:
        return False
    if len(data) not in (frame.ALERT_BYTES, frame.PAGE_BYTES):
        return True
    if data[1] in (layout.AD_UUID_LIST, layout.AD_SERVICE_DATA) and data[2:4] == _OUR_UUID:
        return True
    at = 0
    while at < len(data) and data[at]:
        at += 1 + data[at]
    return at <= len(data) and not any(data[at:])


def _reason(data: bytes, is_advert: bool) -> str:
    try:
        frame.decode(advert.unwrap(data) if is_advert else data)
    except Refused as refused:
        return str(refused.reason)
    return ""


def _advert_fields(data: bytes, reason: str) -> Iterator[Field]:
    at = 0
    is_found = False
    while at < len(data) and data[at]:
        length = data[at]
        body = data[at + 1 : at + 1 + length]
        is_cut = len(body) < length
        follows = f"only {len(body)} of {length} bytes follow" if is_cut else f"{length} follow"
        yield Field(at, data[at : at + 1], "AD length", follows, is_cut)
        if body:
            yield from _structure_fields(body, at + 1, "" if is_found else reason)
        is_found = is_found or _is_ours(body)
        at += 1 + length
    if at < len(data):
        yield Field(at, data[at:], "padding", "a length of 0 ends the structures")


def _structure_fields(body: bytes, offset: int, reason: str) -> Iterator[Field]:
    """Explain one AD structure behind its length. body: at least 1 byte, maybe cut short."""
    name = _AD_TYPES.get(body[0], "not one that Fanal uses")
    yield Field(offset, body[:1], "AD type", f"0x{body[0]:02X}, {name}")
    if body[0] in (0x02, layout.AD_UUID_LIST) and len(body) > 1:
        uuids = [_uuid(body[at : at + 2]) for at in range(1, len(body), 2)]
        yield Field(offset + 1, body[1:], "UUIDs", ", ".join(uuids))
    elif body[0] == layout.AD_SERVICE_DATA and len(body) > 1:
        yield Field(offset + 1, body[1:3], "UUID", _uuid(body[1:3]))
        if _is_ours(body):
            yield from payload_fields(body[3:], offset + 3, reason)
        elif body[3:]:
            yield Field(offset + 3, body[3:], "AD data", "of another service")
    elif len(body) > 1:
        yield Field(offset + 1, body[1:], "AD data", "nothing that a beacon sends")


def _is_ours(body: bytes) -> bool:
    return body[:1] == bytes([layout.AD_SERVICE_DATA]) and body[1:3] == _OUR_UUID


def _uuid(data: bytes) -> str:
    if len(data) < 2:
        return "cut short"
    ours = ", Fanal's test value" if data == _OUR_UUID else ", not Fanal's"
    return f"0x{int.from_bytes(data, 'little'):04X}{ours}"


def _frame_name(fields: tuple[Field, ...]) -> str:
    for field in fields:
        if field.name == "hdr":
            header = layout.ANY_HEADER.parse(field.data)
            if header.version == layout.VERSION:
                return layout.FRAME_NAMES.get(header.type, "")
            return ""
    return ""


def _verdict(data: bytes, is_advert: bool, reason: str, name: str) -> str:
    if reason == "length":
        return f"Refused (length): {_why_length(data, is_advert, name)}."
    if reason:
        return f"Refused ({reason}): {_WHY[reason]}."
    verdict = f"Well formed: {_article(name)}. Only the fleet's keys tell whose it is."
    if is_advert and not _is_as_sent(data):
        return f"{verdict}\nNo beacon sends it in quite this advertising data."
    return verdict


def _article(name: str) -> str:
    return f"an {name}" if name[0] == "a" else f"a {name}"


def _why_length(data: bytes, is_advert: bool, name: str) -> str:
    if is_advert:
        try:
            data = advert.unwrap(data)
        except Refused:
            return "it holds no whole service data of Fanal (UUID 0xF5A1)"
    if len(data) not in (frame.ALERT_BYTES, frame.PAGE_BYTES):
        return f"a payload has 23 or 27 bytes, not {len(data)}"
    due = frame.ALERT_BYTES if name == layout.FRAME_NAMES[0] else frame.PAGE_BYTES
    return f"{_article(name)} has {due} bytes, not {len(data)}"


def _is_as_sent(data: bytes) -> bool:
    try:
        layout.ADVERT.parse(data)
    except ConstructError:
        return False
    return True
