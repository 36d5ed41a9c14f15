"""CAP 1.2: whatever an incident is, its message is valid by OASIS' schema, and says its kind."""

from functools import cache
from pathlib import Path

import pytest
import xmlschema
from fanal.hub import actions, cap, message
from fanal.hub.incident_record import Incident
from fanal.position import Position
from hypothesis import given, settings
from hypothesis import strategies as st

NS = {"c": cap.NAMESPACE}
MOST_MS = 1 << 53


@cache
def schema():
    return xmlschema.XMLSchema(Path(__file__).parents[1] / "data" / "CAP-v1.2.xsd")


def parsed(text):
    """Return the root of a message that the schema takes."""
    import xml.etree.ElementTree as ET

    schema().validate(cap.document(text).decode())
    return ET.fromstring(cap.document(text))


def value(root, name):
    return root.findtext(f".//c:{name}", None, NS)


FACTS = {
    "id": 12, "kind": "ALERT", "state": "open", "is_replay": False, "may_be_replay": False,
    "is_readable": True,
    "is_confirmed": True, "beacon": "K7Q29XMD", "event": 3, "site": "shelter-3",
    "place": "room 12", "profile": "fixed", "revoked_reason": None, "signature": "unsigned",
    "began_ms": 1_800_000_000_000, "first_heard_ms": 1_800_000_001_000,
    "last_heard_ms": 1_800_000_002_000, "first_received_ms": 1_800_000_003_000,
    "last_received_ms": 1_800_000_003_000, "age_s": 4, "is_resumed": False, "phase": 0,
    "battery_mv": 3700, "is_battery_low": False, "crumbs": 0, "sightings": 1, "replays": 0,
    "listeners": 1, "position": Position(52.5, 13.4, 30.0, "listeners"), "assigned_to": None,
    "acknowledged_ms": None, "escalation": 0, "revision": 1,
}  # fmt: skip


def facts(**fields):
    return Incident(**{**FACTS, **fields})


def made(incident, kind="Alert", closed_as="", detail="full", why="opened", url="https://h/1",
         **envelope):  # fmt: skip
    given = {"identifier": "fanal-1", "sender": "hub@ngo.example", "sent_ms": 1_800_000_004_000,
             "message": kind, "addresses": ("the duty desk",), "references": ()}  # fmt: skip
    content = message.of_incident(incident, kind, why, closed_as, 1_800_000_004_000, detail, url)
    return cap.xml(cap.Envelope(**{**given, **envelope}), incident, message.headline(content),
                   closed_as, detail, url)  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "status", "event", "note"),
    [("ALERT", "Actual", "silent alarm", None),
     ("DRILL", "Exercise", "DRILL: silent alarm", "DRILL 12"),
     ("TEST", "Test", "TEST: silent alarm", "TEST 12")],
)  # fmt: skip
def test_the_kind_is_in_status_event_headline_and_note(kind, status, event, note):
    root = parsed(made(facts(kind=kind)))
    assert (value(root, "status"), value(root, "event"), value(root, "note")) == (
        status, event, note,
    )  # fmt: skip
    assert value(root, "headline").startswith(f"{kind}: ")


def test_times_have_an_offset_and_never_a_z():
    root = parsed(made(facts()))
    assert value(root, "sent") == "2027-01-15T08:00:04-00:00"
    assert value(root, "onset") == "2027-01-15T08:00:00-00:00"
    assert value(root, "expires") == "2027-01-16T08:00:04-00:00"


def test_it_is_for_those_who_are_named():
    root = parsed(made(facts(), addresses=("the duty desk", "a@b.example")))
    assert value(root, "scope") == "Private"
    assert value(root, "addresses") == '"the duty desk" a@b.example'


def test_references_are_sender_identifier_and_time():
    root = parsed(made(facts(), "Update", references=(("fanal-1", 0), ("fanal-2", 1000))))
    assert value(root, "references") == (
        "hub@ngo.example,fanal-1,1970-01-01T00:00:00-00:00"
        " hub@ngo.example,fanal-2,1970-01-01T00:00:01-00:00"
    )


def test_where_is_a_circle_in_kilometres():
    root = parsed(made(facts()))
    assert value(root, "circle") == "52.500000,13.400000 0.030"
    assert value(root, "areaDesc") == "Beacon installed at shelter-3, room 12"
    assert "given out at" in value(parsed(made(facts(profile="carried"))), "areaDesc")


def test_minimal_has_neither_beacon_nor_place():
    text = made(facts(revoked_reason="lost"), detail="minimal")
    parsed(text)
    for secret in ("K7Q2", "9XMD", "shelter", "room", "52.5", "13.4", "circle", "lost"):
        assert secret not in text


@pytest.mark.parametrize(
    ("fields", "closed_as", "sure"),
    [({"signature": "signed"}, "", "Observed"), ({}, "", "Likely"),
     ({"is_confirmed": False}, "", "Possible"), ({"is_replay": True}, "", "Unlikely"),
     ({"signature": "signed", "state": "closed"}, "false alarm", "Unlikely")],
)  # fmt: skip
def test_how_sure_it_is(fields, closed_as, sure):
    assert value(parsed(made(facts(**fields), closed_as=closed_as)), "certainty") == sure


def test_what_is_over_asks_for_nothing_any_more():
    root = parsed(made(facts(state="closed"), "Update", closed_as="help arrived"))
    assert (value(root, "urgency"), value(root, "responseType")) == ("Past", "AllClear")
    assert value(parsed(made(facts())), "urgency") == "Immediate"


# lone surrogates too: they come in by JSON
hostile = st.text(st.characters(), max_size=40) | st.sampled_from(
    ["]]>", "<!DOCTYPE x [<!ENTITY y SYSTEM 'file:///etc/passwd'>]>&y;", "\x00", "\ufffe", "\ud800",
     "a,b c<d&e", "\r\nX: y", '"']
)  # fmt: skip
times = st.integers(0, MOST_MS)
positions = st.none() | st.builds(
    Position, st.floats(-90, 90), st.floats(-180, 180), st.floats(0, 1e8), st.just("listeners")
)
incidents = st.builds(
    Incident,
    id=st.integers(1, 1 << 62), kind=st.sampled_from(["ALERT", "DRILL", "TEST"]),
    state=st.sampled_from(["open", "acknowledged", "closed"]), is_replay=st.booleans(),
    is_readable=st.booleans(), is_confirmed=st.booleans(), beacon=st.text("0123ABCD", min_size=8,
    max_size=8), event=st.integers(1, 1 << 32), site=hostile, place=hostile,
    profile=st.sampled_from(["fixed", "carried"]), revoked_reason=st.none() | hostile,
    signature=st.sampled_from(["unsigned", "signed"]), began_ms=st.none() | times,
    first_heard_ms=times, last_heard_ms=times, first_received_ms=times, last_received_ms=times,
    age_s=st.integers(0, 86400), is_resumed=st.booleans(), phase=st.integers(0, 255),
    battery_mv=st.integers(0, 5100), is_battery_low=st.booleans(), crumbs=st.integers(0, 255),
    sightings=st.integers(0, 1 << 40), replays=st.integers(0, 1 << 40),
    listeners=st.integers(0, 1 << 20), position=positions, assigned_to=st.none() | hostile,
    acknowledged_ms=st.none() | times, escalation=st.integers(0, 8), revision=st.integers(0, 99),
)  # fmt: skip


@settings(max_examples=150)
@given(
    incidents, st.sampled_from(["Alert", "Update", "Cancel"]),
    st.sampled_from(["", *actions.REASONS]), st.sampled_from(["full", "minimal"]), hostile,
    hostile, hostile, st.lists(hostile, min_size=1, max_size=3),
    st.lists(st.tuples(hostile, times), max_size=4), times,
)  # fmt: skip
def test_any_incident_makes_a_valid_message(
    incident, kind, closed_as, detail, why, identifier, sender, addresses, references, sent_ms
):
    text = made(
        incident, kind, closed_as, detail, why, identifier=identifier, sender=sender,
        addresses=tuple(addresses), references=tuple(references), sent_ms=sent_ms,
        sender_name=why,
    )  # fmt: skip
    root = parsed(text)
    for name in ("identifier", "sender"):
        assert not set(value(root, name)) & set(" ,<&\t\r\n")
    assert value(root, "headline").startswith(f"{incident.kind}: ")
    for reference in (value(root, "references") or "").split(" "):
        assert reference.count(",") == (2 if references else 0)
    assert root.findtext("c:status", None, NS) == {
        "ALERT": "Actual", "DRILL": "Exercise", "TEST": "Test",
    }[incident.kind]  # fmt: skip


def test_the_schema_can_refuse():
    with pytest.raises(xmlschema.XMLSchemaValidationError):
        parsed(made(facts()).replace("Private", "Secret"))
    with pytest.raises(xmlschema.XMLSchemaValidationError):
        parsed(made(facts()).replace("-00:00</sent>", "Z</sent>"))
