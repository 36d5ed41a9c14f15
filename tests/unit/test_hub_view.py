"""What is told of incidents: complete, in order, its kind in every object, and no key anywhere."""

import json
from datetime import datetime

import pytest
from fanal.error import UsageError
from fanal.hub import actions, export, view
from fanal.hub.actions import ActionError
from fanal.hub.incident_record import as_json, rfc3339
from fanal.hub.tables import CrumbRow, SignatureRow
from sqlalchemy import event

from tests.unit.incident_rows import (
    BEACON,
    T0,
    beacon,
    both,
    incident,
    listener,
    put,
    sighting,
    store,
)

__all__ = ["store"]

OTHER = "22" * 32


@pytest.fixture
def full(store):
    """Return an incident with everything that one can have."""
    [number] = put(store, incident(kind="DRILL", signature="signed"))
    put(store, listener(), *(sighting(number, n) for n in range(250)))
    put(store, *(sighting(number, n, listener=OTHER, verdict="duplicate", latitude=None)
                 for n in range(3)))  # fmt: skip
    put(store, SignatureRow(incident=number, slot=0, signature=b"s" * 64, rid=b"r" * 8, status=48,
                            heard_ms=T0))  # fmt: skip
    put(store, CrumbRow(incident=number, index=0, age_s=600, seen=3,
                        access_points=[["aabbccddeeff", -60]], heard_ms=T0))  # fmt: skip
    actions.acknowledge(store, number, "duty")
    actions.note(store, number, "duty", "a note")
    return number


def objects(value):
    """Return every object in some JSON."""
    if isinstance(value, dict):
        return [value, *(one for part in value.values() for one in objects(part))]
    return [one for part in value for one in objects(part)] if isinstance(value, list) else []


@both
def test_kind_is_in_every_object_and_no_key_is_in_any(store, full):
    found = as_json(view.incident(store, full, with_evidence=True))
    text = json.dumps(found)
    small = ({"latitude", "longitude", "accuracy_m", "source"}, {"items", "next"},
             {"rid", "status", "signature"})  # fmt: skip
    for one in objects(found):
        assert set(one) in small or one["kind"] == "DRILL", one
    assert len([one for one in objects(found) if one.get("kind")]) > 100
    for word in ("anchor", "public_key", "payload", "event_key", "certificate"):
        assert word not in text


def test_evidence_is_for_those_who_ask_for_it(store, full):
    plain = json.dumps(as_json(view.incident(store, full)))
    for proof in (b"s" * 64, b"r" * 8, bytes(8)):
        assert proof.hex() not in plain
    shown = view.incident(store, full, with_evidence=True)
    assert shown.signatures[0].evidence.signature == (b"s" * 64).hex()
    assert shown.sightings.items[0].evidence.rid == "00" * 8


def test_every_time_is_there_twice_and_both_are_the_same(store, full):
    for one in objects(as_json(view.incident(store, full))):
        for name in [name for name in one if name.endswith("_ms")]:
            text, number = one[name.removesuffix("_ms")], one[name]
            assert (text is None) == (number is None)
            if number is not None:
                at = datetime.fromisoformat(text)
                assert at.utcoffset().total_seconds() == 0
                assert round(1000 * at.timestamp()) == number


@pytest.mark.parametrize("at_ms", [-1, 0, 253_402_300_799_999, 1 << 53, 1 << 62])
def test_any_number_of_the_database_can_be_written_as_a_time(at_ms):
    assert datetime.fromisoformat(rfc3339(at_ms)).tzinfo is not None


@both
def test_sightings_are_paged_without_loss_newest_first(store, full):
    found, before = [], None
    while True:
        page = view.sightings(store, full, before, 60)
        found += page.items
        before = page.next
        if before is None:
            break
    assert len(found) == len({one.id for one in found}) == 253
    assert [one.heard_ms for one in found] == sorted((one.heard_ms for one in found), reverse=True)


def test_what_arrives_while_paging_shifts_nothing(store, full):
    first = view.sightings(store, full, None, 100)
    put(store, *(sighting(full, n, event=1) for n in range(300, 350)))
    second = view.sightings(store, full, first.next, 100)
    assert {one.id for one in first.items}.isdisjoint({one.id for one in second.items})
    assert second.items[0].heard_ms <= first.items[-1].heard_ms


@both
def test_incidents_come_newest_received_first_and_can_be_chosen(store):
    put(store, *(
        incident(n, ("ALERT", "DRILL", "TEST")[n % 3], state=("open", "closed")[n % 2],
                 first_received_ms=T0 + 7 * (n // 4), is_replay=n == 5)
        for n in range(1, 41)
    ))  # fmt: skip
    found, before = [], None
    while True:
        page = view.incidents(store, None, before, 7)
        found += page.items
        before = page.next
        if before is None:
            break
    assert [one.event for one in found] == sorted(
        range(1, 41), key=lambda n: (n // 4, n), reverse=True
    )
    chosen = view.incidents(store, view.Filter(("open",), ("DRILL",), False), None, 100).items
    assert {one.event for one in chosen} == {n for n in range(1, 41) if n % 2 == 0 and n % 3 == 1}
    counts = view.counts(store)
    assert sum(sum(states.values()) for states in counts.values()) == 40
    assert counts["REPLAY"] == {"closed": 1}


@pytest.mark.parametrize(
    "before", ["", "-", "1", "1-", "-1", "a-b", "1-2-3", "1.5-2", "²-1", "9" * 30 + "-1", "1-1;--",
               f"{1 << 63}-1"]
)  # fmt: skip
def test_a_mark_that_was_never_given(store, full, before):
    with pytest.raises(UsageError):
        view.sightings(store, full, before)
    with pytest.raises(UsageError):
        view.incidents(store, None, before)


@pytest.mark.parametrize("limit", [0, -1, 501, 10**9])
def test_a_page_is_bounded(store, full, limit):
    with pytest.raises(UsageError):
        view.incidents(store, None, None, limit)


@pytest.mark.parametrize("number", [0, -1, 99, 1 << 63, 1 << 99])
def test_an_incident_that_is_not_there(store, number):
    for ask in (view.incident, view.sightings):
        with pytest.raises(ActionError) as caught:
            ask(store, number)
        assert caught.value.code == "not_found"


def test_listeners_have_names_and_health_and_what_is_unconfirmed_says_so(store, full):
    kitchen, other = view.incident(store, full).listeners
    assert (kitchen.listener_name, kitchen.is_confirmed, kitchen.health) == (
        "kitchen", True, "hearing",
    )  # fmt: skip
    assert (other.is_confirmed, other.health, len(other.listener_name)) == (False, "unknown", 9)
    assert (kitchen.sightings, other.sightings) == (250, 3)


@pytest.mark.parametrize(
    ("fields", "word"),
    [({"is_lost": True, "radio": "deaf"}, "lost"), ({"silent_since_ms": T0}, "silent"),
     ({"radio": "deaf"}, "deaf"), ({"radio": "quiet"}, "quiet"), ({"radio": ""}, "unknown")],
)  # fmt: skip
def test_health_words(fields, word):
    assert view.health_word(listener(**fields)) == word


@both
def test_a_trail_is_thin_in_order_and_without_replays(store):
    [number] = put(store, incident())
    put(store, *(
        sighting(number, n, latitude=52.5 + n // 80, heard_ms=T0 + 4000 * n,
                 last_heard_ms=T0 + 4000 * n)
        for n in range(240)  # it goes on twice
    ))  # fmt: skip
    put(store, sighting(number, 400, latitude=0.0, verdict="replay", heard_ms=T0 + 1))
    trail = view.incident(store, number).trail
    assert [round(point.position.latitude, 3) for point in trail] == [52.5, 53.5, 54.5]
    times = [t for point in trail for t in (point.first_heard_ms, point.last_heard_ms)]
    assert times == sorted(times)
    assert (times[0], times[-1]) == (T0, T0 + 4000 * 239)


@both
def test_a_listener_that_moves_is_where_it_was_last_in_each_span(store):
    [number] = put(store, incident(first_heard_ms=T0, last_heard_ms=T0 + 300_000))
    put(store, *(
        sighting(number, n, latitude=52.0 + n / 100, heard_ms=T0 + 2000 * n, rssi_dbm=-90 + n % 30,
                 last_heard_ms=T0 + 2000 * n)
        for n in range(150)
    ))  # fmt: skip
    trail = view.incident(store, number).trail
    assert [round(one.position.latitude, 2) for one in trail] == [52.29, 52.59, 52.89, 53.19, 53.49]
    assert [one.first_heard_ms - T0 for one in trail] == [60_000 * n for n in range(5)]
    assert [one.last_heard_ms - T0 for one in trail] == [60_000 * n + 58_000 for n in range(5)]


def test_a_revoked_beacon_says_why(store):
    put(store, beacon("AAAAAAAA", revoked_ms=T0, revoked_reason="lost"))
    put(store, incident(1), incident(2, beacon="AAAAAAAA"))
    found = {one.beacon: one.revoked_reason for one in view.incidents(store).items}
    assert found == {BEACON: None, "AAAAAAAA": "lost"}


def queries(store, work):
    """Return how many statements some work sends to the database."""
    seen = []
    listen = lambda *a: seen.append(a[2])  # noqa: E731 - it has to be taken off again
    event.listen(store.engine, "before_cursor_execute", listen)
    try:
        work()
    finally:
        event.remove(store.engine, "before_cursor_execute", listen)
    return len([one for one in seen if one.lstrip().upper().startswith("SELECT")])


@both
def test_the_number_of_queries_does_not_grow_with_what_is_there(store, full):
    few = queries(store, lambda: view.incident(store, full))
    put(store, *(sighting(full, n, listener=f"{n:064x}") for n in range(300)))
    put(store, *(incident(n) for n in range(2, 60)))
    assert queries(store, lambda: view.incident(store, full)) == few <= 14
    assert queries(store, lambda: view.incidents(store)) == 1


def test_an_export_has_everything_and_its_kind_on_top(store, full):
    made = export.incident(store, full)
    found = json.loads(made.content)
    assert next(iter(found.items())) == ("kind", "DRILL")
    assert len(found["sightings"]) == made.sightings == 253
    assert found["signatures"][0]["evidence"]["signature"] == (b"s" * 64).hex()
    assert all(one.get("kind", "DRILL") == "DRILL" for one in objects(found))
    for word in ("anchor", "event_key", "payload"):
        assert word not in made.content.decode()
