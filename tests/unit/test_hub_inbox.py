"""Deliveries in, rows of the inbox out: by any clocks, from anybody, once."""

import sqlite3
import threading
from concurrent.futures import wait

import pytest
from fanal.envelope import EnvelopeError, Health, Opener
from fanal.error import EnvironmentFault
from fanal.hub import inbox as inbox_module
from fanal.hub import intake as intake_module
from fanal.hub.caps import Caps, Crowded
from fanal.hub.config import Limits
from fanal.hub.inbox import Inbox, Incoming, IncomingForeign, Taken
from fanal.hub.intake import Intake, IntakeFull
from fanal.hub.tables import InboxRow, ListenerRow, ReceivedRow
from fanal.position import Position
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import event, select

from tests.unit.paper_beacon import T0, heard
from tests.unit.paper_listener import SEALING, PaperHub, PaperListener

DAY_MS = 86_400_000


@pytest.fixture
def hub(tmp_path):
    hub = PaperHub(tmp_path / "hub.db")
    yield hub
    hub.close()


@pytest.fixture
def inbox(hub):
    return Inbox(hub.store, hub.opener)


def rows(hub, kind):
    with hub.store.reading() as session:
        return list(session.scalars(select(kind).order_by(*kind.__table__.primary_key)))


def listener_row(hub, listener):
    with hub.store.reading() as session:
        return session.get(ListenerRow, listener.key)


def incoming(data, received_ms=T0):
    return Incoming(data, "", received_ms)


def frames(count, first=0, t_ms=T0):
    """Different payloads."""
    return [heard(b"\x20" + (first + n).to_bytes(22, "big"), t_ms + n) for n in range(count)]


@pytest.mark.parametrize("wall_error_ms", [0, -9 * DAY_MS, 30 * DAY_MS])
@pytest.mark.parametrize("waited_ms", [0, 1500, 3 * DAY_MS])
def test_times_are_reckoned_by_the_listeners_steady_clock(hub, inbox, wall_error_ms, waited_ms):
    one = PaperListener(1, wall_error_ms=wall_error_ms)
    payload = b"\x20" * 23
    group = one.group([heard(payload, T0 + 10), heard(payload, T0 + 700)], closed_ms=T0 + 1000)
    sent_ms = T0 + 1000 + waited_ms
    received_ms = sent_ms + 40  # what the network takes cannot be known
    inbox.take([incoming(one.delivery(sent_ms, [group]), received_ms)])
    (row,) = rows(hub, InboxRow)
    assert row.frames == [[payload.hex(), T0 + 50, T0 + 740, 2, -60]]
    assert (row.received_ms, row.listener) == (received_ms, one.key)


def test_after_a_restart_of_the_listener_its_wall_clock_is_all_there_is(hub, inbox):
    one = PaperListener(1, wall_error_ms=5 * DAY_MS)
    group = one.group([heard(b"\x20" * 23, T0)], closed_ms=T0 + 500)
    one.restart(T0 + 3600_000)
    inbox.take([incoming(one.delivery(T0 + 7200_000, [group]), T0 + 7200_000)])
    assert rows(hub, InboxRow)[0].frames[0][1] == T0


def test_nothing_was_heard_later_than_it_came_nor_before_there_was_time(hub, inbox):
    one = PaperListener(1)
    later = one.group([heard(b"\x20" * 23, T0 + DAY_MS), heard(b"\x20" * 23, T0 + 2 * DAY_MS)])
    inbox.take([incoming(one.delivery(T0, [later]))])
    old = PaperListener(2, started_ms=T0 - 60 * 365 * DAY_MS)
    ancient = old.group([heard(b"\x21" * 23, T0 - 59 * 365 * DAY_MS)])
    inbox.take([incoming(old.delivery(T0, [ancient]))])
    assert [row.frames[0][1:3] for row in rows(hub, InboxRow)] == [[T0, T0], [0, 0]]


def test_a_group_is_taken_once_however_often_it_comes(hub, inbox):
    one = PaperListener(1)
    first, second = one.group(frames(3)), one.group(frames(2, first=10))
    deliveries = [one.delivery(T0 + 1, [first]), one.delivery(T0 + 2, [first, second])]
    answers = inbox.take([incoming(data) for data in [*deliveries, deliveries[0]]])
    assert [(a.groups, a.repeated) for a in answers] == [(1, 0), (1, 1), (0, 1)]
    again = Inbox(hub.store, hub.opener).take([incoming(deliveries[1])])
    assert [(a.groups, a.repeated) for a in again] == [(0, 2)]
    assert [len(row.frames) for row in rows(hub, InboxRow)] == [3, 2]


def test_order_is_that_of_arrival_and_the_fleets_own_come_first(hub, inbox):
    strangers, own = PaperListener(1), PaperListener(2)
    hub.confirm(own)
    inbox.take(
        [incoming(one.heard(*frames(1, first=n))) for n, one in
         enumerate([strangers, own, strangers, own])]
    )  # fmt: skip
    assert [int(row.frames[0][0], 16) & 3 for row in rows(hub, InboxRow)] == [1, 3, 0, 2]


def test_what_cannot_be_opened_is_refused_and_nothing_is_written_of_it(hub, inbox):
    one, elsewhere = PaperListener(1), PaperListener(1, recipient=Opener(b"o" * 32).recipient)
    good = one.heard(*frames(2))
    group_of_other = PaperListener(2).group(frames(1, first=50))
    mixed = one.delivery(T0, [group_of_other, one.group(frames(1, first=60)), b"junk"])
    answers = inbox.take(
        [incoming(data) for data in (b"", good[:-1], elsewhere.heard(*frames(1)), good, mixed)]
    )
    assert [type(answer) for answer in answers] == [*[EnvelopeError] * 3, Taken, Taken]
    assert (answers[4].groups, sorted(answers[4].refused.values())) == (1, ["content", "seal"])
    assert len(rows(hub, InboxRow)) == len(rows(hub, ReceivedRow)) == 2
    assert [row.key for row in rows(hub, ListenerRow)] == [one.key]


def test_a_refusal_does_not_hold_on_to_the_delivery(inbox):
    """As a traceback would: under a flood of large ones a hub grew by a gigabyte."""
    (refused,) = inbox.take([Incoming(b"FANAL\x01\x00\x00\x00\x04junk", "", T0)])
    assert (refused.__traceback__, refused.__context__, refused.__cause__) == (None, None, None)


def test_garbage_alone_does_not_even_open_a_transaction(hub, inbox):
    begun = []
    event.listen(hub.store.engine, "begin", begun.append)
    inbox.take([incoming(b"garbage")] * 100)
    assert begun == []


@given(data=st.binary(max_size=200), cut=st.integers(0, 400))
def test_any_bytes_get_an_answer(data, cut):
    good = PaperListener(1).heard(*frames(1))
    inbox = Inbox(None, Opener(SEALING))
    for attempt in (data, b"FANAL\x01" + data, good[: cut % len(good)]):
        (answer,) = inbox.take([incoming(attempt)])
        assert isinstance(answer, EnvelopeError)


def test_if_the_database_fails_nothing_at_all_was_taken(hub, inbox):
    one = PaperListener(1)
    items = [incoming(one.heard(*frames(2, first=10 * n))) for n in range(3)]
    left = [0]

    def fail(*_):
        left[0] -= 1
        if left[0] == 0:
            raise sqlite3.OperationalError("database or disk is full")

    event.listen(hub.store.engine, "before_cursor_execute", fail)
    event.listen(hub.store.engine, "commit", fail)
    failures = 0
    for after in range(1, 100):
        left[0] = after
        try:
            answers = inbox.take(items)
        except EnvironmentFault:
            failures += 1
            left[0] = -1
            assert rows(hub, InboxRow) == rows(hub, ReceivedRow) == rows(hub, ListenerRow) == []
        else:
            break
    left[0] = -1
    assert failures >= 6
    assert [answer.groups for answer in answers] == [1, 1, 1]
    assert len(rows(hub, InboxRow)) == 3


# How much from whom.

LIMITS = Limits(listener_frames=600, unconfirmed_listener_frames=60, unconfirmed_frames=90)


def test_a_stranger_gets_its_share_and_then_waits(hub):
    inbox, one = Inbox(hub.store, hub.opener, LIMITS), PaperListener(1)
    first, second, third = (one.heard(*frames(40, first=100 * n)) for n in range(3))
    assert isinstance(inbox.take([incoming(first)])[0], Taken)
    assert isinstance(inbox.take([incoming(second)])[0], Taken), "the bucket was not empty yet"
    (crowded,) = inbox.take([incoming(third)])
    assert isinstance(crowded, Crowded)
    assert (crowded.code, crowded.is_enrolled) == ("crowded", False)
    assert len(rows(hub, InboxRow)) == 2
    ready_ms = T0 + int(1000 * crowded.retry_after_s)
    assert isinstance(inbox.take([incoming(third, ready_ms - 100)])[0], Crowded)
    assert isinstance(inbox.take([incoming(third, ready_ms + 1)])[0], Taken)


@pytest.mark.parametrize("closed", ["unconfirmed_frames", "unconfirmed_listener_frames"])
def test_who_gives_strangers_nothing_takes_nothing_of_them(hub, closed):
    inbox, own = Inbox(hub.store, hub.opener, Limits(**{closed: 0})), PaperListener(9)
    hub.confirm(own)
    stranger, known = (one.heard(*frames(2, first=100 * one.number)) for one in
                       (PaperListener(1), own))  # fmt: skip
    crowded, taken = inbox.take([incoming(stranger), incoming(known)])
    assert isinstance(crowded, Crowded)
    assert crowded.retry_after_s > 60
    assert isinstance(taken, Taken)


def test_strangers_together_have_a_bound_and_the_fleets_own_are_not_in_it(hub):
    inbox = Inbox(hub.store, hub.opener, LIMITS)
    strangers, own = [PaperListener(n) for n in range(1, 6)], PaperListener(9)
    hub.confirm(own)
    items = [incoming(one.heard(*frames(50, first=100 * one.number))) for one in strangers]
    answers = inbox.take(items)
    assert [type(answer) for answer in answers] == [Taken, Taken, Crowded, Crowded, Crowded]
    assert isinstance(inbox.take([incoming(own.heard(*frames(500, first=5000)))])[0], Taken)
    assert isinstance(inbox.take([incoming(own.heard(*frames(500, first=6000)))])[0], Taken)


def test_the_fleets_own_bring_days_at_once_and_what_is_new_passes_the_rest(hub):
    inbox, own = Inbox(hub.store, hub.opener, LIMITS), PaperListener(9)
    hub.confirm(own)

    def answer(groups, frames_each, first, now_ms=T0):
        sealed = [own.group(frames(frames_each, first=first + n * 500)) for n in range(groups)]
        return inbox.take([incoming(own.delivery(T0, sealed), now_ms)])[0]

    for first in range(0, 600 * 20 + 500, 2500):
        assert isinstance(answer(5, 500, first), Taken)
    crowded = answer(5, 1, 100_000)
    assert (type(crowded), crowded.is_enrolled) == (Crowded, True)
    assert isinstance(answer(0, 0, 0), Taken), "a sign of life"
    taken = [answer(1, 1, 200_000 + n) for n in range(100)]
    assert [type(one) for one in taken].count(Taken) == 30  # a tenth, each costs two
    assert taken[-1].is_enrolled
    assert isinstance(answer(1, 1, 300_000, T0 + 4001), Taken)
    ready_ms = T0 + int(1000 * crowded.retry_after_s)
    assert isinstance(answer(5, 1, 400_000, ready_ms - 100), Crowded)
    assert isinstance(answer(5, 1, 400_000, ready_ms + 1), Taken)


def test_a_delivery_larger_than_a_bucket_is_not_shut_out_for_ever(hub):
    inbox, one = Inbox(hub.store, hub.opener, LIMITS), PaperListener(1)
    assert isinstance(inbox.take([incoming(one.heard(*frames(500)))])[0], Taken)


def test_groups_of_whom_nothing_is_taken_are_not_even_opened(hub):
    opened = []

    class Counting(Opener):
        def groups(self, postmark, sealed):
            opened.append(len(sealed))
            return super().groups(postmark, sealed)

    inbox, one = Inbox(hub.store, Counting(SEALING), LIMITS), PaperListener(1)
    for n in range(5):
        inbox.take([incoming(one.heard(*frames(61, first=100 * n)))])
    assert opened == [1]


def test_what_waited_long_is_marked_and_what_goes_on_is_not(hub, inbox):
    one = PaperListener(1)
    long_ago = frames(2, first=10, t_ms=T0 - 100_000)
    sealed = [one.group(long_ago), one.group(frames(1)), one.group(long_ago + frames(1, first=20))]
    inbox.take([incoming(one.delivery(T0, sealed)), Incoming(one.heard(*frames(1, 90)), "", T0,
                                                             held_ms=100_000)])  # fmt: skip
    assert [row.is_late for row in rows(hub, InboxRow)] == [True, False, False, True]


def test_empty_deliveries_are_not_free(hub):
    inbox, one = Inbox(hub.store, hub.opener, LIMITS), PaperListener(1)
    answers = [inbox.take([incoming(one.delivery(T0 + n))])[0] for n in range(100)]
    assert sum(isinstance(answer, Taken) for answer in answers) == 60


def test_a_clock_that_is_set_opens_no_flood(hub):
    caps = Caps(LIMITS)
    for now_ms in (T0, T0 + DAY_MS, T0 - DAY_MS, T0, T0 + 1):
        caps.charge("one", False, 60, now_ms)
    assert caps.check("one", False, T0 + 1) is not None
    assert caps.check("one", False, T0 + 5 * 60_000) is None
    caps.charge("two", False, 60, T0)
    assert caps.check("two", False, T0 - DAY_MS) is not None


def test_forgotten_listeners_leave_no_memory(monkeypatch):
    monkeypatch.setattr("fanal.hub.caps.MOST_LISTENERS", 10)
    caps = Caps(Limits())
    for n in range(1000):
        caps.charge(str(n), True, 1, T0)
    assert len(caps._own) == 10


# How listeners are.


def test_a_heartbeat_says_how_a_listener_is(hub, inbox):
    one = PaperListener(1, position=Position(48.2, 16.3, 10, "gps"))
    health = Health("quiet", 700, 12, {"crowded": 3}, "0.1.0")
    inbox.take([incoming(one.delivery(T0, health=health), T0 + 40)])
    row = listener_row(hub, one)
    assert (row.radio, row.last_advert_ms, row.queued) == ("quiet", T0 - 660, 12)
    assert (row.dropped, row.version, row.source) == ({"crowded": 3}, "0.1.0", "gps")
    assert (row.first_received_ms, row.last_received_ms, row.name) == (T0 + 40, T0 + 40, "")
    one.position = None
    inbox.take([incoming(one.delivery(T0 + 1, health=Health("deaf")), T0 + 60_000)])
    row = listener_row(hub, one)
    assert (row.radio, row.last_advert_ms, row.latitude) == ("deaf", T0 - 660, None)
    assert (row.first_received_ms, row.last_received_ms) == (T0 + 40, T0 + 60_000)


def test_what_the_officer_said_of_a_listener_stays(hub, inbox):
    one = PaperListener(1)
    hub.confirm(one)
    inbox.take([incoming(one.delivery(T0))])
    row = listener_row(hub, one)
    assert (row.name, row.enrolled_ms, row.radio) == ("listener 1", T0, "hearing")


def test_a_last_will_says_lost_and_whatever_comes_later_clears_it(hub, inbox):
    one = PaperListener(1)
    will = one.delivery(T0, is_last_will=True)
    inbox.take([incoming(one.delivery(T0 + n)) for n in (1, 60_000, 120_000)])
    inbox.take([incoming(will, T0 + 130_000)])
    assert listener_row(hub, one).is_lost
    assert listener_row(hub, one).last_received_ms == T0, "a will is no sign of life"
    inbox.take([incoming(one.delivery(T0 + 140_000), T0 + 140_000)])
    assert not listener_row(hub, one).is_lost


def test_an_old_last_will_is_no_news_of_one_that_lives(hub, inbox):
    one = PaperListener(1)
    first, second = (one.delivery(T0 + n, is_last_will=True) for n in (0, 500))
    inbox.take([incoming(one.delivery(T0 + 600)), incoming(second), incoming(second)])
    inbox.take([incoming(one.delivery(T0 + 700))])
    inbox.take([incoming(second), incoming(first)])
    assert not listener_row(hub, one).is_lost
    third = one.delivery(T0 + 800, is_last_will=True)
    one.restart(T0 + 900)
    inbox.take([incoming(one.delivery(T0 + 1000))])
    inbox.take([incoming(third)])
    assert not listener_row(hub, one).is_lost


def test_a_heartbeat_that_is_played_again_is_no_sign_of_life(hub, inbox):
    one = PaperListener(1)
    beats = [one.delivery(T0 + n) for n in (0, 60_000)]
    inbox.take([incoming(beats[0], T0), incoming(beats[1], T0 + 60_000)])
    inbox.take([incoming(beat, T0 + 3600_000) for beat in beats])
    assert listener_row(hub, one).last_received_ms == T0 + 60_000


def test_a_health_whose_write_failed_is_news_when_it_comes_again(hub, inbox):
    one = PaperListener(1)
    beat = incoming(one.delivery(T0))
    failing = [True]

    def fail(*_):
        if failing.pop():
            raise sqlite3.OperationalError("disk I/O error")

    event.listen(hub.store.engine, "commit", fail, once=True)
    with pytest.raises(EnvironmentFault):
        inbox.take([beat])
    inbox.take([beat])
    assert listener_row(hub, one).radio == "hearing"


def test_strangers_of_whom_nothing_was_heard_for_long_are_forgotten(hub, inbox, monkeypatch):
    monkeypatch.setattr(inbox_module, "MOST_LISTENERS", 3)
    own = PaperListener(50)
    hub.confirm(own)
    for number in range(1, 8):
        one = PaperListener(number)
        inbox.take([incoming(one.delivery(T0 + number), T0 + number)])
    assert {row.key for row in rows(hub, ListenerRow)} == {
        own.key, *(PaperListener(number).key for number in (5, 6, 7)),
    }  # fmt: skip


# Gateways that seal nothing.


def test_a_foreign_payload_is_taken_once_in_a_while_and_is_unconfirmed(hub, inbox):
    payload = b"\x20" * 23
    answers = [inbox.take([IncomingForeign("home/gate/BTtoMQTT", payload, -70, T0 + n)])[0]
               for n in (0, 900, 30_000)]  # fmt: skip
    assert [(a.groups, a.repeated) for a in answers] == [(1, 0), (0, 1), (1, 0)]
    assert inbox.take([IncomingForeign("home/other", payload, None, T0)])[0].groups == 1
    (first, *_) = rows(hub, InboxRow)
    assert first.frames == [[payload.hex(), T0, T0, 1, -70]]
    row = rows(hub, ListenerRow)[0]
    assert (row.key, row.enrolled_ms) == ("mqtt:home/gate/BTtoMQTT", None)
    assert row.last_advert_ms == T0 + 30_000


@pytest.mark.parametrize("gateway", ["", "a\x00b", "\ud800", "x" * 70_000, "e\u0301\n"])
@pytest.mark.parametrize("payload", [b"", b"x", bytes(32), bytes(5000)])
def test_odd_gateways_and_payloads_are_bounded(hub, inbox, gateway, payload):
    (answer,) = inbox.take([IncomingForeign(gateway, payload, -127, T0)])
    assert answer.groups == 1
    (row,) = rows(hub, InboxRow)
    assert len(row.frames[0][0]) <= 64
    assert len(row.listener) <= 200
    assert row.listener.isprintable()


def test_foreign_gateways_are_strangers_too(hub):
    inbox = Inbox(hub.store, hub.opener, LIMITS)
    answers = inbox.take(
        [IncomingForeign("home/gate", bytes([n]) * 23, None, T0) for n in range(100)]
    )
    assert sum(isinstance(answer, Taken) for answer in answers) == 60


# The queue before it.


class Slow:
    """An inbox that waits until it may go on, and notes what it was given at once."""

    def __init__(self, hub):
        self.store, self.batches = hub.store, []
        self.may_go, self.is_in = threading.Event(), threading.Event()
        self.poison = None

    def take(self, items):
        self.is_in.set()
        self.may_go.wait()
        self.batches.append([item.data for item in items])
        if self.poison in self.batches[-1]:
            raise RuntimeError("a defect")
        if b"down" in self.batches[-1]:
            raise EnvironmentFault("The database is down.")
        return [Taken("key", 1, 0) if item.data[:1] != b"!" else EnvelopeError("form", "No.")
                for item in items]  # fmt: skip


@pytest.fixture
def slow(hub):
    slow = Slow(hub)
    yield slow
    slow.may_go.set()


def test_what_comes_while_a_commit_lasts_shares_the_next_one_in_order(slow):
    taken = []
    intake = Intake(slow, on_taken=lambda: taken.append(len(slow.batches)))
    futures = [intake.submit(b"0", "")]
    slow.is_in.wait()
    futures += [intake.submit(b"%d" % n, "") for n in range(1, 50)]
    slow.may_go.set()
    wait(futures)
    assert slow.batches == [[b"0"], [b"%d" % n for n in range(1, 50)]]
    assert taken == [1, 2]
    intake.close()
    assert all(future.result().groups == 1 for future in futures)


def test_a_batch_is_bounded_in_number_and_in_bytes(slow):
    intake = Intake(slow)
    intake.submit(b"first", "")
    slow.is_in.wait()
    large = [intake.submit(b"x" * 300_000, "") for _ in range(8)]
    small = [intake.submit(b"y", "") for _ in range(intake_module.MOST_ITEMS + 9)]
    slow.may_go.set()
    wait([*large, *small])
    assert [len(batch) for batch in slow.batches] == [1, 4, 4, intake_module.MOST_ITEMS, 9]
    intake.close()


def test_a_full_queue_refuses_at_once_and_has_room_again(slow):
    intake = Intake(slow, most_bytes=10_000)
    kept = [intake.submit(b"x" * 4000, "") for _ in range(2)]
    with pytest.raises(IntakeFull):
        intake.submit(b"x" * 4000, "")
    slow.may_go.set()
    wait(kept)
    intake.close()
    assert sum(len(batch) for batch in slow.batches) == 2
    with pytest.raises(IntakeFull):
        intake.submit(b"", "")


def test_room_is_given_back_after_every_end(slow):
    slow.may_go.set()
    slow.poison = b"poison"
    intake = Intake(slow, most_bytes=2000)
    for data in (b"fine", b"!", b"poison", b"down") * 20:
        wait([intake.submit(data, "")])
    intake.close()
    assert intake._bytes == 0


def test_each_gets_its_own_answer_and_a_defect_takes_one_alone(slow):
    slow.poison = b"poison"
    intake = Intake(slow)
    first = intake.submit(b"first", "")
    slow.is_in.wait()
    fine, refused, bad, last = (intake.submit(d, "") for d in (b"a", b"!", b"poison", b"b"))
    slow.may_go.set()
    assert (first.result().groups, fine.result().groups, last.result().groups) == (1, 1, 1)
    assert isinstance(refused.exception(), EnvelopeError)
    assert isinstance(bad.exception(), RuntimeError)
    intake.close()


def test_a_database_that_is_down_fails_all_of_a_batch_and_nobody_after_it(slow):
    intake = Intake(slow)
    first = intake.submit(b"first", "")
    slow.is_in.wait()
    down, beside = intake.submit(b"down", ""), intake.submit(b"beside", "")
    slow.may_go.set()
    assert isinstance(down.exception(), EnvironmentFault)
    assert isinstance(beside.exception(), EnvironmentFault)
    assert intake.submit(b"after", "").result().groups == first.result().groups == 1
    intake.close()


def test_closing_puts_in_what_waits(slow):
    intake = Intake(slow)
    futures = [intake.submit(b"%d" % n, "") for n in range(300)]
    slow.may_go.set()
    intake.close()
    assert all(future.done() for future in futures)


def test_what_was_taken_back_before_its_turn_is_not_put_in(slow):
    intake = Intake(slow)
    intake.submit(b"first", "")
    slow.is_in.wait()
    taken_back = intake.submit(b"second", "")
    assert taken_back.cancel()
    slow.may_go.set()
    intake.close()
    assert slow.batches == [[b"first"]]


def test_a_real_one_answers_after_the_commit(hub):
    intake = Intake(Inbox(hub.store, hub.opener))
    one = PaperListener(1)
    assert intake.submit(one.heard(*frames(2)), "").result().groups == 1
    assert len(rows(hub, InboxRow)) == 1
    assert intake.submit_foreign("gate", bytes(23), None, T0).result().groups == 1
    assert isinstance(intake.submit(b"junk", "").exception(), EnvelopeError)
    intake.close()
