"""The slots of an event: its clock, the rotating identifier, the mask of the sequence. SPEC 1.4."""

from fanal_protocol import crypto
from fanal_protocol.error import Misuse

SLOT_S = 900
UNIT_S = 2
SLOTS = 96
UNITS = 450
RID_BYTES = 8

_DOMAIN_RID = 0
_DOMAIN_MASK = 1


def _block(rid_key, domain, slot):
    """Return AES(rid_key, u64(domain) || u64(slot)), 16 bytes."""
    if not 0 <= slot < SLOTS:
        raise Misuse("slot")
    block = bytearray(crypto.BLOCK_BYTES)
    block[7] = domain
    block[15] = slot
    return crypto.aes(rid_key).encrypt(block)


def rid(rid_key, slot):
    """Return the identifier, 8 bytes, of slot 0..95 under k_rid, 16 bytes. Raises Misuse."""
    return _block(rid_key, _DOMAIN_RID, slot)[:RID_BYTES]


def mask(rid_key, slot):
    """Return the mask, 0..449, of slot 0..95 under k_rid, 16 bytes. Raises Misuse."""
    block = _block(rid_key, _DOMAIN_MASK, slot)
    return (block[0] << 8 | block[1]) % UNITS


def masked(seq, mask):
    """Return q, the sequence as it is sent, from a sequence and a mask, each 0..449."""
    if not (0 <= seq < UNITS and 0 <= mask < UNITS):
        raise Misuse("sequence or mask")
    return (seq + mask) % UNITS


def unmasked(q, mask):
    """Return the sequence, 0..449, from q and a mask, each 0..449."""
    if not (0 <= q < UNITS and 0 <= mask < UNITS):
        raise Misuse("sequence or mask")
    return (q - mask) % UNITS


def age_s(slot, seq):
    """Return the event time a, in seconds, of sequence 0..449 in slot 0..95."""
    if not (0 <= slot < SLOTS and 0 <= seq < UNITS):
        raise Misuse("slot or sequence")
    return SLOT_S * slot + UNIT_S * seq
