"""What was heard of one beacon, frame by frame, by its keys; and what the product makes of it."""

from collections.abc import Iterable
from dataclasses import dataclass

from fanal.event_keys import EventKeys, all_rids
from fanal.heard import Heard
from fanal.resolver import Resolver
from fanal.sighting import Outcome, Sighting, SignatureVerified
from fanal_protocol import alert, frame, signature, slot
from fanal_protocol.error import Refused

from tests.hil.ears import Ears

ALERT, PAGE = "alert", "page"


@dataclass(frozen=True)
class Packet:
    """One frame of the beacon, as heard. seq, status, phase: of an alert; page: of a page."""

    t_ms: int
    address: str
    rssi_dbm: int | None
    kind: str
    event: int
    slot: int
    payload: bytes
    seq: int = -1
    page: int = -1
    status: int = 0
    phase: int = 0

    @property
    def unit(self) -> int:
        """The unit of 2 s of its event, of an alert."""
        return self.slot * slot.UNITS + self.seq


class Account:
    """Everything of one beacon since a moment, in order; `update` takes what came meanwhile."""

    def __init__(self, ears: Ears, events: Iterable[EventKeys], since_ms: int) -> None:
        """events: the keys of the events that may be heard, the first of them first."""
        events = list(events)
        self.packets: list[Packet] = []
        self.outcomes: list[Outcome] = []
        self._ears, self._since_ms = ears, since_ms
        self._next = next(
            (i for i, h in enumerate(ears.heard) if h.t_ms >= since_ms), len(ears.heard)
        )
        self._rids = {
            rid: (keys, number)
            for keys in events
            for number, rid in enumerate(all_rids(keys.rid_key))
        }
        self._slots: dict[tuple[int, int], tuple[EventKeys, bytes]] = {}
        self._unmatched: list[tuple[Heard, frame.SignatureFrame]] = []
        # with nothing seen yet it expects the events from 1 up to its window
        self._resolver = Resolver(events[:1], window=events[0].event + len(events))

    def update(self) -> "Account":
        """Take what was heard since; return itself."""
        while self._next < len(self._ears.heard):
            heard = self._ears.heard[self._next]
            self._next += 1
            if heard.t_ms >= self._since_ms:
                self.outcomes += self._resolver.take(heard)
                self._take(heard)
        return self

    @property
    def alerts(self) -> list[Packet]:
        """The alerts, in the order in which they were heard."""
        return [packet for packet in self.packets if packet.kind == ALERT]

    @property
    def pages(self) -> list[Packet]:
        """The signature pages, in the order in which they were heard."""
        return [packet for packet in self.packets if packet.kind == PAGE]

    @property
    def sightings(self) -> list[Sighting]:
        """What the resolver made of the alerts."""
        return [found for found in self.outcomes if isinstance(found, Sighting)]

    @property
    def signatures(self) -> list[SignatureVerified]:
        """The signatures that are complete and good."""
        return [found for found in self.outcomes if isinstance(found, SignatureVerified)]

    def _take(self, heard: Heard) -> None:
        try:
            found = frame.decode(heard.payload)
        except Refused:
            return
        if isinstance(found, frame.AlertFrame):
            self._take_alert(heard, found)
        elif isinstance(found, frame.SignatureFrame) and not self._take_page(heard, found):
            self._unmatched.append((heard, found))

    def _take_alert(self, heard: Heard, found: frame.AlertFrame) -> None:
        keys, number = self._rids.get(found.rid, (None, 0))
        if keys is None:
            return
        try:
            plain = alert.open_alert(keys.alert_key, found)
        except Refused:
            return
        seq = slot.unmasked(found.q, slot.mask(keys.rid_key, number))
        self.packets.append(
            Packet(heard.t_ms, heard.address, heard.rssi_dbm, ALERT, keys.event, number,
                   heard.payload, seq=seq, status=plain.status, phase=plain.phase)
        )  # fmt: skip
        if (keys.event, number) not in self._slots:
            self._slots[keys.event, number] = keys, found.rid
            waiting, self._unmatched = self._unmatched, []
            self._unmatched = [pair for pair in waiting if not self._take_page(*pair)]
            self.packets.sort(key=lambda packet: packet.t_ms)

    def _take_page(self, heard: Heard, found: frame.SignatureFrame) -> bool:
        for (event, number), (keys, rid) in self._slots.items():
            try:
                signature.open_page(keys.page_key, rid, found)
            except Refused:
                continue
            self.packets.append(
                Packet(heard.t_ms, heard.address, heard.rssi_dbm, PAGE, event, number,
                       heard.payload, page=found.page)
            )  # fmt: skip
            return True
        return False
