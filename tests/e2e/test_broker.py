"""From a listener's relay through a real Mosquitto into a hub: killed, cut, stalled, shared.

The intake is of paper, so that a test decides when something is committed.
"""

import asyncio
import queue
import subprocess
import threading
from concurrent.futures import Future

import pytest
from fanal.envelope import EnvelopeError
from fanal.error import EnvironmentFault
from fanal.gateway.mqtt_relay import MqttRelay
from fanal.gateway.relay import Backoff, RelayDown, RelayRefused
from fanal.heard import Heard
from fanal.hub.caps import Crowded
from fanal.hub.channel_config import Broker as Settings
from fanal.hub.inbox import Inbox
from fanal.hub.intake import Intake, IntakeFull
from fanal.hub.subscriber import Subscriber, client_id, shared
from fanal.hub.tables import InboxRow, ListenerRow
from fanal.mqtt import Mqtt
from sqlalchemy import select

from tests.services import Broker, mosquitto_program
from tests.unit.paper_beacon import T0
from tests.unit.paper_listener import PaperHub, PaperListener
from tests.unit.paper_server import Authority
from tests.wire import TO_CLIENT, TO_SERVER, Wire

PATIENCE_S = 60.0
LATE_S = 0.3  # the patience of tests in which the answer never comes
TOPIC = "fanal/1/north/up"
SECRET = bytes(range(32))
ACKNOWLEDGED = f"Received PUBACK from {client_id(SECRET, 'one')}"


class PaperIntake:
    """Takes everything; `next` gives the next delivery and its future. commits: at once."""

    def __init__(self, *, commits=True):
        self.commits, self.full = commits, 0
        self.held_ms = []
        self._queue = queue.Queue()

    def submit(self, data, source, held_ms=0):
        if self.full:
            self.full -= 1
            raise IntakeFull
        future = Future()
        if self.commits:
            future.set_result(None)
        self.held_ms.append(held_ms)
        self._queue.put((data, future))
        return future

    def next(self):
        return self._queue.get(timeout=PATIENCE_S)

    def next_data(self, count):
        return [self.next()[0] for _ in range(count)]

    @property
    def is_empty(self):
        return self._queue.empty()


class Waits(Backoff):
    """A Backoff that lasts no time, and notes how long it would have."""

    def __init__(self):
        super().__init__(draw=lambda: 1.0)
        self.noted = []

    def wait_s(self, at_least_s=None):
        self.noted.append(super().wait_s(at_least_s))
        return 0.0


class Worker:
    """A Subscriber with a paper intake; a context manager that waits until it has subscribed."""

    def __init__(self, url, name="one", *, commits=True, foreign=None, **settings):
        self.intake = PaperIntake(commits=commits)
        self.states = queue.Queue()
        more = {"most_waiting": settings.pop("most_waiting", 64)}
        filters = settings.pop("filters", ())
        backoff = settings.pop("backoff", None) or Backoff(draw=lambda: 0.01)
        self._subscriber = Subscriber(
            Settings(url, foreign=filters, **settings), self.intake, secret=SECRET, worker=name,
            now_ms=lambda: 7_000, foreign=foreign, on_state=self.states.put,
            backoff=backoff, **more,
        )  # fmt: skip

    def __enter__(self):
        self._subscriber.start()
        self.wait_subscribed()
        return self

    def __exit__(self, *_):
        self._subscriber.close()

    def __getattr__(self, name):
        return getattr(self._subscriber, name)

    def wait_subscribed(self):
        while self.states.get(timeout=PATIENCE_S) is not None:
            pass

    def wait_lost(self):
        while (sentence := self.states.get(timeout=PATIENCE_S)) is None:
            pass
        return sentence


@pytest.fixture
def start(tmp_path):
    """A function that starts a broker of another kind."""
    brokers = []

    def start(**how):
        mosquitto_program()
        brokers.append(Broker(tmp_path, **how))
        brokers[-1].start()
        return brokers[-1]

    yield start
    for broker in brokers:
        broker.kill()


def relay_to(url, **more):
    return MqttRelay(f"{url}/fanal/1/north", more.pop("ca_pem", None), lambda: b"will", **more)


def send(url, deliveries, **more):
    """Send deliveries by a relay of their own."""

    async def run():
        relay = relay_to(url, **more)
        try:
            for one in deliveries:
                await relay.send(one)
        finally:
            await relay.close()

    asyncio.run(run())


def numbered(count):
    return [b"delivery %04d" % i for i in range(count)]


def test_a_delivery_arrives(mosquitto):
    with Worker(mosquitto.url) as worker:
        send(mosquitto.url, [b"x" * 200_000])
        assert worker.intake.next_data(1) == [b"x" * 200_000]


def test_without_a_hub_nothing_is_acknowledged(mosquitto):
    with pytest.raises(RelayDown) as caught:
        send(mosquitto.url, [b"delivery"])
    assert caught.value.code == "no_hub"


def test_a_thousand_that_came_while_the_hub_was_away(start):
    mosquitto = start(saves_after=None)
    with Worker(mosquitto.url):
        pass
    send(mosquitto.url, numbered(1000))
    with Worker(mosquitto.url) as worker:
        assert worker.intake.next_data(1000) == numbered(1000)  # in order, each once
        mosquitto.wait_for(ACKNOWLEDGED, count=1000)
    with Worker(mosquitto.url) as worker:
        send(mosquitto.url, [b"sentinel"])
        assert worker.intake.next_data(1) == [b"sentinel"]  # all of them were acknowledged


def test_it_comes_again_to_a_worker_that_died_before_the_commit(mosquitto):
    with Worker(mosquitto.url, commits=False) as worker:
        send(mosquitto.url, numbered(3))
        worker.intake.next()[1].set_result(None)
        # the second is not committed, though the third is: it was still to be acknowledged
        second, third = worker.intake.next(), worker.intake.next()
        third[1].set_result(None)
        assert second[0] == b"delivery 0001"
        mosquitto.wait_for(ACKNOWLEDGED)
    with Worker(mosquitto.url) as worker:
        assert worker.intake.next_data(2) == numbered(3)[1:]


def test_it_comes_again_after_a_database_that_failed(mosquitto):
    with Worker(mosquitto.url, commits=False) as worker:
        send(mosquitto.url, [b"delivery"])
        fault = EnvironmentFault("The hub's database cannot be used.")
        worker.intake.next()[1].set_exception(fault)
        assert worker.wait_lost() == fault.sentence
        data, future = worker.intake.next()
        future.set_result(None)
        assert data == b"delivery"


def test_a_database_that_stays_away_is_tried_less_and_less_often(mosquitto):
    waits = Waits()
    with Worker(mosquitto.url, commits=False, backoff=waits) as worker:
        send(mosquitto.url, [b"delivery"])
        for _ in range(4):
            worker.intake.next()[1].set_exception(EnvironmentFault("The database is away."))
        worker.intake.next()[1].set_result(None)
        mosquitto.wait_for(ACKNOWLEDGED)
        send(mosquitto.url, [b"delivery"])
        worker.intake.next()[1].set_exception(EnvironmentFault("The database is away."))
        worker.intake.next()[1].set_result(None)
    assert waits.noted == [1, 2, 4, 8, 1]


@pytest.mark.parametrize(
    ("problem", "code"),
    [
        (EnvelopeError("seal", "It is not sealed to this fleet."), "seal"),
        (Crowded(1.0, is_enrolled=False), "crowded"),
        (ZeroDivisionError(), "failed"),
    ],
)
def test_what_will_never_be_taken_is_acknowledged_and_counted(mosquitto, problem, code):
    with Worker(mosquitto.url, commits=False) as worker:
        send(mosquitto.url, numbered(2))
        worker.intake.next()[1].set_exception(problem)
        worker.intake.next()[1].set_result(None)
        mosquitto.wait_for(ACKNOWLEDGED, count=2)
    with Worker(mosquitto.url) as again:
        send(mosquitto.url, [b"sentinel"])
        assert again.intake.next_data(1) == [b"sentinel"]
    assert worker.refused == {code: 1}
    assert worker.taken == 1


def test_too_much_from_one_of_the_fleet_s_own_waits_and_holds_up_nobody(mosquitto):
    with Worker(mosquitto.url, commits=False) as worker:
        send(mosquitto.url, numbered(2))
        crowded, other = worker.intake.next(), worker.intake.next()
        crowded[1].set_exception(Crowded(LATE_S, is_enrolled=True))
        other[1].set_result(None)
        again = worker.intake.next()
        assert again[0] == crowded[0]
        again[1].set_result(None)
        mosquitto.wait_for(ACKNOWLEDGED, count=2)
    with Worker(mosquitto.url) as worker:
        send(mosquitto.url, [b"sentinel"])
        assert worker.intake.next_data(1) == [b"sentinel"]


def test_a_full_intake_holds_the_broker_back(mosquitto):
    with Worker(mosquitto.url, commits=False, most_waiting=4) as worker:
        send(mosquitto.url, numbered(50))
        first = [worker.intake.next() for _ in range(4)]
        # the broker has sent no fifth: none may be unacknowledged beside those four
        assert (
            sum(
                f"Sending PUBLISH to {client_id(SECRET, 'one')}" in line for line in mosquitto.lines
            )
            == 4
        )
        worker.intake.full = 2  # the intake says no twice, and then takes it
        worker.intake.commits = True
        for _, future in first:
            future.set_result(None)
        assert worker.intake.next_data(46) == numbered(50)[4:]


def test_two_workers_share_the_load(mosquitto):
    with Worker(mosquitto.url, "one") as one, Worker(mosquitto.url, "two") as two:
        send(mosquitto.url, numbered(40))
        got = [one.intake.next()[0], two.intake.next()[0]]
        for worker in (one, two):
            while len(got) < 40 and not (worker is one and one.intake.is_empty):
                got.append(worker.intake.next()[0])
        while len(got) < 40:
            got.append(one.intake.next()[0])
        assert sorted(got) == numbered(40)


@pytest.mark.parametrize("saves_after", [1, None])
def test_a_broker_killed_in_the_middle_loses_nothing_that_was_acknowledged(start, saves_after):
    mosquitto = start(saves_after=saves_after)
    sent = threading.Semaphore(0)

    async def run():
        relay, backoff = relay_to(mosquitto.url), Backoff(draw=lambda: 0.01)
        for one in numbered(300):
            while True:
                try:
                    await relay.send(one)
                    break
                except RelayDown:
                    await asyncio.sleep(backoff.wait_s())
            sent.release()
        await relay.close()

    with Worker(mosquitto.url) as worker:
        listener = threading.Thread(target=asyncio.run, args=(run(),))
        listener.start()
        for kill_after in (40, 70):
            for _ in range(kill_after):
                assert sent.acquire(timeout=PATIENCE_S)
            mosquitto.kill()
            worker.wait_lost()
            mosquitto.start()
        got = set()
        while got != set(numbered(300)):
            got.add(worker.intake.next()[0])  # some come twice, none not at all
        listener.join(PATIENCE_S)
        assert not listener.is_alive()


def test_what_waits_at_a_broker_survives_its_death(mosquitto):
    with Worker(mosquitto.url):
        pass
    send(mosquitto.url, numbered(20))
    seen = len(mosquitto.lines)
    send(mosquitto.url, [b"one more"])
    mosquitto.wait_for("Saving in-memory database", seen)
    mosquitto.kill()
    mosquitto.start()
    with Worker(mosquitto.url) as worker:
        assert worker.intake.next_data(20) == numbered(20)


def test_the_hub_hears_how_long_a_broker_held_a_delivery(mosquitto):
    async def run():
        mqtt = Mqtt(mosquitto.url)
        await mqtt.open()
        await mqtt.publish(TOPIC, b"old", held_s=3600.9)
        await mqtt.publish(TOPIC, b"new")
        await mqtt.close()

    with Worker(mosquitto.url) as worker:
        asyncio.run(run())
        worker.intake.next_data(2)
    old_ms, new_ms = worker.intake.held_ms
    assert 3_600_000 <= old_ms < 3_660_000
    assert new_ms < 60_000


def test_what_a_broker_held_for_an_hour_was_heard_an_hour_ago(mosquitto, tmp_path):
    hub, listener = PaperHub(tmp_path / "hub.db"), PaperListener()
    hub.now_ms = T0 + 3_600_000
    sealed = listener.heard(Heard(bytes(23), -60, T0 - 2_000, ""), sent_ms=T0)
    intake = Intake(Inbox(hub.store, hub.opener))
    subscriber = Subscriber(
        Settings(mosquitto.url), intake, secret=SECRET, worker="one", now_ms=hub.store.now_ms
    )

    async def publish():
        mqtt = Mqtt(mosquitto.url)
        await mqtt.open()
        await mqtt.publish(TOPIC, sealed, held_s=3600)
        await mqtt.publish(TOPIC, b"garbage")
        await mqtt.publish(TOPIC, sealed, held_s=3600)
        await mqtt.close()

    with Worker(mosquitto.url):
        pass
    asyncio.run(publish())
    subscriber.start()
    mosquitto.wait_for(ACKNOWLEDGED, count=3)
    subscriber.close()
    intake.close()
    with hub.store.reading() as session:
        (row,) = session.scalars(select(InboxRow)).all()
        (known,) = session.scalars(select(ListenerRow)).all()
    ((_, heard_ms, *_),) = row.frames
    # to the second, as a broker tells it, and however long this took
    assert T0 - 62_000 < heard_ms <= T0 - 2_000
    assert row.received_ms == hub.now_ms
    assert T0 - 60_000 < known.last_received_ms <= T0
    assert (subscriber.taken, subscriber.refused) == (2, {"form": 1})
    hub.close()


def test_a_network_that_swallows_the_acknowledgement_is_no_acknowledgement(mosquitto):
    with Worker(mosquitto.url) as worker, Wire(mosquitto.port) as wire:

        async def run():
            relay = relay_to(f"mqtt://127.0.0.1:{wire.port}")
            await relay.send(b"first")
            wire.swallow(TO_CLIENT)
            relay._mqtt._patience_s = LATE_S
            with pytest.raises(RelayDown) as caught:
                await relay.send(b"second")
            assert caught.value.code == "network"
            wire.cut()
            await relay.send(b"second")
            await relay.close()

        asyncio.run(run())
        got = worker.intake.next_data(4)
    # taken before its acknowledgement was lost, and again; the hub knows its groups by name
    assert sorted(got) == [b"first", b"first", b"second", b"second"]


def test_a_network_that_swallows_the_delivery(mosquitto):
    with Worker(mosquitto.url) as worker, Wire(mosquitto.port) as wire:

        async def run():
            relay = relay_to(f"mqtt://127.0.0.1:{wire.port}")
            await relay.open()
            wire.swallow(TO_SERVER)
            relay._patience_s = relay._mqtt._patience_s = LATE_S
            with pytest.raises(RelayDown):
                await relay.send(b"x" * 200_000)
            assert wire.swallowed.is_set()
            with pytest.raises(RelayDown):
                await relay.open()  # so is the greeting
            wire.cut()
            relay._patience_s = PATIENCE_S
            await relay.send(b"delivery")
            await relay.close()

        asyncio.run(run())
        assert worker.intake.next_data(1) == [b"delivery"]


def test_a_hub_whose_network_breaks_gets_what_it_did_not_acknowledge(mosquitto):
    with (
        Wire(mosquitto.port) as wire,
        Worker(f"mqtt://127.0.0.1:{wire.port}", commits=False) as worker,
    ):
        send(mosquitto.url, numbered(2))
        assert worker.intake.next_data(2) == numbered(2)
        wire.cut()
        worker.wait_lost()
        assert worker.intake.next_data(2) == numbered(2)


def test_the_last_will_of_a_listener_that_is_cut_off(mosquitto):
    with Worker(mosquitto.url) as worker, Wire(mosquitto.port) as wire:

        async def run():
            relay = relay_to(f"mqtt://127.0.0.1:{wire.port}", will_delay_s=0)
            await relay.send(b"delivery")
            wire.cut()
            await asyncio.to_thread(worker.intake.next)
            assert await asyncio.to_thread(worker.intake.next_data, 1) == [b"will"]
            await relay.close()

        asyncio.run(run())


def test_a_listener_that_comes_back_at_once_leaves_no_will(mosquitto):
    with Worker(mosquitto.url) as worker, Wire(mosquitto.port) as wire:

        async def run():
            relay = relay_to(f"mqtt://127.0.0.1:{wire.port}")
            await relay.open()
            mqtt = relay._mqtt
            wire.cut()
            await mqtt.lost()
            await relay.send(b"delivery")
            await relay.close()

        asyncio.run(run())
        send(mosquitto.url, [b"sentinel"])
        assert worker.intake.next_data(2) == [b"delivery", b"sentinel"]


def test_a_listener_that_ends_in_order_leaves_no_will(mosquitto):
    with Worker(mosquitto.url) as worker:
        send(mosquitto.url, [b"delivery"], will_delay_s=0)
        send(mosquitto.url, [b"sentinel"])
        assert worker.intake.next_data(2) == [b"delivery", b"sentinel"]


def test_tls_with_the_pinned_authority_and_no_other(mosquitto, tmp_path):
    ca = tmp_path / "ca.pem"
    ca.write_text(mosquitto.ca_pem)
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other").path.read_text()
    with Worker(mosquitto.tls_url, ca=ca) as worker:
        send(mosquitto.tls_url, [b"delivery"], ca_pem=mosquitto.ca_pem)
        assert worker.intake.next_data(1) == [b"delivery"]
        for pem in (other, None):
            with pytest.raises(RelayDown) as caught:
                send(mosquitto.tls_url, [b"stolen"], ca_pem=pem)
            assert caught.value.code == "certificate"
        with pytest.raises(RelayDown) as caught:
            send(mosquitto.tls_url.replace("mqtts:", "mqtt:"), [b"stolen"])
        assert caught.value.code == "network"
        assert worker.intake.is_empty


def test_a_certificate_for_another_name_is_not_believed(start):
    broker = start(address="127.0.0.2")
    with pytest.raises(RelayDown) as caught:
        send(broker.tls_url, [b"delivery"], ca_pem=broker.ca_pem)
    assert caught.value.code == "certificate"


def test_a_broker_announces_what_is_too_large_for_it(start):
    broker = start(more="allow_anonymous true\nmax_packet_size 50000\n")
    with Worker(broker.url) as worker:
        with pytest.raises(RelayRefused) as caught:
            send(broker.url, [b"x" * 50_000])
        send(broker.url, [b"x" * 40_000])
        assert len(worker.intake.next()[0]) == 40_000
    assert caught.value.code == "size"


def test_foreign_gateways_are_heard_and_what_they_retained_is_not(mosquitto):
    heard = queue.Queue()
    topic = "home/gw/BTtoMQTT/AA"

    def publish(payload, *more):
        program = ["mosquitto_pub", "-p", str(mosquitto.port), "-t", topic, "-m", payload, *more]
        subprocess.run(program, check=True, timeout=PATIENCE_S)

    publish("old", "-r")
    with Worker(mosquitto.url, foreign=lambda *one: heard.put(one), filters=("home/#",)) as worker:
        publish("new")
        assert heard.get(timeout=PATIENCE_S) == (topic, b"new", 7_000)
        send(mosquitto.url, [b"delivery"])
        assert worker.intake.next_data(1) == [b"delivery"]


def test_a_session_is_kept_until_it_is_ended(mosquitto):
    async def run():
        gone = Mqtt(mosquitto.url, client_id=client_id(SECRET, "one"))
        await gone.open()
        await gone.close()

    with Worker(mosquitto.url):
        pass
    send(mosquitto.url, [b"kept"])
    asyncio.run(run())
    with pytest.raises(RelayDown) as caught:
        send(mosquitto.url, [b"delivery"])
    assert caught.value.code == "no_hub"


def test_nobody_can_take_a_share_or_a_worker_s_place_who_knows_no_secret(mosquitto):
    async def take():
        thief = Mqtt(mosquitto.url, client_id="fanal-hub-one")
        await thief.open()
        await thief.subscribe(["$share/fanal-hub/fanal/1/+/up", shared(bytes(32))])
        relay = relay_to(mosquitto.url)
        for one in numbered(20):
            await relay.send(one)
        await relay.close()
        await thief.close()

    with Worker(mosquitto.url) as worker:
        asyncio.run(take())
        assert worker.intake.next_data(20) == numbered(20)


def test_names_at_the_broker_tell_nothing_and_differ():
    names = {client_id(SECRET, "one"), client_id(SECRET, "two"), client_id(bytes(32), "one")}
    assert len(names) == 3
    assert not any("one" in name or "hub" in name for name in names)
    assert shared(SECRET) != shared(bytes(32))
