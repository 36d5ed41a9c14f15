"""A listener that was without a network for long, back in it: everything comes, and what is new
does not wait behind it.

FANAL_BACKLOG=FRAMES says how much waits; 100000 takes some minutes.
"""

import asyncio
import os
import time
from functools import partial

import pytest

pytest.importorskip("bumble", reason="needs the extra `sim`")

from fanal.envelope import Group, HeardFrame, Sealer
from fanal.gateway import bundle
from fanal.gateway.clocks import of_this_computer
from fanal.gateway.listener_key import ListenerKey
from fanal.gateway.outbox import OUTBOX_FILE, Outbox
from fanal.hub.tables import IncidentRow, SightingRow
from fanal.sim import tape
from fanal.sim.air import Air
from fanal.sim.controller import AirServer
from fanal_protocol import advert
from sqlalchemy import func, select

from tests.e2e.whole_relay import Broker, HubWorker, Listener, hub_folder
from tests.services import free_ports
from tests.unit.paper_server import HOST

FRAMES = int(os.environ.get("FANAL_BACKLOG", "100000"))
BEACONS, A_GROUP = 101, 50  # the last one of them is the one that needs help now
PATIENCE_S = 1800.0
SHARES = {"usual": (0.1, 0.2, 0.4), "narrow": (0.11, 0.122, 0.123)}  # when something new is heard
LIMITS = {"usual": "", "narrow": "[limits]\nlistener_frames = 600\n"}


def fill(state, recipient, beacons, frames):
    """Put what was heard of events that began long ago into an outbox, as a listener would."""
    key, clocks = ListenerKey.in_folder(state), of_this_computer()
    sealer, boot = Sealer(recipient, key.private), key.boot(clocks.system_boot)
    units = frames // len(beacons)
    now_ms, wall_ms = clocks.steady_ms(), clocks.wall_ms()
    began_ms = now_ms - 2000 * units - 60_000
    heard = [
        HeardFrame(beacon.alert(1, 2 * unit), at_ms, at_ms, 1, -60)
        for unit in range(units)
        for number, beacon in enumerate(beacons)
        if (at_ms := began_ms + 2000 * unit + 10 * number)
    ]
    outbox = Outbox(state / OUTBOX_FILE)
    for at in range(0, len(heard), A_GROUP):
        some = tuple(heard[at : at + A_GROUP])
        closed_ms = some[-1].last_ms + 300
        outbox.add(sealer.group(
            Group(sealer.listener, boot, closed_ms, wall_ms - (now_ms - closed_ms), some)
        ))  # fmt: skip
    outbox.close()
    return len(heard), wall_ms - now_ms + began_ms


async def until(is_so, every_s=0.02):
    async with asyncio.timeout(PATIENCE_S):
        while not await asyncio.to_thread(is_so):
            await asyncio.sleep(every_s)


@pytest.fixture
def broker(tmp_path):
    (tmp_path / "broker").mkdir()
    broker = Broker(tmp_path / "broker")
    yield broker
    broker.kill()


@pytest.mark.skipif("FANAL_BACKLOG" not in os.environ, reason="needs FANAL_BACKLOG=FRAMES")
@pytest.mark.timeout(PATIENCE_S)
@pytest.mark.parametrize("limits", ["usual", "narrow"])
@pytest.mark.parametrize("way", ["http", "mqtt"])
async def test_a_backlog_comes_in_and_what_is_new_passes_it(tmp_path, request, budget, way, limits):
    (port,) = free_ports(1)
    toml, relay, ca_pem = f'[hub]\nbind = "{HOST}:{port}"\n' + LIMITS[limits], None, None
    relay = f"http://{HOST}:{port}/deliver"
    if way == "mqtt":
        broker = request.getfixturevalue("broker")
        folder, ca_pem = broker.folder, broker.ca_pem
        toml += (f'[mqtt]\nurl = "{broker.url}"\nca = "{folder}/ca.pem"\nuser = "hub"\n'
                 f'password_file = "{folder}/hub-password"\n')  # fmt: skip
        relay = f"{broker.url}/fanal/1/north"
    hub = hub_folder(tmp_path / "hub", toml, BEACONS)
    air = Air(1)
    server = AirServer(air)
    await server.start()
    worker = HubWorker(hub.folder)
    listener = Listener(
        "east", tmp_path / "east", f"{HOST}:{server.port}",
        bundle.make("North", hub.recipient, relay, ca_pem), is_hasty=False,
    )  # fmt: skip
    *old, new = hub.beacons
    frames, began_ms = await asyncio.to_thread(fill, listener.state, hub.recipient, old, FRAMES)
    listener.enrol(hub.store)
    worker.start()

    def came():
        with hub.store.reading() as session:
            return session.scalar(select(func.count()).select_from(SightingRow))

    fresh_s = []
    other = Listener(
        "west", tmp_path / "west", f"{HOST}:{server.port}",
        bundle.make("North", hub.recipient, relay, ca_pem), is_hasty=False,
    )  # fmt: skip
    other.enrol(hub.store)
    theirs_s = []
    try:
        other.begin()
        await asyncio.to_thread(other.wait)
        listener.begin()
        began_s = time.monotonic()
        await until(lambda: came() > 0)
        for share in SHARES[limits]:
            await until(lambda share=share: came() >= share * frames, 0.1)
            at_s = time.monotonic()
            event = 1 + len(fresh_s)
            for _ in range(5):
                tape.forge(air, advert.wrap(new.alert(event, 0)))
                await asyncio.sleep(0.05)

            await asyncio.gather(*(
                note_s(partial(was_heard, hub, new, event, one.key), at_s, to)
                for one, to in ((listener, fresh_s), (other, theirs_s))
            ))  # fmt: skip
            if came() >= frames:
                break
        if limits == "usual":
            await until(lambda: came() >= frames + 2 * len(fresh_s), 0.1)
            took_s = time.monotonic() - began_s
            budget(f"backlog by {way}: frames/s", round(frames / took_s), None, "frames/s")
            with hub.store.reading() as session:
                rows = session.scalars(
                    select(IncidentRow).where(IncidentRow.beacon != new.id)
                ).all()
                assert {row.sightings for row in rows} == {frames // len(old)}
                assert {row.replays for row in rows} == {0}
                error_ms = [row.first_heard_ms - began_ms for row in rows]
            budget(f"backlog by {way}: first heard at most off", max(error_ms) - 1000, None, "ms")
    finally:
        for one in (listener, other, worker):
            if one.program is not None:
                one.kill()
        hub.store.close()
        await server.close()
        for nth, seconds in enumerate(fresh_s):
            budget(f"new in a backlog, {way}, {limits} limits, {nth}", seconds, None, "s")
            budget(f"new beside it, {way}, {limits} limits, {nth}", theirs_s[nth], None, "s")


async def note_s(is_so, since_s, to):
    await until(is_so)
    to.append(time.monotonic() - since_s)


def was_heard(hub, beacon, event, listener):
    with hub.store.reading() as session:
        return session.scalar(
            select(SightingRow.id).where(
                SightingRow.beacon == beacon.id, SightingRow.event == event,
                SightingRow.listener == listener,
            ).limit(1)
        ) is not None  # fmt: skip
