"""A beacon on paper that sends in real time, as the firmware does, crumbs included."""

import asyncio
from dataclasses import dataclass, field

from fanal.sim import tape
from fanal.sim.air import ADV_SCAN_IND, RANDOM, Air, Frame
from fanal_protocol import advert, frame, slot

from tests.unit.paper_beacon import PaperBeacon

FRAME_S = 0.1
_FRAMES_OF_UNIT = 20
_CRUMBS = 3


@dataclass
class Sender:
    """What it sent: address (as bleak writes it) and payload, in order."""

    air: Air
    beacon: PaperBeacon
    sent: list[tuple[str, bytes]] = field(default_factory=list)

    async def send(self, units: int, event: int = 1) -> None:
        """Send `units` units of 2 s from the beginning of an event."""
        pages = self.beacon.pages(event)
        crumbs = [self.beacon.crumb_page(event, index) for index in range(_CRUMBS)]
        data = [x for pair in zip(pages[:_CRUMBS], crumbs, strict=True) for x in pair]
        data += pages[_CRUMBS:]
        if len(data) % 2:
            data.append(crumbs[0])
        cycle: list[bytes | None] = []
        for i in range(0, len(data), 2):
            cycle += [None, data[i], data[i + 1]]
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        for unit in range(units):
            address = tape.fresh_address(self.air)
            sealed = self.beacon.alert(event, unit * slot.UNIT_S)
            for i in range(_FRAMES_OF_UNIT):
                self._put(address, cycle[(unit + i) % len(cycle)] or sealed)
                due_s = began_s + (unit * _FRAMES_OF_UNIT + i + 1) * FRAME_S
                await asyncio.sleep(due_s - loop.time())

    def _put(self, address: bytes, payload: bytes) -> None:
        self.air.transmit(
            Frame(self.air.now_ms(), address, RANDOM, ADV_SCAN_IND, bytes(advert.wrap(payload)))
        )
        self.sent.append((address.hex(":").upper(), payload))


def kind(payload: bytes) -> str:
    """Return "alert", "signature" or "crumb"."""
    names = {
        frame.AlertFrame: "alert",
        frame.SignatureFrame: "signature",
        frame.CrumbFrame: "crumb",
    }
    return names[type(frame.decode(payload))]
