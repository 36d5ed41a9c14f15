"""The keys of one event, on the listening side: made when needed, never shown."""

import hashlib
from collections.abc import Iterable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESCCM
from fanal_protocol import alert, frame, keys
from fanal_protocol.ccm import TAG_BYTES
from fanal_protocol.error import TagError
from fanal_protocol.slot import RID_BYTES, SLOTS, UNITS

BLOCK_BYTES = 16
EVENT_BYTES = BLOCK_BYTES * SLOTS

# u64(0) || u64(s) for every slot s, one block each
_RID_BLOCKS = b"".join(slot.to_bytes(BLOCK_BYTES, "big") for slot in range(SLOTS))
# the same, then u64(1) || u64(s): identifier and mask of one slot
_SLOT_BLOCKS = [
    slot.to_bytes(BLOCK_BYTES, "big") + ((1 << 64) + slot).to_bytes(BLOCK_BYTES, "big")
    for slot in range(SLOTS)
]
_ECB = modes.ECB()  # blocks that never repeat under one key, so it shows nothing
_AD = bytes((frame.HDR_ALERT,))
_NONCE_END = bytes((frame.HDR_ALERT, 0, 0))

# HMAC by its definition: `hmac.digest` takes twice as long for texts this short
_INNER, _OUTER = (bytes(byte ^ pad for byte in range(256)) for pad in (0x36, 0x5C))
_INNER_REST, _OUTER_REST = b"\x36" * 32, b"\x5c" * 32
_RATCHET, _RID, _ALERT = (b"fanal/1 %s\x01" % name for name in (b"ratchet", b"rid", b"alert"))
_RID_KEY_BYTES = 16


def next_and_rid_key(event_key: bytes) -> tuple[bytes, bytes]:
    """Return E_{n+1}, 32 bytes, and k_rid, 16 bytes, from E_n, 32 bytes. SPEC 1.2."""
    sha256 = hashlib.sha256
    inner = event_key.translate(_INNER) + _INNER_REST
    outer = event_key.translate(_OUTER) + _OUTER_REST
    return (
        sha256(outer + sha256(inner + _RATCHET).digest()).digest(),
        sha256(outer + sha256(inner + _RID).digest()).digest()[:_RID_KEY_BYTES],
    )


def _kdf(event_key: bytes, info: bytes) -> bytes:
    """Return HMAC-SHA256(event_key, info), 32 bytes."""
    inner = hashlib.sha256(event_key.translate(_INNER) + _INNER_REST + info).digest()
    return hashlib.sha256(event_key.translate(_OUTER) + _OUTER_REST + inner).digest()


def ratcheted(event_key: bytes, steps: int) -> bytes:
    """Return E_{n + steps} from E_n, 32 bytes each."""
    for _ in range(steps):
        event_key = _kdf(event_key, _RATCHET)
    return event_key


def rid_key_of(event_key: bytes) -> bytes:
    """Return k_rid, 16 bytes, from E_n, 32 bytes."""
    return _kdf(event_key, _RID)[:_RID_KEY_BYTES]


def event_blocks(rid_key: bytes) -> bytes:
    """Return 96 blocks of 16 bytes; an identifier of the event begins each block."""
    return Cipher(algorithms.AES(rid_key), _ECB).encryptor().update(_RID_BLOCKS)


def all_rids(rid_key: bytes) -> list[bytes]:
    """Return the 96 identifiers, 8 bytes each, of an event. rid_key: 16 bytes. SPEC 1.4.

    As `fanal_protocol.slot.rid` for each slot, but in one call: a search through thousands of
    events is one AES operation each.
    """
    blocks = event_blocks(rid_key)
    return [blocks[i : i + RID_BYTES] for i in range(0, len(blocks), BLOCK_BYTES)]


def rid_blocks(rid_keys: Iterable[bytes], events: int) -> bytearray:
    """Return 96 blocks of 16 bytes for each of `events` keys; an identifier begins each block."""
    out = bytearray(events * EVENT_BYTES + BLOCK_BYTES)  # a call wants room for a block more
    view, at, room = memoryview(out), 0, EVENT_BYTES + BLOCK_BYTES
    for rid_key in rid_keys:
        encryptor = Cipher(algorithms.AES(rid_key), _ECB).encryptor()
        encryptor.update_into(_RID_BLOCKS, view[at : at + room])
        at += EVENT_BYTES
    return out


class EventKeys:
    """The keys of event `event` of one beacon, derived from E_n at first use. SPEC 1.2.

    beacon_id: its name; public_key: its Ed25519 key, 32 bytes; event_key: E_n, 32 bytes.
    """

    __slots__ = ("_alert_ccm", "_chain", "_crumb_keys", "_page_key", "_rid_and_mask",
                 "_rid_key", "_slot",
                 "beacon_id", "event", "event_key", "public_key")  # fmt: skip

    def __init__(self, beacon_id: str, public_key: bytes, event: int, event_key: bytes) -> None:
        self.beacon_id = beacon_id
        self.public_key = public_key
        self.event = event
        self.event_key = event_key
        self._rid_key: bytes | None = None
        self._slot: int | None = None  # that was asked for last
        self._rid_and_mask = (b"", 0)
        self._alert_ccm: AESCCM | None = None
        self._page_key: bytes | None = None
        self._chain: bytes | None = None
        self._crumb_keys: list[bytes] | None = None

    def later(self, event: int, event_key: bytes) -> "EventKeys":
        """Return the keys of another event of the same beacon. event_key: E_n, 32 bytes."""
        return EventKeys(self.beacon_id, self.public_key, event, event_key)

    def ahead(self, event: int) -> "EventKeys":
        """Return the keys of `event` of the same beacon, which is this one or a later one."""
        return self.later(event, ratcheted(self.event_key, event - self.event))

    @property
    def rid_key(self) -> bytes:
        """k_rid, 16 bytes."""
        if self._rid_key is None:
            self._rid_key = rid_key_of(self.event_key)
        return self._rid_key

    def rid_and_mask(self, slot: int) -> tuple[bytes, int]:
        """Return identifier, 8 bytes, and mask, 0..449, of slot 0..95. SPEC 1.4."""
        if slot != self._slot:
            # not kept: it is a kilobyte, and a slot lasts a quarter of an hour
            blocks = (
                Cipher(algorithms.AES(self.rid_key), _ECB).encryptor().update(_SLOT_BLOCKS[slot])
            )
            self._slot = slot
            self._rid_and_mask = blocks[:RID_BYTES], (blocks[16] << 8 | blocks[17]) % UNITS
        return self._rid_and_mask

    @property
    def alert_key(self) -> bytes:
        """k_alert, 16 bytes."""
        return keys.alert_key(self.event_key)  # type: ignore[no-any-return]

    def open_alert(self, found: frame.AlertFrame) -> alert.Alert:
        """Return what an alert of this event says. Raises TagError. SPEC 2.1."""
        if self._alert_ccm is None:
            self._alert_ccm = AESCCM(_kdf(self.event_key, _ALERT)[:_RID_KEY_BYTES], TAG_BYTES)
        nonce = found.rid + found.q.to_bytes(2, "big") + _NONCE_END
        try:
            plain = self._alert_ccm.decrypt(nonce, found.sealed, _AD)
        except InvalidTag:
            raise TagError("tag") from None
        return alert.Alert(*plain)

    @property
    def page_key(self) -> bytes:
        """k_page, 32 bytes."""
        if self._page_key is None:
            self._page_key = keys.page_key(self.event_key)
        return self._page_key

    def crumb_key(self, index: int) -> bytes:
        """Return k_i, 16 bytes, of crumb `index`, 0..254."""
        if self._chain is None or self._crumb_keys is None:
            self._chain, self._crumb_keys = keys.crumb_chain(self.event_key), []
        while len(self._crumb_keys) <= index:
            key, self._chain = keys.crumb_step(self._chain)
            self._crumb_keys.append(key)
        return self._crumb_keys[index]
