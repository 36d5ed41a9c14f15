"""Advertising data: a payload in legacy AD structures of Bluetooth. SPEC 2.4."""

from fanal_protocol.error import LengthError, Misuse
from fanal_protocol.frame import ALERT_BYTES, PAGE_BYTES

# One for all fleets. An unassigned test value: to be replaced before any deployment.
SERVICE_UUID = 0xF5A1
ADVERT_BYTES = 31

_UUID_LOW = SERVICE_UUID & 0xFF
_UUID_HIGH = SERVICE_UUID >> 8
_AD_SERVICE_DATA = 0x16

# Before an alert stands a list of UUIDs: what iOS needs to hear it in the background.
_ALERT_PREFIX = bytes((3, 0x03, _UUID_LOW, _UUID_HIGH, 26, _AD_SERVICE_DATA, _UUID_LOW, _UUID_HIGH))
_PAGE_PREFIX = bytes((30, _AD_SERVICE_DATA, _UUID_LOW, _UUID_HIGH))


def wrap_into(out, payload):
    """Fill `out`, a bytearray of 31 bytes, from a payload of 23 or 27; allocate nothing.

    Raises Misuse.
    """
    size = len(payload)
    if len(out) != ADVERT_BYTES or (size != ALERT_BYTES and size != PAGE_BYTES):
        raise Misuse("payload or buffer length")
    prefix = _ALERT_PREFIX if size == ALERT_BYTES else _PAGE_PREFIX
    first = ADVERT_BYTES - size
    for i in range(first):
        out[i] = prefix[i]
    for i in range(size):
        out[first + i] = payload[i]


def wrap(payload):
    """Return the advertising data, 31 bytes, of a payload of 23 or 27. Raises Misuse."""
    out = bytearray(ADVERT_BYTES)
    wrap_into(out, payload)
    return bytes(out)


def unwrap(adv):
    """Return the first service data of SERVICE_UUID in advertising data, of whatever length.

    adv: any bytes, untrusted; other AD structures are passed over and a length of zero ends
    them. Raises LengthError if there is none or if a structure before it is cut short. What
    is returned is untrusted still: it is for `frame.decode`.
    """
    adv = bytes(adv)
    at = 0
    while at < len(adv) and adv[at]:
        end = at + 1 + adv[at]
        if end > len(adv):
            raise LengthError("AD structure cut short")
        if end - at >= 4 and adv[at + 1] == _AD_SERVICE_DATA:
            if adv[at + 2] == _UUID_LOW and adv[at + 3] == _UUID_HIGH:
                return adv[at + 4 : end]
        at = end
    raise LengthError("no service data of this protocol")
