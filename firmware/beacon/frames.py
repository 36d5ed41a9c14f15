"""The frames of one event: its keys, and the advertising data, in buffers that are made once."""

from fanal_protocol import advert, alert, slot
from micropython import const

from beacon import schedule

_NOWHERE = const(-1)


class Frames:
    """What an event sends, slot by slot. n: the event. The keys: 16, 16 and 32 bytes."""

    def __init__(self, n, rid_key, alert_key, page_key):
        self.n = n
        self.rid_key = rid_key
        self.alert_key = alert_key
        self.page_key = page_key
        self.slot = _NOWHERE
        self.rid = None
        self.signed = False
        self._mask = 0
        self._sealer = alert.Sealer(alert_key)
        self._payload = bytearray(23)
        self._alert = bytearray(advert.ADVERT_BYTES)
        self._pages = [bytearray(advert.ADVERT_BYTES) for _ in range(schedule.PAGES)]

    def enter(self, number):
        """Turn to a slot, 0..95. It is not signed yet."""
        self.slot = number
        self.signed = False
        self.rid = slot.rid(self.rid_key, number)
        self._mask = slot.mask(self.rid_key, number)

    def seal(self, seq, status, battery, crumbs, phase):
        """Seal the alert of a unit of this slot; allocate nothing.

        seq: 0..449, reserved by the caller and never given twice. The others: bytes 0..255.
        """
        q = slot.masked(seq, self._mask)
        self._sealer.seal_into(self._payload, self.rid, q, status, battery, crumbs, phase)
        advert.wrap_into(self._alert, self._payload)

    def sign(self, seed, public_key, status, random):
        """Make the twelve pages of this slot: slow, and imports a lot. seed, public_key: 32 bytes.

        random: a callable, see ed25519.sign.
        """
        from fanal_protocol import ed25519, signature

        message = signature.message(self.n, self.slot, self.rid, status)
        signed = ed25519.sign(seed, message, public_key, random)
        for number, payload in enumerate(signature.pages(signed, self.page_key, self.rid)):
            advert.wrap_into(self._pages[number], payload)
        self.signed = True

    def advert(self, choice):
        """Return the 31 bytes for what `schedule.choose` chose, other than NOTHING."""
        return self._alert if choice == schedule.ALERT else self._pages[choice]
