"""Days without a network in jumping time: listeners, inbox and incidents, and every clock its own.

Of paper are the radio and the network; the rest is what runs at volunteers and at the hub.
"""

import asyncio
from collections import Counter

import pytest
from fanal.envelope import Opener, split
from fanal.gateway.bundle import make
from fanal.gateway.clocks import Clocks
from fanal.gateway.gateway import Gateway
from fanal.gateway.listener_key import ListenerKey
from fanal.gateway.locate import Fixed
from fanal.gateway.outbox import OUTBOX_FILE, Outbox
from fanal.gateway.relay import RelayDown
from fanal.heard import Heard
from fanal.hub.inbox import Inbox, Incoming, Taken
from fanal.hub.resolving import Resolving
from fanal.hub.tables import HeardRow, InboxRow, IncidentRow, SightingRow
from fanal.radio import HEARING, RadioState
from sqlalchemy import select

from tests.unit import jumping_loop
from tests.unit.paper_beacon import T0
from tests.unit.paper_listener import KEYS, SEALING, PaperHub

HOUR_S, DAY_S, YEAR_MS = 3600, 86_400, 31_557_600_000


class PaperRadio:
    """A radio that hears what it is told."""

    def __init__(self):
        self.counts = Counter()
        self._queue = asyncio.Queue()

    async def __aenter__(self):
        self._queue.put_nowait(RadioState(HEARING, 0, ""))
        return self

    async def __aexit__(self, *_):
        pass

    def __aiter__(self):
        return self

    async def __anext__(self):
        return await self._queue.get()

    def hear(self, payload, now_ms):
        self.counts["adverts"] += 1
        self._queue.put_nowait(Heard(payload, -60, now_ms, ""))


class Days:
    """A hub, and a network to it. now_ms: the true time, which is what the hub's clock says."""

    def __init__(self, folder):
        loop = asyncio.get_running_loop()
        self._began_s, self._loop = loop.time(), loop
        self.folder = folder
        self.hub = PaperHub(folder / "hub.db", 3)
        self.inbox = Inbox(self.hub.store, self.hub.opener)
        self.restart_hub()

    @property
    def now_ms(self):
        return T0 + int(1000 * (self._loop.time() - self._began_s))

    def restart_hub(self):
        self._resolving = Resolving(self.hub.store, KEYS, "one", patience_ms=0)

    def take(self, delivery):
        if len(split(delivery)) == 1:
            return  # signs of life, thousands
        self.hub.now_ms = self.now_ms
        (answer,) = self.inbox.take([Incoming(delivery, "", self.now_ms)])
        if not isinstance(answer, Taken):
            raise RelayDown(answer.sentence, code="busy")
        while self._resolving.step() or self._resolving.has_more:
            pass

    async def at(self, hours):
        """Wait until so many hours after the beginning."""
        await asyncio.sleep(self._began_s + hours * HOUR_S - self._loop.time())

    def rows(self, kind):
        with self.hub.store.reading() as session:
            return list(session.scalars(select(kind)))


class Volunteer:
    """A listener with a computer: a boot, a wall clock that is wrong, a network or none."""

    def __init__(self, days, name, wall_error_ms=0, has_network=True):
        self._days, self._folder = days, days.folder / name
        self._folder.mkdir()
        self.wall_error_ms, self.has_network = wall_error_ms, has_network
        self.boots = 0

    async def send(self, delivery):
        if not self.has_network:
            raise RelayDown("It cannot be reached.", code="network")
        self._days.take(delivery)

    async def open(self):
        pass

    async def close(self):
        pass

    async def boot(self):
        """Switch on: the steady clock begins anew."""
        self.boots += 1
        began_ms = self._days.now_ms - 5_000
        clocks = Clocks(
            lambda: self._days.now_ms - began_ms,
            lambda: max(0, self._days.now_ms + self.wall_error_ms), f"boot {self.boots}",
        )  # fmt: skip
        self._clocks, self._radio = clocks, PaperRadio()
        self._outbox = Outbox(self._folder / OUTBOX_FILE)
        bundle = make("Harbour", Opener(SEALING).recipient, "https://hub.example")
        gateway = Gateway(
            self._radio, bundle, ListenerKey.in_folder(self._folder), self._outbox,
            lambda *_: self, Fixed(), clocks, lambda _: None,
        )  # fmt: skip
        gateway._tick_s = 600.0
        self._running = asyncio.create_task(gateway.run())
        await asyncio.sleep(1)

    async def off(self):
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)
        self._outbox.close()

    async def hear(self, beacon, event, alerts=3):
        """Hear the first alerts of an event, and return when that began, in true time."""
        began_ms = self._days.now_ms
        for number in range(alerts):
            self._radio.hear(beacon.alert(event, 2 * number), self._clocks.steady_ms())
            await asyncio.sleep(2)
        return began_ms


def days_test(test):
    """Run a test in jumping time, with a hub."""

    def run(tmp_path, **more):
        async def go():
            days = Days(tmp_path)
            try:
                await test(days, **more)
            finally:
                days.hub.close()

        jumping_loop.run(go())

    run.__name__ = test.__name__
    return run


async def offline(days, wall_error_ms, restarts):
    """The story; return what has to be known in the end, as (beacon, event) -> when it began."""
    far = Volunteer(days, "far", wall_error_ms, has_network=False)
    near = Volunteer(days, "near")
    one, two, three = days.hub.beacons
    began = {}

    async def hear(volunteer, beacon, event):
        began[beacon.id, event] = await volunteer.hear(beacon, event)

    await far.boot()
    await days.at(1)
    await hear(far, one, 1)
    await hear(far, two, 1)
    await days.at(30)
    await hear(far, one, 2)
    await days.at(40)
    await far.off()
    await days.at(41)
    await far.boot()  # what waits is of another boot from now on
    await days.at(50)
    await hear(far, one, 3)
    await days.at(60)
    await near.boot()
    await hear(near, one, 5)  # nobody heard of the fourth
    await hear(near, three, 1)
    if restarts:
        days.restart_hub()
    await days.at(70)
    await hear(near, one, 6)
    await days.at(71)
    await near.off()
    assert {(row.beacon, row.event) for row in days.rows(IncidentRow)} == {
        (one.id, 5), (one.id, 6), (three.id, 1),
    }  # fmt: skip
    await days.at(6 * 24)
    far.has_network = True
    await days.at(6 * 24 + 1)
    await far.off()
    return began


@pytest.mark.parametrize(("years", "restarts"), [(0, False), (-30, True), (12, True)])
def test_what_was_heard_without_a_network_is_known_with_its_true_time(tmp_path, years, restarts):
    days_test(told_in_the_end)(tmp_path, years=years, restarts=restarts)


async def told_in_the_end(days, years, restarts):
    began = await offline(days, years * YEAR_MS, restarts)
    rows = {(row.beacon, row.event): row for row in days.rows(IncidentRow)}
    assert rows.keys() == began.keys()
    assert not any(row.is_replay for row in rows.values())
    for event, row in rows.items():
        assert (row.sightings, row.replays, row.age_s) == (3, 0, 4), event
        assert abs(row.first_heard_ms - began[event]) <= 1, event
        assert abs(row.last_heard_ms - began[event] - 4000) <= 1, event
    assert days.rows(InboxRow) == days.rows(HeardRow) == []
    heard = sorted(days.rows(SightingRow), key=lambda row: row.heard_ms)
    order = sorted(began, key=began.get)
    assert [(row.beacon, row.event) for row in heard] == [one for one in order for _ in range(3)]


def test_a_computer_that_forgets_the_time_at_a_boot_is_believed_no_longer_than_it_may(tmp_path):
    """It has no clock of its own, and comes up in the year of its making: nothing says how long
    what it heard before has waited, so that counts as heard when it came in."""

    async def story(days):
        far = Volunteer(days, "far", has_network=False)
        (beacon, *_) = days.hub.beacons
        await far.boot()
        await far.hear(beacon, 1)
        await days.at(24)
        await far.off()
        far.wall_error_ms = -9 * YEAR_MS
        far.has_network = True
        await far.boot()
        await days.at(25)
        await far.off()
        (row,) = days.rows(IncidentRow)
        assert (row.sightings, row.is_replay) == (3, False)
        assert T0 < row.first_heard_ms <= row.first_received_ms

    days_test(story)(tmp_path)
