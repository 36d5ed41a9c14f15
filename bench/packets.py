"""The real packets of one slot of an event, and a listener that really opens and verifies them.

The simulation only decides which of them are heard, so each distinct one is sealed once and
opened once; what is remembered is the answer of the real code.
"""

from functools import cache

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from fanal_protocol import advert, alert, frame, keys, signature, slot

ALERT = 12  # a frame that is no page: beside the page numbers 0 .. 11

EVENT = 7
SLOT = 0
_SEED = bytes(range(32))
_STATION_ROOT = bytes(range(32, 64))


def event_key(public_key: bytes) -> bytes:
    """Return E_n of the event, as both the beacon and the hub come to it."""
    key: bytes = keys.first_event_key(_STATION_ROOT, public_key)
    for _ in range(EVENT - 1):
        key = keys.next_event_key(key)
    return key


class Beacon:
    """Seals what is on air in the slot. `public_key` is its own, 32 bytes."""

    def __init__(self) -> None:
        private_key = Ed25519PrivateKey.from_private_bytes(_SEED)
        self.public_key = private_key.public_key().public_bytes_raw()
        key = event_key(self.public_key)
        rid_key, page_key = keys.rid_key(key), keys.page_key(key)
        self._alert_key = keys.alert_key(key)
        self._rid = slot.rid(rid_key, SLOT)
        self._mask = slot.mask(rid_key, SLOT)
        status = alert.status_byte(alert.HOLD)
        self._plain = alert.Alert(status, 185, 0, alert.PHASE_ALERT)
        signed = private_key.sign(signature.message(EVENT, SLOT, self._rid, status))
        self._pages = [advert.wrap(p) for p in signature.pages(signed, page_key, self._rid)]

    @cache  # noqa: B019  one beacon lives as long as the run
    def _alert(self, unit: int) -> bytes:
        q = slot.masked(unit, self._mask)
        sealed: bytes = advert.wrap(alert.seal(self._alert_key, self._rid, q, self._plain))
        return sealed

    def advert(self, unit: int, choice: int) -> bytes:
        """Return the 31 bytes on air in a unit, 0..449. choice: ALERT or a page, 0..11."""
        return self._alert(unit) if choice == ALERT else self._pages[choice]


class Listener:
    """Opens what was heard with the keys of the event. public_key: the beacon's, 32 bytes."""

    def __init__(self, public_key: bytes) -> None:
        key = event_key(public_key)
        self._rid = slot.rid(keys.rid_key(key), SLOT)
        self._alert_key = keys.alert_key(key)
        self._page_key = keys.page_key(key)
        self._public_key = Ed25519PublicKey.from_public_bytes(public_key)

    @cache  # noqa: B019
    def open(self, adv: bytes) -> alert.Alert | tuple[int, bytes]:
        """Return the Alert, or page number and chunk. Raises Refused."""
        heard = frame.decode(advert.unwrap(adv))
        if isinstance(heard, frame.SignatureFrame):
            return heard.page, signature.open_page(self._page_key, self._rid, heard)
        if heard.rid != self._rid:
            raise AssertionError("an alert of another event")
        return alert.open_alert(self._alert_key, heard)

    @cache  # noqa: B019
    def verifies(self, status: int, chunks: frozenset[tuple[int, bytes]]) -> bool:
        """Return whether three pages give a signature that verifies for this status byte."""
        signed = signature.assemble(dict(chunks), self._page_key, self._rid)
        try:
            self._public_key.verify(signed, signature.message(EVENT, SLOT, self._rid, status))
        except InvalidSignature:
            return False
        return True
