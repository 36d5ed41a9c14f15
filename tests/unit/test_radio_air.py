"""The ears on the virtual air: real bleak, real HCI over TCP, an air that goes away."""

import asyncio
from contextlib import aclosing

import pytest
from fanal.listen import listen
from fanal.radio import DEAF, HEARING, QUIET, Patience, Radio, RadioState, RadioUnavailable
from fanal.resolver import Resolver
from fanal.sighting import Sighting, SignatureVerified
from fanal_protocol import advert

from tests.unit.paper_beacon import T0, PaperBeacon

pytest.importorskip("bumble", reason="needs the extra fanal[sim]")

from fanal.error import EnvironmentFault
from fanal.sim.air import ADV_SCAN_IND, RANDOM, Air, Frame
from fanal.sim.air_scanner import scanner_backend
from fanal.sim.controller import AirServer

pytestmark = pytest.mark.sim

BEACON = PaperBeacon()
QUICK = Patience(quiet_s=0.2, backoff_s=(0.05,), answer_s=5)


async def send(air: Air) -> None:
    """Put the first two seconds of an event on the air, as fast as it goes, from one address."""
    for heard in BEACON.on_air(1, T0, 2):
        payload = advert.wrap(heard.payload)
        air.transmit(Frame(0, bytes((1, 2, 3, 4, 5, 6)), RANDOM, ADV_SCAN_IND, payload))
        await asyncio.sleep(0)


async def test_from_the_air_to_a_verified_signature() -> None:
    air = Air()
    server = AirServer(air)
    await server.start()
    radio = Radio(backend=scanner_backend(f"127.0.0.1:{server.port}"))
    async with aclosing(listen(Resolver([BEACON.first_keys()]), radio)) as events:
        assert (await anext(events)).kind == HEARING
        await send(air)
        seen = await anext(events)
        assert isinstance(seen, Sighting)
        assert -105 <= seen.rssi_dbm <= -20
        async for event in events:
            if isinstance(event, SignatureVerified):
                break
    await server.close()


async def test_an_air_that_goes_away_and_comes_back() -> None:
    air = Air()
    server = AirServer(air)
    await server.start()
    port = server.port
    async with Radio(backend=scanner_backend(f"127.0.0.1:{port}"), patience=QUICK) as radio:
        assert (await anext(radio)).kind == HEARING
        await server.close()
        assert (await anext(radio)).kind == QUIET
        deaf = await anext(radio)
        assert isinstance(deaf, RadioState)
        assert deaf.kind == DEAF
        assert f"There is no virtual air at 127.0.0.1:{port}" in deaf.reason
        server = AirServer(air)
        await server.start(port)
        assert (await anext(radio)).kind == HEARING
        await send(air)
        assert (await anext(radio)).payload == BEACON.alert(1)
        assert radio.counts["foreign"] == radio.counts["malformed"] == 0
    await server.close()


async def test_no_air_is_a_sentence() -> None:
    with pytest.raises(EnvironmentFault, match="no virtual air") as caught:
        async with Radio(backend=scanner_backend("127.0.0.1:1")):
            pass
    assert not isinstance(caught.value, RadioUnavailable)
    assert caught.value.exit_code == 7
