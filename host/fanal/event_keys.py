"""The keys of one event, on the listening side: made when needed, never shown."""

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from fanal_protocol import keys
from fanal_protocol.slot import RID_BYTES, SLOTS

_BLOCK_BYTES = 16
# u64(0) || u64(s) for every slot s, one block each
_RID_BLOCKS = b"".join(slot.to_bytes(_BLOCK_BYTES, "big") for slot in range(SLOTS))


def all_rids(rid_key: bytes) -> list[bytes]:
    """Return the 96 identifiers, 8 bytes each, of an event. rid_key: 16 bytes. SPEC 1.4.

    As `fanal_protocol.slot.rid` for each slot, but in one call: a search through thousands of
    events is one AES operation each.
    """
    # blocks that never repeat under one key, so ECB shows nothing
    blocks = Cipher(algorithms.AES(rid_key), modes.ECB()).encryptor().update(_RID_BLOCKS)
    return [blocks[i : i + RID_BYTES] for i in range(0, len(blocks), _BLOCK_BYTES)]


class EventKeys:
    """The keys of event `event` of one beacon, derived from E_n at first use. SPEC 1.2.

    beacon_id: its name; public_key: its Ed25519 key, 32 bytes; event_key: E_n, 32 bytes.
    """

    __slots__ = ("_alert_key", "_chain", "_crumb_keys", "_page_key", "beacon_id", "event",
                 "event_key", "public_key", "rid_key")  # fmt: skip

    def __init__(self, beacon_id: str, public_key: bytes, event: int, event_key: bytes) -> None:
        self.beacon_id = beacon_id
        self.public_key = public_key
        self.event = event
        self.event_key = event_key
        self.rid_key: bytes = keys.rid_key(event_key)
        self._alert_key: bytes | None = None
        self._page_key: bytes | None = None
        self._chain: bytes | None = None
        self._crumb_keys: list[bytes] = []

    def later(self, event: int, event_key: bytes) -> "EventKeys":
        """Return the keys of another event of the same beacon. event_key: E_n, 32 bytes."""
        return EventKeys(self.beacon_id, self.public_key, event, event_key)

    @property
    def alert_key(self) -> bytes:
        """k_alert, 16 bytes."""
        if self._alert_key is None:
            self._alert_key = keys.alert_key(self.event_key)
        return self._alert_key

    @property
    def page_key(self) -> bytes:
        """k_page, 32 bytes."""
        if self._page_key is None:
            self._page_key = keys.page_key(self.event_key)
        return self._page_key

    def crumb_key(self, index: int) -> bytes:
        """Return k_i, 16 bytes, of crumb `index`, 0..254."""
        if self._chain is None:
            self._chain = keys.crumb_chain(self.event_key)
        while len(self._crumb_keys) <= index:
            key, self._chain = keys.crumb_step(self._chain)
            self._crumb_keys.append(key)
        return self._crumb_keys[index]
