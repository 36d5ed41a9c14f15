"""From beacons on air to a responder's page through real processes, of which any is killed.

FANAL_BLOWS=SEED,SECONDS has it go on for longer, with listeners that wait as patiently as real
ones; without it, two listeners are hasty, and it is over in seconds.
"""

import asyncio
import itertools
import json
import os
import random
import signal
import time
from collections import Counter, defaultdict
from contextlib import suppress
from pathlib import Path

import pytest

pytest.importorskip("bumble", reason="needs the extra `sim`")

from fanal.demo_responder import Responder
from fanal.gateway import bundle
from fanal.gateway.grouping import Limits
from fanal.hub.resolving import Resolving
from fanal.hub.tables import (
    HeardRow,
    InboxRow,
    IncidentRow,
    ListenerRow,
    NoticeRow,
    ReceivedRow,
    SightingRow,
)
from fanal.sim import tape
from fanal.sim.air import Air
from fanal.sim.controller import AirServer
from fanal_protocol import advert, alert
from fanal_protocol.frame import HDR_ALERT
from sqlalchemy import func, select

from tests.e2e.noting_listener import HASTY_TOGETHER_MS
from tests.e2e.whole_relay import (
    PASSWORD,
    USER,
    Broker,
    HubWorker,
    Listener,
    Webhook,
    hub_folder,
)
from tests.services import free_ports
from tests.unit.paper_listener import KEYS, PaperHub, _unheard
from tests.unit.paper_server import HOST
from tests.unit.small_disk import small_disk  # noqa: F401
from tests.wire import TO_CLIENT, TO_SERVER, Wire

SEED, SECONDS = map(int, os.environ.get("FANAL_BLOWS", "5,6").split(","))
IS_LONG = "FANAL_BLOWS" in os.environ
PATIENCE_S = 600.0 if IS_LONG else 90.0
TIMEOUT_S = 3 * PATIENCE_S + 3 * SECONDS
CLOCK_MS = 2_200  # a broker says in whole seconds how long it held something
BEACONS, EVENTS, GAP_S = 100, 2 + SECONDS // 30, 4.5 if IS_LONG else 3.0
# what a listener's relay took in this time may die with a broker (docs/relay.md)
UNSURE_S = 12.0
TOGETHER_S = (Limits().together_ms if IS_LONG else HASTY_TOGETHER_MS) / 1000 + 1


def plan(beacons, seconds, dice):
    """Return what is sent when, as (at_s, payload): some events of each beacon, of all kinds."""
    sent = []
    for beacon in beacons:
        kind = beacon.number % 10
        how = {"drill": kind in (4, 5)}
        if kind == 9:
            how["activation"] = alert.SELF_TEST
        began_s = -GAP_S
        for event in range(1, EVENTS + 1) if kind != 7 else (2,):
            share_s = seconds / EVENTS
            least_s = max(began_s + GAP_S, (event - 1) * share_s)
            began_s = dice.uniform(least_s, max(least_s, event * share_s))
            ages = range(60, 66, 2) if kind == 7 else range(0, 6, 2)
            for nth, age_s in enumerate(ages):
                sent += [(began_s + 2 * nth + 0.03 * copy, beacon.alert(event, age_s, **how))
                         for copy in range(3)]  # fmt: skip
            if kind == 3:
                status = alert.status_byte(alert.HOLD)
                sent += [(began_s + 0.1 + 0.03 * n, page)
                         for n, page in enumerate(beacon.pages(event, 0, status))]  # fmt: skip
    return sorted(sent)


async def play(air, sent):
    """Send it, each at its time."""
    now_s = asyncio.get_running_loop().time
    began_s = now_s()
    for at_s, payload in sent:
        if (wait_s := began_s + at_s - now_s()) > 0:
            await asyncio.sleep(wait_s)
        tape.forge(air, advert.wrap(payload))


class Chaos:
    """What goes wrong, one thing a second, each mended a little later."""

    def __init__(self, dice, apart=()):
        """apart: pairs of names that are not to happen within UNSURE_S."""
        self.dice, self.done, self._apart = dice, Counter(), apart
        self._at_s = {}
        self._mending = set()
        self._busy = set()

    async def rage(self, blows, seconds):
        """Do all of them, again and again. blows: by name, (break, mend), both blocking."""
        now_s = asyncio.get_running_loop().time
        ends_s = now_s() + seconds
        while True:
            order = list(blows)
            self.dice.shuffle(order)
            for name in order:
                await asyncio.sleep(self.dice.uniform(0.5, 1.0) * seconds / max(seconds, 8))
                if now_s() >= ends_s and self.done.keys() >= blows.keys():
                    await asyncio.gather(*self._mending)
                    return
                if name in self._busy or self._is_too_soon(name):
                    continue
                self._at_s[name] = now_s()
                self._busy.add(name)
                self.done[name] += 1
                task = asyncio.create_task(self._blow(name, *blows[name]))
                self._mending.add(task)

    def _is_too_soon(self, name):
        """Say whether a broker and a listener of it would both forget the same seconds."""
        now_s = asyncio.get_running_loop().time()
        return any(
            name in pair and now_s - self._at_s.get(other, -UNSURE_S) < UNSURE_S
            for pair in self._apart for other in pair if other != name
        )  # fmt: skip

    async def _blow(self, name, break_it, mend):
        await asyncio.to_thread(break_it)
        await asyncio.sleep(self.dice.uniform(0.2, 1.5) * (4 if IS_LONG else 1))
        await asyncio.to_thread(mend)
        self._busy.discard(name)


class Scene:
    """Air, listeners and hub workers. wires: by name, what may be cut."""

    def __init__(self, hub, workers, listeners):
        self.hub, self.workers, self.listeners = hub, workers, listeners
        self.store = hub.store

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for one in (*self.listeners, *self.workers):
            if one.program is not None:
                one.kill()
        self.store.close()

    async def start(self):
        for one in (*self.workers, *self.listeners):
            one.begin()
        for one in (*self.workers, *self.listeners):
            await asyncio.to_thread(one.wait)

    def received(self):
        """Return the content ids that the hub has."""
        with self.store.reading() as session:
            return set(session.scalars(select(ReceivedRow.content_id)))

    def counts(self):
        """Return how many are waiting anywhere: at listeners, in the inbox, unresolved."""
        kept = set().union(*(one.notes().kept for one in self.listeners))
        have = self.received()
        with self.store.reading() as session:
            inbox = session.scalar(select(func.count()).select_from(InboxRow))
            heard = session.scalars(select(HeardRow.payload)).all()
        return len(kept - have), inbox, sum(one[0] == HDR_ALERT for one in heard)

    async def until(self, is_so, what):
        """Look until it is so. AssertionError after a long while."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not await asyncio.to_thread(is_so):
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise AssertionError(f"{what}: {self.counts()}") from None

    async def until_all_is_in(self):
        now_s = asyncio.get_running_loop().time
        # what goes on is gathered for so long; after that nothing new is sealed
        await asyncio.sleep(self.sky.last_s + TOGETHER_S - now_s())
        await self.until(lambda: not any(self.counts()), "not all came in")


def check(scene, tmp_path, report):
    """Compare what the hub has with what listeners noted, and with a day without trouble."""
    kept_before = set().union(*(one.notes().kept for one in scene.listeners))
    have, stormy = None, {}
    while have is None or scene.received() != have or any(scene.counts()):
        have, stormy = scene.received(), told(scene.store, scene.hub.beacons)
    notes = [one.notes() for one in scene.listeners]
    sealed = {name: (one.key, frames) for one in notes for name, frames in one.sealed.items()}
    assert have <= sealed.keys()
    assert kept_before <= have
    calm = calm_day(scene, tmp_path, {name: sealed[name] for name in have})
    quiet = told(calm.store, scene.hub.beacons)
    calm.close()
    # everything exactly once, but that an alert that nobody knows yet waits once for each listener
    assert stormy["sightings"].keys() == quiet["sightings"].keys()
    heard = Counter(
        (frame[0], one.key) for one in notes
        for name in have & one.sealed.keys() for frame in one.sealed[name]
    )  # fmt: skip
    for name, payload in stormy["payloads"].items():
        assert 1 <= stormy["sightings"][name] <= heard[payload, name[4]], name
    assert stormy["incidents"].keys() == quiet["incidents"].keys()
    for event, mine in stormy["incidents"].items():
        assert mine["what"] == quiet["incidents"][event]["what"], event
        assert mine["counts"] == mine["rows"], event
    errors = [
        mine - other
        for event, times in stormy["times"].items()
        for mine, other in zip(times[:1], quiet["times"][event], strict=False)
    ] + [
        mine[at] - quiet["incidents"][event][at]
        for event, mine in stormy["incidents"].items() for at in ("first_ms", "last_ms")
    ]  # fmt: skip
    report["heard_error_ms"] = (min(errors), max(errors))
    report["turned round by, at most, ms"] = stormy["turned_ms"]
    assert all(abs(error) <= CLOCK_MS for error in errors)
    assert stormy["turned_ms"] <= CLOCK_MS
    report["groups"], report["sightings"] = len(have), sum(stormy["sightings"].values())
    report["incidents"] = Counter(one["kind"] for one in stormy["incidents"].values())
    return stormy


def calm_day(scene, tmp_path, groups):
    """Return a hub to which all of these came at once, in the order of hearing."""
    hub = PaperHub(tmp_path / f"calm-{len(list(tmp_path.iterdir()))}.db", 0)
    hub.enrol(*scene.hub.beacons)
    with scene.store.reading() as session:
        enrolled = {row.key: row.enrolled_ms for row in session.scalars(select(ListenerRow))}
    with hub.store.writing() as session:
        for key, enrolled_ms in enrolled.items():
            row = _unheard(key)
            row.enrolled_ms, row.name = enrolled_ms, key
            session.add(row)
        frames = sorted(
            (frame[1], key, frame) for key, frames in groups.values() for frame in frames
        )
        for heard_ms, key, frame in frames:
            session.add(InboxRow(listener=key, received_ms=heard_ms, latitude=None, longitude=None,
                                 accuracy_m=None, source=None, frames=[frame]))  # fmt: skip
            session.flush()
        hub.now_ms = frames[-1][0] if frames else 0
    resolving = Resolving(hub.store, KEYS, "calm")
    while resolving.step() or resolving.has_more:
        pass
    return hub


def told(store, paper):
    """Return what a hub knows, as far as it does not hang on the order in which it came to know."""
    beacons = {one.id: one for one in paper}
    with store.reading() as session:
        sightings = session.scalars(select(SightingRow).order_by(SightingRow.id)).all()
        rows = session.scalars(select(IncidentRow)).all()
    times = defaultdict(list)
    by_event = defaultdict(lambda: defaultdict(list))
    for one in sightings:
        times[(one.beacon, one.event, one.slot, one.seq, one.listener)].append(one.heard_ms)
        if one.verdict != "replay":
            by_event[one.beacon, one.event][one.slot, one.seq].append(one.heard_ms)
    turned_ms = 0
    for heard in by_event.values():
        units = [heard[unit] for unit in sorted(heard)]
        for before, after in itertools.pairwise(units):
            turned_ms = max(turned_ms, max(before) - min(after))
    counted = Counter((one.beacon, one.event) for one in sightings if one.verdict != "replay")
    replays = Counter((one.beacon, one.event) for one in sightings if one.verdict == "replay")
    return {
        "sightings": Counter(_name(one) for one in sightings),
        "payloads": {
            _name(one): beacons[one.beacon].alert(
                one.event, 2 * (450 * one.slot + one.seq), status=one.status
            ).hex()
            for one in sightings
        },
        "times": {name: sorted(some) for name, some in times.items()},
        "turned_ms": turned_ms,
        "incidents": {
            (row.beacon, row.event): {
                "number": row.id, "first_ms": row.first_heard_ms, "last_ms": row.last_heard_ms,
                "kind": row.kind, "is_replay": row.is_replay, "replays": row.replays,
                "what": (row.kind, row.state, row.is_replay, row.is_confirmed, row.signature,
                         row.age_s, row.phase, row.is_readable, row.listeners, row.battery_mv),
                "counts": (row.sightings, row.replays),
                "rows": (counted[row.beacon, row.event], replays[row.beacon, row.event]),
            }
            for row in rows
        },
    }  # fmt: skip


def _name(one):
    return one.beacon, one.event, one.slot, one.seq, one.listener, one.verdict == "replay"


TOML = """\
[hub]
bind = "{host}:{port}"
area = "North"
database = "{database}"
{tls}
[limits]
address_deliveries = 100000

[[channel]]
name = "dispatch"
kind = "webhook"
url = "{hook}"
secret_file = "webhook-secret"
"""
MQTT = """
[mqtt]
url = "{url}"
ca = "{ca}"
user = "hub"
password_file = "{password}"
"""


@pytest.fixture
def hook():
    with Webhook() as hook:
        yield hook


class Sky:
    """An air with its door. last_s: when something was sent last, by the loop's clock."""

    def __init__(self):
        self.air = Air(SEED)
        self.server = AirServer(self.air)
        self.last_s = 0.0
        self.air.tap(self._note)

    @property
    def address(self):
        return f"{HOST}:{self.server.port}"

    def _note(self, _):
        self.last_s = asyncio.get_running_loop().time()


@pytest.fixture
async def sky():
    sky = Sky()
    await sky.server.start()
    yield sky
    await sky.server.close()


@pytest.fixture
def broker(tmp_path):
    (tmp_path / "broker").mkdir()
    broker = Broker(tmp_path / "broker")
    yield broker
    broker.kill()


def log_in(port):
    responder = Responder(f"http://{HOST}:{port}")
    assert responder.log_in(USER, PASSWORD)
    return responder


def shown(responder):
    """Return all incidents that the page's API shows, part by part."""
    rows, more = [], ""
    while True:
        part = json.loads(responder.page(f"/api/v1/incidents?limit=100{more}"))
        rows += part["items"]
        if not part["next"]:
            return rows
        more = f"&before={part['next']}"


async def replayed(scene, air, beacons):
    """Send what was true a minute ago; return the events of which there was nothing else."""
    old = [beacon for beacon in beacons if beacon.number % 10 == 7]
    before = told(scene.store, scene.hub.beacons)["incidents"]
    for beacon in old:
        tape.forge(air, advert.wrap(beacon.alert(1, 4)))  # nobody heard of that event
        tape.forge(air, advert.wrap(beacon.alert(2, 0)))
    names = {(beacon.id, 1) for beacon in old if (beacon.id, 2) in before}

    def came():
        now = told(scene.store, scene.hub.beacons)["incidents"]
        return all(name in now and now[name]["replays"] for name in names)

    await scene.until(came, "replays did not come in")
    return names


def check_notices(scene, hook, quiet_events):
    """Whatever is no test and no replay was told, under names that are always the same thing."""
    incidents = told(scene.store, scene.hub.beacons)["incidents"]
    wanted = {one["number"] for one in incidents.values()
              if one["kind"] != "TEST" and not one["is_replay"]}  # fmt: skip
    with scene.store.reading() as session:
        waiting = {
            int(row.reference)
            for row in session.scalars(
                select(NoticeRow).where(
                    NoticeRow.done_ms.is_(None), NoticeRow.subject == "incident"
                )
            )
        }
    assert hook.incidents() <= wanted
    assert wanted - hook.incidents() <= waiting  # a claim of a worker that died runs out later
    assert quiet_events
    assert not hook.incidents() & {incidents[name]["number"] for name in quiet_events}
    assert all(len(set(bodies)) == 1 for bodies in hook.told.values())
    return Counter(len(bodies) for bodies in hook.told.values()), wanted - hook.incidents()


class Took:
    def __init__(self, report):
        self._report, self._at_s = report, time.monotonic()

    def __call__(self, what):
        now_s = time.monotonic()
        self._report[f"s, {what}"], self._at_s = round(now_s - self._at_s, 1), now_s


async def run(scene, chaos, blows, page_port, hook, tmp_path, report):
    """Beacons go on air while everything breaks; then all comes back, and is compared."""
    air = scene.sky.air
    took = Took(report)
    await scene.start()
    took("start")
    sent = plan(scene.hub.beacons, SECONDS, random.Random(SEED))
    report["events on air"] = (9 * EVENTS + 1) * len(scene.hub.beacons) // 10
    await asyncio.gather(play(air, sent), chaos.rage(blows, SECONDS))
    took("blows")
    report["blows"] = dict(chaos.done)
    await scene.until_all_is_in()
    took("until all was in")
    check(scene, tmp_path, report)
    took("check")
    quiet_events = await replayed(scene, air, scene.hub.beacons)
    await scene.until_all_is_in()
    incidents = check(scene, tmp_path, report)["incidents"]
    assert {one["is_replay"] for name, one in incidents.items() if name in quiet_events} == {True}
    took("replays")
    responder = log_in(page_port)
    rows = await asyncio.to_thread(shown, responder)
    assert {(row["beacon"], row["event"]): row["kind"] for row in rows} == {
        name: one["kind"] for name, one in incidents.items()
    }
    assert {"ALERT", "DRILL", "TEST"} <= {row["kind"] for row in rows}
    first = responder.page("/")
    assert "DRILL" in first
    responder.close()
    report["messages by times sent"], report["not told yet"] = check_notices(
        scene, hook, quiet_events
    )


@pytest.mark.timeout(TIMEOUT_S)
async def test_two_workers_postgres_a_broker_and_four_listeners(
    tmp_path,
    postgres,
    postgres_url,
    broker,
    sky,
    hook,
    small_disk,  # noqa: F811
):
    ports = free_ports(2)
    tls = (
        f'public_url = "https://localhost:{ports[0]}"\n'
        f'tls_cert = "{broker.folder}/server.pem"\ntls_key = "{broker.folder}/server.key"\n'
    )
    mqtt = MQTT.format(
        url=broker.url, ca=broker.folder / "ca.pem", password=broker.folder / "hub-password"
    )
    toml = (
        TOML.format(host=HOST, port=ports[0], database=postgres_url, hook=hook.url, tls=tls) + mqtt
    )
    hub = hub_folder(tmp_path / "hub-a", toml, BEACONS)
    workers = [HubWorker(hub.folder), HubWorker(hub.copy(tmp_path / "hub-b", ports[1]))]
    with Wire(broker.port) as to_broker, Wire(ports[0]) as to_hub:
        over_mqtt = bundle_for(hub, broker, f"mqtts://localhost:{to_broker.port}/fanal/1/north")
        over_https = bundle_for(hub, broker, f"https://localhost:{to_hub.port}/deliver")
        at = sky.address
        listeners = [
            Listener("east", tmp_path / "east", at, over_mqtt, small_disk.path, not IS_LONG),
            Listener("west", tmp_path / "west", at, over_mqtt, None, not IS_LONG),
            Listener("south", tmp_path / "south", at, over_https, None, not IS_LONG),
            Listener("north", tmp_path / "north", at, over_https, None, not IS_LONG),
        ]
        for one in listeners[:3]:
            one.enrol(hub.store)
        with Scene(hub, workers, listeners) as scene:
            scene.sky = sky
            report = {}
            blows = blows_on(workers, listeners[2:], (to_broker, to_hub), small_disk)
            blows["broker"] = broker.kill, broker.start
            if IS_LONG:
                blows["listener west"] = blow_on(listeners[1])
            blows["PostgreSQL"] = lambda: kill_all(postgres), lambda: start_again(postgres)
            try:
                await run(
                    scene,
                    Chaos(random.Random(SEED), [("broker", "listener west")]),
                    blows,
                    ports[1],
                    hook,
                    tmp_path,
                    report,
                )
            finally:
                print(json.dumps({name: repr(value) for name, value in report.items()}, indent=1))
            assert len(broker.served()) == 2  # both workers were given some


@pytest.mark.timeout(TIMEOUT_S)
@pytest.mark.skipif(not IS_LONG, reason="needs FANAL_BLOWS=SEED,SECONDS")
async def test_one_hub_sqlite_and_two_listeners_by_http(tmp_path, sky, hook, small_disk):  # noqa: F811
    (port,) = free_ports(1)
    toml = TOML.format(host=HOST, port=port, database="", hook=hook.url, tls="")
    hub = hub_folder(tmp_path / "hub", toml, BEACONS)
    worker = HubWorker(hub.folder)
    with Wire(port) as to_hub:
        plain = bundle_for(hub, None, f"http://{HOST}:{to_hub.port}/deliver")
        at = sky.address
        listeners = [
            Listener("east", tmp_path / "east", at, plain, small_disk.path, not IS_LONG),
            Listener("west", tmp_path / "west", at, plain, None, not IS_LONG),
        ]
        listeners[0].enrol(hub.store)
        with Scene(hub, [worker], listeners) as scene:
            scene.sky = sky
            report = {}
            blows = blows_on([worker], listeners[1:], [to_hub], small_disk)
            try:
                await run(scene, Chaos(random.Random(SEED)), blows, port, hook, tmp_path, report)
            finally:
                print(json.dumps({name: repr(value) for name, value in report.items()}, indent=1))


def bundle_for(hub, broker, relay):
    return bundle.make("North", hub.recipient, relay, broker and broker.ca_pem)


def blow_on(listener):
    return listener.kill, lambda: (listener.begin(), listener.wait())


def blows_on(workers, listeners, wires, disk):
    """Return what can be done to them."""
    blows = {}
    for at, worker in enumerate(workers):
        blows[f"hub {'ab'[at]}"] = worker.kill, worker.start
    for one in listeners:
        blows[f"listener {one.name}"] = blow_on(one)
    for at, wire in enumerate(wires):
        blows[f"cut {at}"] = wire.cut, lambda: None
        blows[f"stall {at}"] = lambda wire=wire: wire.swallow(TO_SERVER, TO_CLIENT), wire.cut
        blows[f"answers {at}"] = lambda wire=wire: wire.swallow(TO_CLIENT), wire.cut
    if disk is not None:
        blows["disk"] = disk.fill, disk.free
    return blows


def kill_all(postgres):
    """SIGKILL for the server and each of its processes, as a cut of power."""
    pid = postgres._program.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    os.kill(pid, signal.SIGKILL)
    for one in children:
        with suppress(ProcessLookupError):
            os.kill(int(one), signal.SIGKILL)
    postgres.stop(signal.SIGKILL)


def start_again(postgres):
    for _ in range(50):
        try:
            postgres.start()
            return
        except AssertionError:  # something of the dead one is still there
            postgres.stop(signal.SIGKILL)
    postgres.start()
