"""A hub whose workers are killed, whose disk is full, whose database goes away: afterwards all that
was acknowledged is in the incidents once, and they are those of a day on which nothing happened."""

import random
import struct
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from fanal.envelope import Opener
from fanal.error import FanalError
from fanal.hub import resolving as resolving_module
from fanal.hub.config import Limits
from fanal.hub.inbox import Inbox
from fanal.hub.intake import Intake
from fanal.hub.resolving import Resolving
from fanal.hub.tables import HeardRow, InboxRow, IncidentRow, SightingRow
from sqlalchemy import event, func, select

from tests.unit.paper_beacon import T0, PaperBeacon, heard
from tests.unit.paper_listener import KEYS, SEALING, PaperHub, PaperListener
from tests.unit.paper_story import BEACONS, LISTENERS, SENT_MS, story, told

ROOT = Path(__file__).resolve().parents[2]
UNLIMITED = Limits(10**9, 10**9, 10**9)


@pytest.fixture(params=["sqlite", "postgres"])
def url(request, tmp_path):
    """An empty database of each kind."""
    if request.param == "postgres":
        return request.getfixturevalue("postgres_url")
    return f"sqlite:///{tmp_path / 'hub.db'}"


@pytest.fixture
def hub(url):
    """A hub that waits for the story."""
    hub = prepared(url)
    yield hub
    hub.close()


@pytest.fixture
def larger_hub(url):
    """A hub with twenty beacons."""
    hub = PaperHub(url, 20, now_ms=SENT_MS)
    yield hub
    hub.close()


@pytest.fixture
def sqlite_hub(tmp_path):
    """The same on SQLite alone."""
    hub = prepared(f"sqlite:///{tmp_path / 'hub.db'}")
    yield hub
    hub.close()


def prepared(url: str) -> PaperHub:
    hub = PaperHub(url, BEACONS, now_ms=SENT_MS)
    hub.confirm(LISTENERS[0])
    return hub


@pytest.fixture(scope="module")
def deliveries():
    return story([PaperBeacon(number) for number in range(1, BEACONS + 1)])


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, deliveries):
    """What a hub makes of the story when nothing happens."""
    hub = prepared(f"sqlite:///{tmp_path_factory.mktemp('hub') / 'hub.db'}")
    intake = Intake(Inbox(hub.store, hub.opener, UNLIMITED))
    futures = [intake.submit(data, "") for data in deliveries]
    intake.close()
    assert all(future.exception() is None for future in futures)
    finish(Resolving(hub.store, hub.keys, "one"))
    result = told(hub.store)
    hub.close()
    return result


def finish(resolving: Resolving) -> None:
    while resolving.step() or resolving.has_more:
        pass


class Worker:
    """A worker's process. answers: by number of delivery, True or the code of its refusal."""

    def __init__(self, url: str, *options: object) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.e2e.hub_worker", url, *map(str, options)], cwd=ROOT,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self.answers: dict[int, object] = {}
        self.is_done = self._is_gone = False
        self._told = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def send(self, deliveries, *, in_turn: bool = False) -> None:
        """Give it deliveries and the end of them, if it lives that long.

        in_turn: each when the one before was answered.
        """
        with suppress(BrokenPipeError):
            for number, data in enumerate(deliveries):
                self._process.stdin.write(struct.pack(">I", len(data)) + data)
                if in_turn:
                    self._process.stdin.flush()
                    with self._told:
                        self._told.wait_for(lambda n=number: n in self.answers or self._is_gone)
            self._process.stdin.close()

    def end(self) -> int:
        """Wait until it is gone, and return how it ended."""
        self._reader.join()
        self._process.stdout.close()
        status = self._process.wait()
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        return status

    def _read(self) -> None:
        for line in self._process.stdout:
            word, *rest = line.decode().split()
            with self._told:
                if word == "done":
                    self.is_done = True
                else:
                    self.answers[int(rest[0])] = True if word == "ok" else rest[1]
                self._told.notify_all()
        with self._told:
            self._is_gone = True
            self._told.notify_all()


def send_until_acknowledged(
    url: str, waiting: list[bytes], *options: object, in_turn: bool = False
) -> tuple[list, Worker]:
    """Let one worker have what waits, and return what it did not acknowledge."""
    worker = Worker(url, *options)
    worker.send(waiting, in_turn=in_turn)
    worker.end()
    return [d for n, d in enumerate(waiting) if worker.answers.get(n) is not True], worker


def test_killed_at_any_statement(hub, deliveries, undisturbed):
    dice, waiting, killed = random.Random(11), [], 0
    part = -(-len(deliveries) // 6)
    for at in range(0, len(deliveries), part):
        number = dice.randrange(1, 40)
        waiting, worker = send_until_acknowledged(
            hub.url, waiting + deliveries[at : at + part], "--die-at", number, in_turn=True
        )
        killed += not worker.is_done
    assert killed >= 4
    waiting, worker = send_until_acknowledged(hub.url, waiting)
    assert (waiting, worker.is_done) == ([], True)
    assert told(hub.store) == undisturbed


def test_a_disk_that_fills_up_and_has_room_again(sqlite_hub, tmp_path, deliveries, undisturbed):
    url = sqlite_hub.url
    largest = max(path.stat().st_size for path in tmp_path.iterdir()) + 40_000
    waiting, worker = send_until_acknowledged(
        url, deliveries, "--largest-file", largest, in_turn=True
    )
    assert set(worker.answers.values()) == {True, "database"}
    waiting, worker = send_until_acknowledged(url, waiting)
    assert (waiting, worker.is_done) == ([], True)
    assert told(sqlite_hub.store) == undisturbed


def test_a_database_without_room_refuses_and_says_so_and_recovers(
    sqlite_hub, deliveries, undisturbed
):
    """SQLITE_FULL, in the middle of intake and in the middle of resolving."""
    hub = sqlite_hub
    pages = [0]

    def limit(connection, *_):
        connection.execute(f"PRAGMA max_page_count = {pages[0]}")

    event.listen(hub.store.engine, "checkout", limit)
    with hub.store.engine.connect() as connection:
        least = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    inbox, resolving = Inbox(hub.store, hub.opener, UNLIMITED), Resolving(hub.store, KEYS, "one")
    waiting, failures = list(deliveries), []
    for more in (2, 6, 12, 20, 30, 45, 10_000):
        pages[0] = least + more
        intake = Intake(inbox)
        futures = [intake.submit(data, "") for data in waiting]
        intake.close()
        waiting = [d for d, f in zip(waiting, futures, strict=True) if f.exception() is not None]
        failures += [f.exception() for f in futures if f.exception() is not None]
        try:
            finish(resolving)
        except FanalError as problem:
            failures.append(problem)
    assert len(failures) >= 3
    assert {problem.code for problem in failures} == {"database"}
    assert waiting == []
    assert told(hub.store) == undisturbed


def test_a_database_that_crashes_and_starts_again(
    postgres, postgres_url, deliveries, undisturbed, monkeypatch
):
    monkeypatch.setattr(resolving_module, "_AFTER_TROUBLE_S", 0.05)
    hub = prepared(postgres_url)
    stop, wake, troubles = threading.Event(), threading.Event(), []
    resolving = Resolving(hub.store, KEYS, "one", on_trouble=troubles.append)
    thread = threading.Thread(target=resolving.run, args=(stop, wake))
    intake = Intake(Inbox(hub.store, Opener(SEALING), UNLIMITED), on_taken=wake.set)
    thread.start()
    try:
        waiting = list(deliveries)
        for crash in (True, True, False):
            half = len(waiting) // 2
            futures = [intake.submit(data, "") for data in waiting[:half]]
            if crash:
                futures[0].exception()
                postgres.kill()
            futures += [intake.submit(data, "") for data in waiting[half:]]
            failed = [future.exception() is not None for future in futures]
            waiting = [data for data, is_lost in zip(waiting, failed, strict=True) if is_lost]
            if crash:
                assert waiting
                postgres.start()
        assert waiting == []
        intake.close()
        stop.set()
        wake.set()
        thread.join()
        finish(Resolving(hub.store, KEYS, "two"))
        assert {problem.code for problem in troubles} <= {"database"}
        assert told(hub.store) == undisturbed
    finally:
        stop.set()
        wake.set()
        thread.join()
        hub.close()


def test_workers_that_share_the_load_and_one_is_killed(larger_hub):
    """Two workers take in at the same time and take turns at resolving; each alert counts once."""
    hub, url = larger_hub, larger_hub.url
    listeners, units = [PaperListener(number) for number in (1, 2)], 40
    sent = [
        [listener.delivery(SENT_MS, [listener.group(
            [heard(beacon.alert(1, 2 * unit), T0 + 2000 * unit) for beacon in hub.beacons])])
         for unit in range(units)]
        for listener in listeners
    ]  # fmt: skip
    patience = ("--patience-ms", 300)
    workers = [Worker(url, *patience, "--die-at", 60), Worker(url, *patience)]
    workers[1].send(sent[1])
    workers[0].send(sent[0], in_turn=True)
    assert [worker.end() for worker in workers] == [-9, 0]
    left = [d for n, d in enumerate(sent[0]) if workers[0].answers.get(n) is not True]
    assert [workers[1].answers[n] for n in range(units)] == [True] * units
    left, worker = send_until_acknowledged(url, left, *patience)
    assert (left, worker.is_done) == ([], True)
    with hub.store.reading() as session:
        seen = session.execute(
            select(SightingRow.beacon, SightingRow.seq, SightingRow.listener, func.count())
            .group_by(SightingRow.beacon, SightingRow.seq, SightingRow.listener)
        ).all()  # fmt: skip
        incidents = session.scalars(select(IncidentRow)).all()
        waiting = [session.scalar(select(func.count()).select_from(kind))
                   for kind in (InboxRow, HeardRow)]  # fmt: skip
    assert len(seen) == 2 * units * len(hub.beacons)
    assert {count for *_, count in seen} == {1}
    assert [(row.sightings, row.replays, row.listeners) for row in incidents] == (
        [(2 * units, 0, 2)] * len(hub.beacons)
    )
    assert waiting == [0, 0]


def test_a_hundred_thousand_come_to_the_same_as_a_thousand(larger_hub):
    """The bench's work, small: everything once, in the order of hearing."""
    sys.path.insert(0, str(ROOT / "bench"))
    try:
        import hub as bench
    finally:
        sys.path.remove(str(ROOT / "bench"))
    listeners = [PaperListener(number) for number in (1, 2, 3)]
    hub = larger_hub
    hub.now_ms = T0 + 2000 * 50
    hub.confirm(*listeners)
    bench.catch_up(hub, list(bench.deliveries(hub.beacons, 50, listeners)), 1000, False)
    with hub.store.reading() as session:
        for row in session.scalars(select(IncidentRow)):
            assert (row.first_heard_ms, row.age_s) == (T0, 98)
            heard_ms = session.scalars(
                select(SightingRow.heard_ms)
                .where(SightingRow.incident == row.id).order_by(SightingRow.slot, SightingRow.seq)
            ).all()  # fmt: skip
            assert heard_ms == sorted(heard_ms)
