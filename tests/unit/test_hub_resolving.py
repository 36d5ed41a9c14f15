"""From the inbox to incidents: exactly once, whatever fails, whoever has the turn."""

import random
import sqlite3
import threading
from types import SimpleNamespace

import pytest
from fanal import resolver as resolver_module
from fanal.error import EnvironmentFault, FanalError, IntegrityError
from fanal.heard import Heard, Receipt
from fanal.hub import anchors, heard_rows, resolving
from fanal.hub.inbox import Inbox, Incoming, Taken
from fanal.hub.keys import HubKeys, open_anchor
from fanal.hub.resolving import Resolving
from fanal.hub.store import BEACONS, Store
from fanal.hub.tables import (
    BeaconRow,
    HeardRow,
    InboxRow,
    IncidentRow,
    MetaRow,
    ReceivedRow,
    SightingRow,
)
from fanal.hub.taking import Taking
from fanal.resolver import Resolver
from fanal_protocol import keys
from sqlalchemy import event, func, select, update

from tests.unit.paper_beacon import T0, PaperBeacon, heard
from tests.unit.paper_listener import KEYS, PaperHub, PaperListener
from tests.unit.paper_story import BEACONS as STORY_BEACONS
from tests.unit.paper_story import LISTENERS, SENT_MS, story, told

HOUR_MS = 3600_000


@pytest.fixture
def hub(tmp_path):
    hub = PaperHub(tmp_path / "hub.db", STORY_BEACONS, now_ms=SENT_MS)
    hub.confirm(LISTENERS[0])
    yield hub
    hub.close()


@pytest.fixture(scope="module")
def deliveries():
    return story([PaperBeacon(number) for number in range(1, STORY_BEACONS + 1)])


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, deliveries):
    """What a hub makes of the story that nothing happens to."""
    hub = PaperHub(tmp_path_factory.mktemp("hub") / "hub.db", STORY_BEACONS, now_ms=SENT_MS)
    hub.confirm(LISTENERS[0])
    take(hub, *deliveries)
    finish(worker(hub))
    result = told(hub.store)
    hub.close()
    return result


def take(hub: PaperHub, *data: bytes) -> None:
    answers = Inbox(hub.store, hub.opener).take([Incoming(one, "", hub.now_ms) for one in data])
    assert all(isinstance(answer, Taken) for answer in answers), answers


def worker(hub: PaperHub, name: str = "one", **more) -> Resolving:
    return Resolving(hub.store, hub.keys, name, **more)


def finish(one: Resolving) -> None:
    while one.step() or one.has_more:
        pass


def rows(hub: PaperHub, kind) -> list:
    with hub.store.reading() as session:
        return list(session.scalars(select(kind).order_by(*kind.__table__.primary_key)))


def test_the_story_has_everything(undisturbed):
    kinds = {(of, row["kind"], row["signature"]) for of, row in undisturbed["incidents"].items()}
    assert {(kind, sign) for _, kind, sign in kinds} == {
        ("ALERT", "signed"), ("ALERT", "unsigned"), ("DRILL", "signed"), ("TEST", "unsigned"),
    }  # fmt: skip
    far = next(row for (_, n), row in undisturbed["incidents"].items() if n == 40)
    assert far["listeners"] == 2, "both listeners heard it before it was found"
    assert sum(row["replays"] for row in undisturbed["incidents"].values()) == 2
    assert len(undisturbed["crumbs"]) == 3
    assert (undisturbed["inbox"], undisturbed["waiting"]) == (0, [])


def test_a_worker_that_is_new_for_every_group_comes_to_the_same(
    hub, deliveries, undisturbed, monkeypatch
):
    monkeypatch.setattr(resolving, "_MOST_GROUPS", 1)
    monkeypatch.setattr(resolving, "_INBOX", resolving._INBOX.limit(1))
    for data in deliveries:
        take(hub, data)
        finish(worker(hub, patience_ms=0))
    assert told(hub.store) == undisturbed


def test_so_does_one_that_keeps_its_table_in_a_file(
    hub, deliveries, undisturbed, monkeypatch, tmp_path
):
    monkeypatch.setattr("fanal.resolver.WIDE", 1)
    monkeypatch.setattr(resolving, "_MOST_GROUPS", 3)
    monkeypatch.setattr(resolving, "_INBOX", resolving._INBOX.limit(3))
    index, taken_up = tmp_path / "rids.index", []
    real = Resolver.watch_saved

    def watch_saved(*args):
        taken_up.append(real(*args))
        return taken_up[-1]

    monkeypatch.setattr(Resolver, "watch_saved", watch_saved)
    for number, data in enumerate(deliveries):
        take(hub, data)
        one = worker(hub, patience_ms=0, index=index)
        finish(one)
        if number % 3:  # else it is killed
            one.release()
    assert told(hub.store) == undisturbed
    assert taken_up[0] == "missing"
    assert taken_up[1:] == [None] * (len(deliveries) - 1)
    assert [path.name for path in tmp_path.glob("*index*")] == [index.name]


def test_a_table_in_a_file_goes_when_keys_do(hub, deliveries, monkeypatch, tmp_path):
    monkeypatch.setattr("fanal.resolver.WIDE", 1)
    index = tmp_path / "rids.index"
    one = worker(hub, index=index, late_ms=0)
    one.step()
    assert index.exists()
    take(hub, *deliveries)
    finish(one)
    assert not index.exists()
    one.release()
    assert index.exists()


def test_a_table_that_cannot_be_kept_is_no_trouble(
    hub, deliveries, undisturbed, monkeypatch, tmp_path
):
    monkeypatch.setattr("fanal.resolver.WIDE", 1)
    take(hub, *deliveries)
    one = worker(hub, index=tmp_path / "nowhere" / "rids.index")
    finish(one)
    one.release()
    assert told(hub.store) == undisturbed


def test_a_new_worker_after_all_unknown_ones_still_finds_them(hub, deliveries, undisturbed):
    class Interrupted(Resolving):
        """Dies before it looks further than the windows."""

        has_more = False

    take(hub, *deliveries)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resolving, "_SEARCHED_BUSY", 0)
        patch.setattr(resolving, "_SEARCHED_IDLE", 0)
        first = Interrupted(hub.store, hub.keys, "one")
        while first.step():
            pass
    assert {row.event for row in rows(hub, IncidentRow)} == {1, 2}
    assert any(row.payload[0] == 0x20 for row in rows(hub, HeardRow))
    finish(worker(hub, "two", patience_ms=0))
    assert told(hub.store) == undisturbed


def test_a_failure_at_any_statement_loses_and_doubles_nothing(
    hub, deliveries, undisturbed, monkeypatch
):
    monkeypatch.setattr(resolving, "_INBOX", resolving._INBOX.limit(24))
    take(hub, *deliveries)
    left = [0]

    def fail(*_):
        left[0] -= 1
        if left[0] == 0:
            raise sqlite3.OperationalError("disk I/O error")

    event.listen(hub.store.engine, "before_cursor_execute", fail)
    event.listen(hub.store.engine, "commit", fail)
    one, failures = worker(hub), 0
    while True:
        for after in range(1, 1000):
            left[0] = after
            try:
                done = one.step()
            except EnvironmentFault:
                failures += 1
                continue
            break
        if not done and not one.has_more:
            break
    left[0] = -1
    assert failures > 60
    assert told(hub.store) == undisturbed


def test_two_workers_that_take_turns_come_to_the_same(hub, deliveries, undisturbed, monkeypatch):
    monkeypatch.setattr(resolving, "_INBOX", resolving._INBOX.limit(3))
    workers = [worker(hub, name, patience_ms=1000) for name in ("one", "two")]
    dice = random.Random(4)
    take(hub, *deliveries)
    for _ in range(200):
        hub.now_ms += 400 * dice.randrange(4)
        dice.choice(workers).step()
    hub.now_ms += 2000
    finish(workers[0])
    hub.now_ms = SENT_MS
    assert told(hub.store) == undisturbed


def test_what_is_heard_now_does_not_wait_behind_what_waited_for_days(hub):
    old, new = PaperListener(1), PaperListener(2)
    beacon, other = hub.beacons[:2]
    sealed = [old.group([heard(beacon.alert(1, 2 * n), T0 + 2000 * n)]) for n in range(100)]
    take(hub, old.delivery(SENT_MS, sealed), new.heard(heard(other.alert(1), SENT_MS)))
    one = worker(hub)
    assert one.step() == 64
    assert {row.beacon for row in rows(hub, IncidentRow)} == {beacon.id, other.id}
    finish(one)
    (row,) = [row for row in rows(hub, IncidentRow) if row.beacon == beacon.id]
    assert (row.sightings, row.replays, row.first_heard_ms, row.age_s) == (100, 0, T0, 198)


def test_the_turn_is_kept_while_its_worker_lives_and_left_when_it_goes(hub):
    beacon, listener = hub.beacons[0], LISTENERS[0]
    one, two = worker(hub, "same name"), worker(hub, "same name")
    for at, (first, second) in enumerate([(one, two), (one, two), (two, one)]):
        if first is two:
            one.release()
        take(hub, listener.heard(heard(beacon.alert(1, 2 * at), T0 + 2000 * at)))
        assert second.step() == 0 if first is one and at else True
        assert first.step() == 1
    hub.now_ms += resolving.PATIENCE_MS
    take(hub, listener.heard(heard(beacon.alert(1, 8), T0 + 8000)))
    assert one.step() == 1
    assert rows(hub, IncidentRow)[0].sightings == 4


def test_a_worker_that_slept_through_another_ones_turn_writes_nothing_stale(hub, monkeypatch):
    beacon, listener = hub.beacons[0], LISTENERS[0]
    one, two = worker(hub, "one"), worker(hub, "two")
    take(hub, listener.heard(heard(beacon.alert(1, 0), T0)))
    assert one.step() == 1
    take(hub, listener.heard(heard(beacon.alert(1, 2), T0 + 2000)))

    real_take = resolving._take

    def slow(taking, found):
        done = real_take(taking, found)
        monkeypatch.setattr(resolving, "_take", real_take)
        hub.now_ms += resolving.PATIENCE_MS
        assert two.step() == 1
        return done

    monkeypatch.setattr(resolving, "_take", slow)
    assert one.step() == 0
    hub.now_ms += resolving.PATIENCE_MS
    take(hub, listener.heard(heard(beacon.alert(1, 4), T0 + 4000)))
    assert one.step() == 1
    assert [(row.seq, row.verdict) for row in rows(hub, SightingRow)] == [
        (0, "fresh"), (1, "fresh"), (2, "fresh"),
    ]  # fmt: skip


def test_what_is_over_cannot_be_read_with_what_the_hub_still_has(hub, tmp_path):
    beacon = hub.beacons[0]
    before = rows(hub, BeaconRow)
    first_anchor = next(row.anchor for row in before if row.id == beacon.id)
    for number in (1, 2, 5):
        take(hub, LISTENERS[0].heard(heard(beacon.alert(number), T0 + number * HOUR_MS)))
        finish(worker(hub, patience_ms=0, late_ms=0))
        (row,) = [row for row in rows(hub, BeaconRow) if row.id == beacon.id]
        assert (row.newest_event, row.anchor_event) == (number, max(1, number - 1))
        key = open_anchor(KEYS.storage, row.id, row.anchor_event, row.anchor)
        assert key == beacon.key(row.anchor_event)
    with hub.store.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    assert first_anchor not in (tmp_path / "hub.db").read_bytes()
    take(hub, LISTENERS[0].heard(heard(beacon.alert(3), T0 + 6 * HOUR_MS)))
    finish(worker(hub, patience_ms=0, late_ms=0))
    assert {row.event for row in rows(hub, IncidentRow)} == {1, 2, 5}


@pytest.mark.parametrize("restarts", [False, True])
def test_a_volunteer_without_a_network_brings_older_events_days_later(hub, restarts):
    """The newest event is known for days when those before it come in, in the order of hearing."""
    beacon, one = hub.beacons[0], worker(hub, patience_ms=0)
    before = [heard(beacon.alert(n, age_s), T0 + n * HOUR_MS + 1000 * age_s)
              for n in (1, 2, 3) for age_s in (0, 2)]  # fmt: skip
    hub.now_ms = T0 + 5 * HOUR_MS
    take(hub, LISTENERS[0].heard(heard(beacon.alert(5), hub.now_ms)))
    finish(one)
    hub.now_ms += 6 * 24 * HOUR_MS
    if restarts:
        one = worker(hub, patience_ms=0)
    take(hub, LISTENERS[1].heard(*before, sent_ms=hub.now_ms))
    finish(one)
    assert [(row.event, row.sightings, row.is_replay, row.first_heard_ms)
            for row in sorted(rows(hub, IncidentRow), key=lambda row: row.event)] == [
        (1, 2, False, T0 + 1 * HOUR_MS), (2, 2, False, T0 + 2 * HOUR_MS),
        (3, 2, False, T0 + 3 * HOUR_MS), (5, 1, False, T0 + 5 * HOUR_MS),
    ]  # fmt: skip
    assert all(row.first_received_ms == hub.now_ms
               for row in rows(hub, IncidentRow) if row.event < 5)  # fmt: skip


def test_keys_are_let_go_of_when_nothing_more_can_come(hub, tmp_path):
    beacon, one = hub.beacons[0], worker(hub)
    take(hub, LISTENERS[0].heard(heard(beacon.alert(5), T0)))
    finish(one)

    def anchor() -> int:
        (row,) = [row for row in rows(hub, BeaconRow) if row.id == beacon.id]
        assert open_anchor(KEYS.storage, row.id, row.anchor_event, row.anchor) == beacon.key(
            row.anchor_event
        )
        return row.anchor_event

    hub.now_ms += anchors.LATE_MS - 1000
    finish(one)
    assert anchor() == 1
    hub.now_ms += 600_000
    finish(one)
    assert anchor() == 4
    hub.now_ms += 1000
    take(hub, LISTENERS[0].heard(heard(beacon.alert(3), T0 + 1000)))
    finish(one)
    assert [row.event for row in rows(hub, IncidentRow)] == [5], "not in memory either"


def test_no_beacon_has_more_than_so_many_events_in_memory(hub):
    beacon, one = hub.beacons[3], worker(hub)
    take(hub, LISTENERS[0].heard(heard(beacon.alert(400), T0)))
    finish(one)
    for number, comes in (
        (400 - anchors.MOST_BEHIND - 1, False),
        (400 - anchors.MOST_BEHIND, True),
    ):
        take(hub, LISTENERS[0].heard(heard(beacon.alert(number), T0 - HOUR_MS)))
        finish(one)
        assert (number in {row.event for row in rows(hub, IncidentRow)}) == comes


def test_a_beacon_enrolled_later_is_found_in_what_waited_once(hub):
    late = PaperBeacon(99)
    one = worker(hub)
    for listener in LISTENERS[:2]:
        take(hub, listener.heard(heard(late.alert(2), T0), heard(late.alert(2, 2), T0 + 2000)))
        finish(one)
    assert rows(hub, IncidentRow) == []
    hub.enrol(late)
    with hub.store.writing() as session:
        session.execute(
            update(MetaRow).where(MetaRow.key == BEACONS).values(value=MetaRow.value + 1)
        )
    finish(one)
    finish(worker(hub, "two", patience_ms=0))
    seen = sorted((row.seq, row.listener) for row in rows(hub, SightingRow))
    assert seen == sorted((seq, one.key) for seq in (0, 1) for one in LISTENERS[:2])
    assert rows(hub, HeardRow) == []


def test_pages_of_before_a_restart_and_after_it_make_one_signature(hub):
    beacon, listener = hub.beacons[0], LISTENERS[0]
    pages = [heard(page, T0 + 100 * i) for i, page in enumerate(beacon.pages(1))]
    for part in ([heard(beacon.alert(1), T0)], pages[:1], pages[4:5], pages[9:10]):
        assert [row.signature for row in rows(hub, IncidentRow)] in ([], ["unsigned"])
        take(hub, listener.heard(*part))
        finish(worker(hub, patience_ms=0))
    (row,) = rows(hub, IncidentRow)
    assert row.signature == "signed"
    assert rows(hub, HeardRow) == [], "its pages are wanted no more"
    take(hub, listener.heard(*pages[5:8]))
    finish(worker(hub, patience_ms=0))
    assert rows(hub, HeardRow) == []


def test_pages_before_their_alert_a_restart_and_one_after_it_make_one_signature(hub):
    beacon, listener = hub.beacons[0], LISTENERS[0]
    pages = [heard(page, T0 + 100 * i) for i, page in enumerate(beacon.pages(1))]
    for part in (pages[:1], pages[4:5], [heard(beacon.alert(1), T0)], pages[9:10]):
        take(hub, listener.heard(*part))
        finish(worker(hub, patience_ms=0))
    assert [row.signature for row in rows(hub, IncidentRow)] == ["signed"]
    assert rows(hub, HeardRow) == []


def test_hostile_payloads_are_refused_and_stop_nobody(hub):
    dice = random.Random(8)
    payloads = {dice.randbytes(length) for length in range(1, 32) for _ in range(10)}
    payloads |= {bytes((header,)) + dice.randbytes(22 + 4 * (header != 0x20))
                 for header in (0x20, 0x28, 0x30) for _ in range(60)}  # fmt: skip
    junk = [heard(payload, T0 + dice.randrange(10**6)) for payload in sorted(payloads)]
    take(hub, LISTENERS[2].heard(*junk, heard(hub.beacons[0].alert(1), T0), sent_ms=SENT_MS))
    one = worker(hub)
    finish(one)
    assert [row.sightings for row in rows(hub, IncidentRow)] == [1]
    assert rows(hub, InboxRow) == []
    assert one.counts["fresh"] == 1


def test_what_waits_is_bounded_and_the_fleets_own_stay_longest(hub):
    trusted, stranger = LISTENERS[0].key, LISTENERS[2].key
    with hub.store.writing() as session:
        for number, listener in enumerate((trusted, stranger, stranger, trusted, stranger)):
            heard_rows.keep(session, [_waiting(bytes((0x20, number)) * 11, listener)], {})
        heard_rows.forget(session, SENT_MS, most=3)
    left = [(row.listener, row.payload[1]) for row in rows(hub, HeardRow)]
    assert left == [(trusted, 0), (trusted, 3), (stranger, 4)]
    with hub.store.writing() as session:
        heard_rows.forget(session, SENT_MS + 49 * HOUR_MS)
    assert rows(hub, HeardRow) == []


def _waiting(payload: bytes, listener: str) -> Heard:
    return Heard(payload, None, SENT_MS, "", Receipt(listener, SENT_MS, SENT_MS))


def test_a_flood_keeps_no_beacon_out_and_who_starts_anew_keeps_the_same(hub, monkeypatch):
    monkeypatch.setattr(resolver_module, "_WAITING_PER_MINUTE", 20)
    monkeypatch.setattr(resolving, "_SEARCHED_BUSY", 0)
    monkeypatch.setattr(resolving, "_SEARCHED_IDLE", 0)
    dice, minute_ms = random.Random(12), T0 - T0 % 60_000
    flood = [heard(b"\x20" + dice.randbytes(8) + b"\0\1" + dice.randbytes(12), minute_ms)
             for _ in range(40)]  # fmt: skip
    true = [heard(hub.beacons[0].alert(40, age_s), minute_ms + 1000 * age_s)
            for age_s in range(0, 60, 2)]  # fmt: skip
    hub.now_ms = minute_ms + 58_000
    for heards in (flood, true):
        take(hub, LISTENERS[0].heard(*heards, sent_ms=hub.now_ms))
    first = worker(hub)
    while first.step():
        pass
    kept = first._mind.resolver._waiting
    assert len(kept) == 20
    assert not {one.payload for one in true}.isdisjoint(one.payload for one, _ in kept.each())
    assert len(rows(hub, HeardRow)) > 20, "some had lost their place again"
    second = worker(hub, "two", patience_ms=0)
    second.step()
    assert second._mind.resolver._waiting.groups == kept.groups
    monkeypatch.undo()
    finish(worker(hub, "three", patience_ms=0))
    assert [row.event for row in rows(hub, IncidentRow)] == [40]


def test_a_hub_that_is_never_idle_searches_for_a_share_of_its_time(hub, monkeypatch):
    budgets = []
    monkeypatch.setattr(Taking, "search", lambda _, budget: budgets.append(budget))
    now_s = [1000.0]
    monkeypatch.setattr(resolving, "time", SimpleNamespace(monotonic=lambda: now_s[0]))
    one = worker(hub)
    for number, passes_s in enumerate((5.0, 0.5, 0.25, 5.0)):
        now_s[0] += passes_s
        take(hub, LISTENERS[0].heard(heard(hub.beacons[0].alert(40, 2 * number), T0)))
        one.step()
    assert budgets == [20_000, 10_000, 5000, 20_000]
    one.step()
    assert budgets[4:] == [2000]


def test_names_of_groups_are_forgotten_when_they_are_old_or_too_many(hub, monkeypatch):
    monkeypatch.setattr(resolving, "_FORGET_EVERY_MS", 0)
    names = [("old", SENT_MS - resolving.RECEIVED_KEPT_MS), ("first", 1000), ("last", SENT_MS)]

    def left() -> set[str]:
        take(hub, LISTENERS[0].heard(heard(bytes((0x21, len(rows(hub, ReceivedRow)))), T0)))
        before = {row.content_id for row in rows(hub, ReceivedRow)}
        finish(one)
        return (
            {"old", "first", "last"} & {row.content_id for row in rows(hub, ReceivedRow)} & before
        )

    one = worker(hub)
    with hub.store.writing() as session:
        session.add_all([ReceivedRow(content_id=name, received_ms=max(0, at_ms + n))
                         for n, (name, at_ms) in enumerate(names)])  # fmt: skip
        session.get_one(ReceivedRow, "first").received_ms = SENT_MS - 5
    assert left() == {"first", "last"}
    monkeypatch.setattr(resolving, "MOST_RECEIVED", 3)
    assert left() == {"last"}


def test_a_beacon_whose_key_is_damaged_takes_no_other_with_it(hub):
    with hub.store.writing() as session:
        session.get_one(BeaconRow, hub.beacons[0].id).anchor = b"x" * 60
    take(hub, LISTENERS[0].heard(*(heard(b.alert(1), T0) for b in hub.beacons[:2])))
    one = worker(hub)
    finish(one)
    assert [row.beacon for row in rows(hub, IncidentRow)] == [hub.beacons[1].id]
    assert one.damaged == [hub.beacons[0].id]


def test_another_hubs_storage_key_is_an_error_and_takes_nothing_from_the_inbox(hub):
    take(hub, LISTENERS[0].heard(heard(hub.beacons[0].alert(1), T0)))
    other = HubKeys(log=b"l" * 32, storage=b"o" * 32)
    with pytest.raises(IntegrityError):
        Resolving(hub.store, other, "other").step()
    assert len(rows(hub, InboxRow)) == 1


def test_a_retired_beacon_is_not_watched(hub):
    with hub.store.writing() as session:
        session.get_one(BeaconRow, hub.beacons[0].id).retired_ms = T0
    take(hub, LISTENERS[0].heard(heard(hub.beacons[0].alert(1), T0)))
    finish(worker(hub))
    assert rows(hub, IncidentRow) == []


def test_running_outlives_a_database_that_fails(hub, deliveries, undisturbed, monkeypatch):
    monkeypatch.setattr(resolving, "_AFTER_TROUBLE_S", 0.0)
    take(hub, *deliveries)
    stop, wake, troubles = threading.Event(), threading.Event(), []
    failing = [20]

    def fail(*_):
        if failing[0] > 0:
            failing[0] -= 1
            raise sqlite3.OperationalError("disk I/O error")

    event.listen(hub.store.engine, "commit", fail)
    one = worker(hub, on_trouble=troubles.append)
    real_step = one.step

    def step():
        done = real_step()
        if not done and not one.has_more:
            stop.set()
        return done

    one.step = step
    one.run(stop, wake)
    assert len(troubles) == 20
    assert all(isinstance(trouble, FanalError) for trouble in troubles)
    assert told(hub.store) == undisturbed
    assert worker(hub, "next").step() == 0, "the turn was left"


def test_the_page_is_told_of_what_shows_and_of_nothing_else(hub):
    one = worker(hub)
    take(hub, LISTENERS[0].heard(heard(bytes(23), T0)))
    before = hub.store.change()
    finish(one)
    assert hub.store.change() == before
    take(hub, LISTENERS[0].heard(heard(hub.beacons[0].alert(1), T0)))
    finish(one)
    assert hub.store.change() == before + 1


def test_nobody_is_told_of_what_was_rolled_back(hub, deliveries):
    take(hub, *deliveries)
    asked = []

    def changed(session, incident, why):
        asked.append((incident.beacon, incident.event, why))
        if len(asked) == 3:
            raise sqlite3.OperationalError("disk I/O error")

    one = worker(hub, changed=changed)
    with pytest.raises(EnvironmentFault):
        one.step()
    assert rows(hub, IncidentRow) == []
    finish(one)
    assert len(rows(hub, IncidentRow)) == 6
    assert sorted({ask[:2] for ask in asked}) == sorted(
        (row.beacon, row.event) for row in rows(hub, IncidentRow)
    )


def test_the_ratchet_goes_as_far_as_it_must(hub):
    far = hub.beacons[3]
    take(hub, LISTENERS[0].heard(heard(far.alert(400), T0)))
    finish(worker(hub))
    (row,) = [row for row in rows(hub, BeaconRow) if row.id == far.id]
    first = 400 - anchors.MOST_BEHIND
    key = open_anchor(KEYS.storage, row.id, first, row.anchor)
    assert keys.next_event_key(key) == far.key(first + 1)


def test_a_store_of_its_own_sees_the_same(hub, deliveries, undisturbed):
    """What one process committed, another one reads."""
    take(hub, *deliveries)
    finish(worker(hub))
    with Store(hub.url) as other:
        assert told(other) == undisturbed
        with other.reading() as session:
            assert session.scalar(select(func.count()).select_from(InboxRow)) == 0
