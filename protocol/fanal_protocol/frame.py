"""Frames as they are on air, before any key: three forms of payload. SPEC 2."""

from collections import namedtuple

from fanal_protocol.error import (
    FrameTypeError,
    LengthError,
    PageError,
    ReservedError,
    SeqError,
    VersionError,
)
from fanal_protocol.slot import UNITS

VERSION = 1
ALERT = 0
SIGNATURE = 1
CRUMB = 2

HDR_ALERT = 0x20
HDR_SIGNATURE = 0x28
HDR_CRUMB = 0x30

ALERT_BYTES = 23
PAGE_BYTES = 27

SIGNATURE_PAGES = 12
CHUNK_BYTES = 22
CHECK_BYTES = 3

# rid: 8 bytes; q: the masked sequence, 0..449; sealed: ciphertext and tag, 12 bytes.
AlertFrame = namedtuple("AlertFrame", ("rid", "q", "sealed"))

# page: 0..11; chunk: 22 bytes, veiled; check: 3 bytes.
SignatureFrame = namedtuple("SignatureFrame", ("page", "chunk", "check"))

# index: one byte, veiled, so any value is possible; veiled: 25 bytes.
CrumbFrame = namedtuple("CrumbFrame", ("index", "veiled"))


def decode(payload):
    """Return the AlertFrame, SignatureFrame or CrumbFrame of one payload.

    payload: any bytes, untrusted. Raises, in this order of looking, LengthError (not 23 or
    27), VersionError, FrameTypeError, ReservedError, LengthError (not that of its type),
    SeqError, PageError. SPEC 3.1.
    """
    size = len(payload)
    if size != ALERT_BYTES and size != PAGE_BYTES:
        raise LengthError("payload")
    kind = _kind(payload[0])
    if size != (ALERT_BYTES if kind == ALERT else PAGE_BYTES):
        raise LengthError("payload of its type")
    payload = bytes(payload)
    if kind == ALERT:
        q = payload[9] << 8 | payload[10]
        if q >= UNITS:
            raise SeqError("masked sequence")
        return AlertFrame(payload[1:9], q, payload[11:])
    if kind == CRUMB:
        return CrumbFrame(payload[1], payload[2:])
    if payload[1] >= SIGNATURE_PAGES:
        raise PageError("signature page")
    return SignatureFrame(payload[1], payload[2:24], payload[24:])


def _kind(hdr):
    """Return ALERT, SIGNATURE or CRUMB from the first byte of a payload."""
    if hdr >> 5 != VERSION:
        raise VersionError("version")
    kind = hdr >> 3 & 3
    if kind > CRUMB:
        raise FrameTypeError("type")
    if hdr & 7:
        raise ReservedError("low bits of the header")
    return kind
