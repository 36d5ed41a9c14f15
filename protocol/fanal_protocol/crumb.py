"""Crumbs: a location fix as bytes, sealed when recorded, veiled anew for every slot. SPEC 2.3."""

from collections import namedtuple

from fanal_protocol.ccm import Ccm
from fanal_protocol.crypto import kdf
from fanal_protocol.error import LengthError, Misuse, PageError
from fanal_protocol.frame import HDR_CRUMB
from fanal_protocol.slot import RID_BYTES

PLAIN_BYTES = 17
SEALED_BYTES = 25
MOST_APS = 2
LAST_INDEX = 254

_BSSID_BYTES = 6
_AP_BYTES = 7
_AP_ABSENT = bytes(_AP_BYTES)

# age_2s: since the event began, in 2 s units; seen: access points; aps: up to two of them,
# the stronger first, each (bssid: 6 bytes, rssi_dbm: -128..127).
Crumb = namedtuple("Crumb", ("age_2s", "seen", "aps"))


def encode(crumb):
    """Return the plaintext, 17 bytes, of a Crumb; age (65535) and seen (255) saturate.

    Raises Misuse: a negative number, more than two access points, the weaker one first, or
    one whose seven bytes would all be zero.
    """
    if crumb.age_2s < 0 or crumb.seen < 0 or len(crumb.aps) > MOST_APS:
        raise Misuse("crumb age, number seen or access points")
    if len(crumb.aps) == MOST_APS and crumb.aps[0][1] < crumb.aps[1][1]:
        raise Misuse("the weaker access point is first")
    plain = min(crumb.age_2s, 0xFFFF).to_bytes(2, "big") + bytes((min(crumb.seen, 255),))
    for bssid, rssi_dbm in crumb.aps:
        if len(bssid) != _BSSID_BYTES or not -128 <= rssi_dbm <= 127:
            raise Misuse("access point")
        ap = bssid + bytes((rssi_dbm & 0xFF,))
        if ap == _AP_ABSENT:
            raise Misuse("an access point of zeros says that there is none")
        plain += ap
    return plain + bytes(PLAIN_BYTES - len(plain))


def decode(plain):
    """Return the Crumb of a plaintext of 17 bytes. Raises LengthError."""
    if len(plain) != PLAIN_BYTES:
        raise LengthError("crumb plaintext")
    aps = []
    for first in range(3, PLAIN_BYTES, _AP_BYTES):
        ap = plain[first : first + _AP_BYTES]
        if ap != _AP_ABSENT:
            rssi = ap[_BSSID_BYTES]
            aps.append((ap[:_BSSID_BYTES], rssi - 256 if rssi > 127 else rssi))
    return Crumb(plain[0] << 8 | plain[1], plain[2], tuple(aps))


def seal(crumb_key, event, index, crumb):
    """Return C, 25 bytes: crumb number 0..254 of event 1..2**32 - 1 under k_i, 16 bytes.

    Raises Misuse. The key is for this crumb alone.
    """
    return Ccm(crumb_key).seal(_nonce(event, index), encode(crumb), bytes((HDR_CRUMB, index)))


def open_crumb(crumb_key, event, index, sealed):
    """Return the Crumb of C, 25 bytes, untrusted. Raises LengthError, TagError, Misuse."""
    if len(sealed) != SEALED_BYTES:
        raise LengthError("sealed crumb")
    nonce = _nonce(event, index)
    return decode(Ccm(crumb_key).open(nonce, sealed, bytes((HDR_CRUMB, index))))


def page(page_key, rid, index, sealed):
    """Return the payload, 27 bytes, of crumb 0..254, C of 25 bytes, in the slot of rid.

    page_key: k_page, 32 bytes. rid: 8 bytes. Raises Misuse.
    """
    if not 0 <= index <= LAST_INDEX or len(sealed) != SEALED_BYTES:
        raise Misuse("crumb index or length")
    x = index ^ _index_veil(page_key, rid)
    return bytes((HDR_CRUMB, x)) + _veiled(page_key, rid, index, sealed)


def unveil(page_key, rid, frame):
    """Return (index 0..254, C of 25 bytes) of a CrumbFrame, if it is of this slot.

    Raises PageError if the index would be 255. Whether the page is of this slot at all,
    only `open_crumb` with the key of that crumb can tell. SPEC 3.1.
    """
    index = frame.index ^ _index_veil(page_key, rid)
    if index > LAST_INDEX:
        raise PageError("crumb index")
    return index, _veiled(page_key, rid, index, frame.veiled)


def _nonce(event, index):
    if not (1 <= event <= 0xFFFFFFFF and 0 <= index <= LAST_INDEX):
        raise Misuse("event or crumb index")
    return b"crumb" + event.to_bytes(4, "big") + bytes((index, 0, 0, 0))


def _index_veil(page_key, rid):
    if len(rid) != RID_BYTES:
        raise Misuse("rid length")
    return kdf(page_key, b"fanal/1 crumb index" + rid, 1)[0]


def _veiled(page_key, rid, index, data):
    """Return 25 bytes xored with the veil of this crumb in this slot; twice gives them back."""
    veil = kdf(page_key, b"fanal/1 crumb veil" + rid + bytes((index,)), SEALED_BYTES)
    return bytes(data[i] ^ veil[i] for i in range(SEALED_BYTES))
