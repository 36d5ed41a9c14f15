"""A dongle through Bumble as the ears of the hardware suite; rootcanal is the dongle."""

import asyncio
import struct

import pytest

pytest.importorskip("bumble", reason="needs the extra `sim`")

from fanal.heard import ArrivalClock
from fanal.radio import Radio, RadioUnavailable
from fanal_protocol import advert

from tests.hil.dongle import dongle_backend
from tests.hil.ears import Ears, ListeningThread, real_radio
from tests.hil.options import Options
from tests.hil.outcome import Infra
from tests.sim.hci_relay import Host
from tests.sim.test_air import ADDRESS, parameters
from tests.sim.test_rootcanal import RESET, SET_PARAMETERS, rootcanal_port  # noqa: F401
from tests.unit.paper_beacon import PaperBeacon

pytestmark = [pytest.mark.sim, pytest.mark.timeout(60)]

SET_ADDRESS, SET_DATA, ENABLE = 0x2005, 0x2008, 0x200A
PATIENCE_S = 20


async def advertising(port, payload):
    """Return a host whose controller advertises `payload` as a beacon does."""
    host = await Host.connect(port)
    data = advert.wrap(payload)
    for opcode, body in (
        (RESET, b""),
        (SET_ADDRESS, ADDRESS),
        (SET_PARAMETERS, parameters(160, 160)),
        (SET_DATA, struct.pack("B31s", len(data), bytes(data))),
        (ENABLE, b"\1"),
    ):
        assert await host.status(opcode, body) == 0
    return host


async def heard_through(port, payloads):
    ears = Ears(Radio(backend=dongle_backend(f"tcp-client:127.0.0.1:{port}")))
    listening = asyncio.create_task(ears.run())
    hosts = [await advertising(port, payload) for payload in payloads]
    try:
        async with asyncio.timeout(PATIENCE_S):
            while {heard.payload for heard in ears.heard} != set(payloads):
                await asyncio.sleep(0.02)
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        for host in hosts:
            await host.close()
    return ears


def test_alerts_and_pages_arrive_byte_by_byte_with_their_address(rootcanal_port):  # noqa: F811
    beacon = PaperBeacon()
    payloads = [beacon.alert(1), beacon.pages(1)[7]]
    ears = asyncio.run(heard_through(rootcanal_port, payloads))
    assert ears.fault() is None
    assert {heard.address for heard in ears.heard} == {ADDRESS[::-1].hex(":").upper()}
    assert all(heard.rssi_dbm is None or -128 < heard.rssi_dbm < 20 for heard in ears.heard)
    assert ears.adverts >= 2


def test_no_dongle_there_is_a_fault_of_the_radio():
    with pytest.raises(Infra) as caught:
        ListeningThread(real_radio("hci:tcp-client:127.0.0.1:1", Options(), ArrivalClock()))
    assert caught.value.radio


def test_a_transport_that_is_none_is_a_fault_of_the_radio():
    async def start():
        async with Radio(backend=dongle_backend("no-such-thing:0")):
            pass

    with pytest.raises(RadioUnavailable):
        asyncio.run(start())
