"""A beacon on paper: what a real one would send, made from the codecs alone."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fanal.event_keys import EventKeys
from fanal.heard import Heard
from fanal_protocol import alert, crumb, keys, signature, slot

ROOT = bytes(range(32))
T0 = 1_790_000_000_000


@dataclass
class PaperBeacon:
    """One beacon, number `number` of its fleet, that knows all of its past and future."""

    number: int = 1
    root: bytes = field(default=ROOT, repr=False)

    def __post_init__(self) -> None:
        self.private = Ed25519PrivateKey.from_private_bytes(bytes([self.number]) * 32)
        self.public_key = self.private.public_key().public_bytes_raw()
        self.id = keys.beacon_id(self.public_key)
        self._keys = [keys.first_event_key(self.root, self.public_key)]

    def first_keys(self) -> EventKeys:
        return EventKeys(self.id, self.public_key, 1, self._keys[0])

    def key(self, event: int) -> bytes:
        while len(self._keys) < event:
            self._keys.append(keys.next_event_key(self._keys[-1]))
        return self._keys[event - 1]

    def rid(self, event: int, at_slot: int) -> bytes:
        return slot.rid(keys.rid_key(self.key(event)), at_slot)

    def alert(
        self, event: int, age_s: int = 0, *, status: int | None = None, battery: int = 156,
        crumbs: int = 0, phase: int = 0, drill: bool = False, resumed: bool = False,
        activation: int = alert.HOLD,
    ) -> bytes:  # fmt: skip
        """The alert of the unit of 2 s in which the event is `age_s` old."""
        at_slot, seq = divmod(age_s // slot.UNIT_S, slot.UNITS)
        if status is None:
            status = alert.status_byte(activation, drill=drill, resumed=resumed)
        rid_key = keys.rid_key(self.key(event))
        q = slot.masked(seq, slot.mask(rid_key, at_slot))
        plain = alert.Alert(status, battery, crumbs, phase)
        return alert.seal(keys.alert_key(self.key(event)), slot.rid(rid_key, at_slot), q, plain)

    def signature(self, event: int, at_slot: int = 0, status: int = 0x20) -> bytes:
        return self.private.sign(
            signature.message(event, at_slot, self.rid(event, at_slot), status)
        )

    def pages(self, event: int, at_slot: int = 0, status: int = 0x20) -> list[bytes]:
        page_key = keys.page_key(self.key(event))
        signed = self.signature(event, at_slot, status)
        return signature.pages(signed, page_key, self.rid(event, at_slot))

    def crumb_page(
        self, event: int, index: int, fix: crumb.Crumb | None = None, at_slot: int = 0
    ) -> bytes:
        fix = fix or crumb.Crumb(30, 7, ((b"\x02\x00\x00\x00\x00\x01", -61),))
        sealed = crumb.seal(self.first_keys().later(event, self.key(event)).crumb_key(index),
                            event, index, fix)  # fmt: skip
        page_key = keys.page_key(self.key(event))
        return crumb.page(page_key, self.rid(event, at_slot), index, sealed)

    def on_air(
        self, event: int, began_ms: int, seconds: int, *, status: int = 0x20
    ) -> Iterator[Heard]:
        """Every frame at 100 ms: alert, page, page; unit u opens with frame u of the cycle."""
        for unit in range(seconds // slot.UNIT_S):
            at_slot = unit // slot.UNITS
            pages = self.pages(event, at_slot, status)
            cycle = []
            for i in range(0, len(pages), 2):
                cycle += [None, pages[i], pages[i + 1]]
            sealed = self.alert(event, unit * slot.UNIT_S, status=status)
            for i in range(20):
                payload = cycle[(unit + i) % len(cycle)] or sealed
                t_ms = began_ms + 2000 * unit + 100 * i
                yield heard(payload, t_ms, address=f"{unit:012x}")


def heard(payload: bytes, t_ms: int = T0, rssi_dbm: int = -60, address: str = "") -> Heard:
    return Heard(payload, rssi_dbm, t_ms, address)


def lossy(frames: Iterator[Heard], loss: float, seed: int = 1) -> Iterator[Heard]:
    """What a bad air leaves of them."""
    dice = random.Random(seed)
    return (frame for frame in frames if dice.random() >= loss)


def one_per_address(frames: Iterator[Heard]) -> Iterator[Heard]:
    """What a controller that reports an address only once leaves of them."""
    seen = set()
    for frame in frames:
        if frame.address not in seen:
            seen.add(frame.address)
            yield frame
