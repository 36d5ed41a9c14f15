"""What people do about an incident: each thing once, written down, and never half."""

import threading

import pytest
from fanal.error import UsageError
from fanal.hub import actions
from fanal.hub.actions import ActionError
from fanal.hub.tables import IncidentRow
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.incident_rows import T0, Clock, both, incident, paper_store, put, store, timeline

__all__ = ["store"]

DUTY, NIGHT = "duty", "night"


@pytest.fixture
def one(store):
    return put(store, incident())[0]


def row(store, number):
    with store.reading() as session:
        return session.get_one(IncidentRow, number)


@both
def test_acknowledge_is_written_once_and_the_second_is_told_who_was_first(store, one):
    first = actions.acknowledge(store, one, DUTY)
    store.now_ms.pass_s(5)
    second = actions.acknowledge(store, one, NIGHT)
    assert (first.is_new, first.who, first.state) == (True, DUTY, "acknowledged")
    assert (second.is_new, second.who, second.at_ms) == (False, DUTY, T0)
    assert timeline(store, one) == [(DUTY, "acknowledged", "")]
    assert row(store, one).acknowledged_ms == T0


@both
def test_many_acknowledge_at_once_and_one_is_first(store, one):
    found, gate = [], threading.Barrier(6)

    def act(name):
        gate.wait()
        found.append(actions.acknowledge(store, one, name))

    threads = [threading.Thread(target=act, args=(f"person {n}",)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(done.is_new for done in found) == 1
    assert len({done.who for done in found}) == 1
    assert len(timeline(store, one)) == 1


@both
def test_each_action_counts_and_doing_it_twice_does_not(store, one):
    for act in (
        lambda: actions.acknowledge(store, one, DUTY),
        lambda: actions.assign(store, one, DUTY, NIGHT),
        lambda: actions.note(store, one, DUTY, "on the way"),
        lambda: actions.close(store, one, DUTY, "help arrived"),
        lambda: actions.reopen(store, one, NIGHT, "heard again"),
    ):
        before = row(store, one).revision
        assert act().is_new
        assert not act().is_new
        assert row(store, one).revision == before + 1
    assert [what for _, what, _ in timeline(store, one)] == [
        "acknowledged", "assigned", "noted", "closed", "reopened",
    ]  # fmt: skip


def test_the_same_note_again_after_another_is_a_new_one(store, one):
    for text in ("a", "b", "a"):
        assert actions.note(store, one, DUTY, text).is_new
    assert actions.note(store, one, NIGHT, "a").is_new


def test_reopening_begins_anew(store, one):
    actions.acknowledge(store, one, DUTY)
    actions.close(store, one, DUTY, "false alarm", "a child")
    assert actions.reopen(store, one, NIGHT, "it was none").state == "open"
    now = row(store, one)
    assert (now.state, now.acknowledged_ms, now.escalation) == ("open", None, 0)
    assert actions.acknowledge(store, one, NIGHT).is_new
    assert timeline(store, one)[1] == (DUTY, "closed", "false alarm: a child")


def test_a_closed_one_takes_notes_and_nothing_else(store, one):
    actions.close(store, one, DUTY, "help arrived")
    for act in (
        lambda: actions.acknowledge(store, one, NIGHT),
        lambda: actions.assign(store, one, NIGHT, DUTY),
        lambda: actions.close(store, one, NIGHT, "false alarm"),
    ):
        with pytest.raises(ActionError) as caught:
            act()
        assert caught.value.code == "closed"
        assert "help arrived by duty" in caught.value.sentence
    assert actions.note(store, one, NIGHT, "thanks").is_new
    assert not actions.close(store, one, NIGHT, "help arrived").is_new


def test_what_was_never_closed_is_not_reopened(store, one):
    with pytest.raises(ActionError) as caught:
        actions.reopen(store, one, DUTY, "why not")
    assert caught.value.code == "not_closed"


@pytest.mark.parametrize(
    ("kind", "wrong"), [("ALERT", "drill over"), ("ALERT", "test"), ("DRILL", "test"),
                        ("TEST", "drill over")]
)  # fmt: skip
def test_a_real_alert_is_never_closed_as_a_rehearsal(store, kind, wrong):
    [number] = put(store, incident(kind=kind))
    with pytest.raises(ActionError) as caught:
        actions.close(store, number, DUTY, wrong)
    assert (caught.value.code, kind in caught.value.sentence) == ("reason", True)
    assert wrong not in actions.reasons_for(kind)
    assert row(store, number).state == "open"
    assert timeline(store, number) == []


@pytest.mark.parametrize("kind", ["ALERT", "DRILL", "TEST"])
def test_every_kind_is_handled_the_same_and_says_its_kind(store, kind):
    [number] = put(store, incident(kind=kind))
    assert actions.acknowledge(store, number, DUTY).kind == kind
    for reason in actions.reasons_for(kind):
        assert actions.close(store, number, DUTY, reason, "text").kind == kind
        actions.reopen(store, number, DUTY, "again")


def test_other_needs_a_text(store, one):
    with pytest.raises(ActionError):
        actions.close(store, one, DUTY, "other", " ")
    assert actions.close(store, one, DUTY, "other", "moved house").is_new


@pytest.mark.parametrize("number", [0, -1, 2, 1 << 62, 1 << 63, 1 << 200])
def test_a_number_that_no_incident_has(store, one, number):
    with pytest.raises(ActionError) as caught:
        actions.acknowledge(store, number, DUTY)
    assert caught.value.code == "not_found"


@pytest.mark.parametrize("who", ["", "  ", "a\nb", "x" * 121, "\u202eann", "\ud800"])
def test_a_name_is_one_line(store, one, who):
    with pytest.raises(ActionError) as caught:
        actions.acknowledge(store, one, who)
    assert caught.value.code == "name"
    with pytest.raises(ActionError):
        actions.assign(store, one, DUTY, who)
    assert timeline(store, one) == []


@pytest.mark.parametrize(
    "text", ["", " \n ", "a\x00b", "\x1b[31m", "bell\x07", "\u202egnp.exe", "\ud800", "x" * 2001]
)
def test_a_note_that_is_refused(store, one, text):
    with pytest.raises(ActionError) as caught:
        actions.note(store, one, DUTY, text)
    assert caught.value.code == "text"
    assert timeline(store, one) == []


def test_a_note_has_lines_and_any_language(store, one):
    text = "first\r\nsecond\tcolumn\nمی‌خواهم\u00a0! 東京\u3000駅 " + "x" * 1900
    actions.note(store, one, DUTY, text)
    assert timeline(store, one)[0][2] == text.replace("\r\n", "\n")


def test_a_message_that_cannot_be_queued_undoes_the_action(store, one):
    def broken(session, row, why):
        raise UsageError("no")

    with pytest.raises(UsageError):
        actions.acknowledge(store, one, DUTY, changed=broken)
    assert row(store, one).state == "open"
    assert timeline(store, one) == []


def test_messages_follow_from_changes_alone(store, one):
    told = []

    def changed(session, row, why):
        told.append((row.state, why))

    actions.acknowledge(store, one, DUTY, changed=changed)
    actions.acknowledge(store, one, NIGHT, changed=changed)
    actions.close(store, one, DUTY, "duplicate", changed=changed)
    assert told == [("acknowledged", "acknowledged"), ("closed", "closed")]


def test_whoever_looks_is_told(store, one):
    before = store.change()
    actions.note(store, one, DUTY, "x")
    assert store.change() > before


@settings(max_examples=40)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 4)), max_size=12))
def test_any_sequence_leaves_a_state_that_the_timeline_explains(steps):
    with paper_store(clock=Clock()) as store:
        [number] = put(store, incident())
        codes = set()
        for who, step in steps:
            try:
                (actions.acknowledge, actions.assign, actions.note, actions.close,
                 actions.reopen)[step](
                    store, number, who,
                    *([], ["x"], ["n"], ["help arrived"], ["r"])[step],
                )  # fmt: skip
            except ActionError as problem:
                codes.add(problem.code)
        assert codes <= {"closed", "not_closed"}
        state = "open"
        for _, what, _ in timeline(store, number):
            state = {"acknowledged": "acknowledged", "closed": "closed",
                     "reopened": "open"}.get(what, state)  # fmt: skip
        assert row(store, number).state == state
