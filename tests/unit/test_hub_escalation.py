"""Nobody acknowledges: each level once, the right channels, and whoever acts stops it."""

import pytest
from fanal.hub import actions, escalation
from fanal.hub.channel_config import Channel
from fanal.hub.notices import Notices
from fanal.hub.tables import IncidentRow, NoticeRow

from tests.unit.incident_rows import T0, both, incident, put, store, timeline

__all__ = ["store"]

AFTER_S = (120, 300)
ALL = ("ALERT", "DRILL", "TEST")
CHANNELS = (
    Channel("desk", "webhook"), Channel("chief", "webhook", level=1, kinds=("ALERT",)),
    Channel("drill chief", "webhook", level=1, kinds=("DRILL",)),
    Channel("everybody", "webhook", level=2, kinds=ALL),
)  # fmt: skip


def step(store):
    notices = Notices(CHANNELS, store.now_ms)
    return escalation.step(store, AFTER_S, store.now_ms(), changed=notices.incident_changed)


def told(store):
    with store.reading() as session:
        rows = session.query(NoticeRow).order_by(NoticeRow.id)
        return [(row.channel, row.message) for row in rows]


def escalated(store, number):
    return [detail for _, what, detail in timeline(store, number) if what == "escalated"]


@pytest.mark.parametrize(("passed_s", "levels"), [(0, 0), (119, 0), (120, 1), (299, 1), (300, 2)])
def test_a_level_is_reached_at_its_time_and_not_before(store, passed_s, levels):
    [number] = put(store, incident())
    store.now_ms.pass_s(passed_s)
    assert step(store) == levels
    with store.reading() as session:
        assert session.get_one(IncidentRow, number).escalation == levels
    assert len(escalated(store, number)) == levels


@both
def test_each_level_is_told_once_however_often_it_looks(store):
    [number] = put(store, incident())
    for _ in range(50):
        step(store)
        store.now_ms.pass_s(10)
    assert [name for name, _ in told(store)].count("chief") == 1
    assert [name for name, message in told(store) if message == "Alert"] == [
        "desk", "chief", "everybody",
    ]  # fmt: skip
    assert len(escalated(store, number)) == 2
    assert escalated(store, number)[0] == "level 1: nobody acknowledged within 120 s"


def test_a_hub_that_was_away_catches_up_at_once(store):
    [number] = put(store, incident())
    store.now_ms.pass_s(9999)
    assert step(store) == 2
    assert step(store) == 0
    assert len(escalated(store, number)) == 2


def test_a_drill_reaches_drill_channels_alone(store):
    put(store, incident(kind="DRILL"))
    store.now_ms.pass_s(9999)
    step(store)
    assert {name for name, _ in told(store)} == {"desk", "drill chief", "everybody"}


@pytest.mark.parametrize("fields", [{"kind": "TEST"}, {"is_replay": True}, {"state": "closed"},
                                    {"state": "acknowledged"}])  # fmt: skip
def test_what_never_escalates(store, fields):
    put(store, incident(**fields))
    store.now_ms.pass_s(9999)
    assert step(store) == 0
    assert told(store) == []


@pytest.mark.parametrize(
    "act", [lambda s, n: actions.acknowledge(s, n, "duty"),
            lambda s, n: actions.close(s, n, "duty", "false alarm")],
)  # fmt: skip
def test_whoever_acts_stops_it(store, act):
    [number] = put(store, incident())
    store.now_ms.pass_s(150)
    assert step(store) == 1
    act(store, number)
    store.now_ms.pass_s(9999)
    assert step(store) == 0


def test_to_assign_or_to_note_stops_nothing(store):
    [number] = put(store, incident())
    actions.assign(store, number, "duty", "night")
    actions.note(store, number, "duty", "x")
    store.now_ms.pass_s(9999)
    assert step(store) == 2


@both
def test_reopened_it_begins_anew_from_then_on(store):
    [number] = put(store, incident())
    store.now_ms.pass_s(400)
    assert step(store) == 2
    actions.close(store, number, "duty", "false alarm")
    store.now_ms.pass_s(1000)
    actions.reopen(store, number, "duty", "again")
    assert step(store) == 0
    store.now_ms.pass_s(121)
    assert step(store) == 1
    store.now_ms.pass_s(300)
    assert step(store) == 1
    assert len(escalated(store, number)) == 4


def test_somebody_acknowledges_between_looking_and_writing(store, monkeypatch):
    [number] = put(store, incident())
    store.now_ms.pass_s(9999)
    escalate = escalation._escalate

    def late(*arguments):
        actions.acknowledge(store, number, "duty")
        return escalate(*arguments)

    monkeypatch.setattr(escalation, "_escalate", late)
    assert step(store) == 0
    assert told(store) == []


def test_a_clock_a_little_before_the_alert_escalates_nothing(store):
    put(store, incident(first_received_ms=T0 + 60_000))
    assert step(store) == 0


def test_a_hub_without_levels(store):
    put(store, incident())
    assert escalation.step(store, (), T0 + 10**12) == 0


@pytest.mark.parametrize("back_s", [3600, 2 * 365 * 86400])
def test_a_clock_that_was_set_back_keeps_nobody_waiting(store, back_s):
    put(store, incident())
    store.now_ms.pass_s(-back_s)
    assert step(store) == 2
    assert step(store) == 0
