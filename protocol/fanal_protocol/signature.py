"""The signature of a slot: what is signed, and the twelve veiled pages that carry it. SPEC 2.2."""

from fanal_protocol import erasure
from fanal_protocol.crypto import kdf, same
from fanal_protocol.error import Misuse, TagError
from fanal_protocol.frame import CHECK_BYTES, CHUNK_BYTES, HDR_SIGNATURE, SIGNATURE_PAGES
from fanal_protocol.slot import RID_BYTES, SLOTS

SIGNATURE_BYTES = 64

_SIGNED_STATUS = 0xF0
_PADDING = b"\x00\x00"


def message(event, slot, rid, status):
    """Return the 38 bytes that the beacon signs once per slot. Raises Misuse.

    event: 1..2**32 - 1. slot: 0..95. rid: 8 bytes. status: 0..255, of which activation and
    drill are signed.
    """
    if not (1 <= event <= 0xFFFFFFFF and 0 <= slot < SLOTS and 0 <= status <= 255):
        raise Misuse("event, slot or status")
    return (
        b"fanal/1 alert signature"
        + event.to_bytes(4, "big")
        + slot.to_bytes(2, "big")
        + _checked(rid)
        + bytes((status & _SIGNED_STATUS,))
    )


def pages(signature, page_key, rid):
    """Return the twelve payloads, 27 bytes each, that carry a signature of 64 bytes.

    page_key: k_page, 32 bytes. rid: 8 bytes. Raises Misuse.
    """
    if len(signature) != SIGNATURE_BYTES:
        raise Misuse("signature length")
    chunks = erasure.encode(_veiled(signature + _PADDING, page_key, rid))
    return [
        bytes((HDR_SIGNATURE, page)) + chunk + check(page_key, rid, page, chunk)
        for page, chunk in enumerate(chunks)
    ]


def check(page_key, rid, page, chunk):
    """Return the 3 bytes that tell whether a chunk, 22 bytes as sent, is page 0..11 of a slot.

    Raises Misuse.
    """
    if not 0 <= page < SIGNATURE_PAGES or len(chunk) != CHUNK_BYTES:
        raise Misuse("page or chunk")
    return kdf(page_key, b"fanal/1 check" + _checked(rid) + bytes((page,)) + chunk, CHECK_BYTES)


def open_page(page_key, rid, frame):
    """Return the chunk, 22 bytes and still veiled, of a SignatureFrame of this slot.

    Raises TagError if its check is not that of this slot.
    """
    if not same(frame.check, check(page_key, rid, frame.page, frame.chunk)):
        raise TagError("check")
    return frame.chunk


def assemble(chunks, page_key, rid):
    """Return the signature, 64 bytes, from any three of its twelve pages, to be verified.

    chunks: a dictionary of exactly three, page number 0..11 to its chunk, 22 bytes as sent.
    Raises Misuse, and TagError if the padding shows that they do not belong together.
    """
    padded = b"".join(_veiled(b"".join(erasure.decode(chunks)), page_key, rid))
    if not same(padded[SIGNATURE_BYTES:], _PADDING):
        raise TagError("padding")
    return padded[:SIGNATURE_BYTES]


def _checked(rid):
    if len(rid) != RID_BYTES:
        raise Misuse("rid length")
    return rid


def _veiled(padded, page_key, rid):
    """Return the three chunks of 66 bytes, each xored with its veil; twice gives them back."""
    chunks = []
    for j in range(erasure.CHUNKS):
        veil = kdf(page_key, b"fanal/1 veil" + _checked(rid) + bytes((j,)), CHUNK_BYTES)
        first = j * CHUNK_BYTES
        chunks.append(bytes(padded[first + i] ^ veil[i] for i in range(CHUNK_BYTES)))
    return chunks
