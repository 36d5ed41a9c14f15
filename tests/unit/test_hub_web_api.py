"""The JSON API: the same facts and the same rules as on the page."""

import json

import pytest
from fanal.hub.incident_record import Incident, IncidentView, Page
from fanal.hub.tables import ActionRow, IncidentRow, ListenerRow
from fanal.hub.web import described
from sqlalchemy import select

from tests.unit.paper_incidents import a_situation
from tests.unit.paper_web import PaperWeb

API = "/api/v1"


@pytest.fixture
def web(tmp_path):
    return PaperWeb(tmp_path)


@pytest.fixture
def made(web):
    return a_situation(web.store)


async def test_a_program_learns_who_it_is_and_its_token(web):
    async with web.visitor("duty") as duty:
        token = duty.headers.pop("x-csrf-token")
        answer = (await duty.get(f"{API}/session")).json()
    assert answer == {"name": "duty", "role": "responder", "csrf": token}


async def test_incidents_are_filtered_and_told_in_parts(web, made):
    async with web.visitor("guest") as guest:

        async def numbers(**query):
            answer = await guest.get(f"{API}/incidents", params=query)
            assert answer.status_code == 200, answer.text
            return [one["id"] for one in answer.json()["items"]]

        assert len(await numbers()) == 6
        assert await numbers(kind="DRILL") == [made["drill"]]
        assert await numbers(is_replay="true") == [made["replay"]]
        assert set(await numbers(kind=["DRILL", "TEST"])) == {made["drill"], made["test"]}
        assert await numbers(state="closed") == [made["closed"]]
        first = (await guest.get(f"{API}/incidents", params={"limit": 4})).json()
        rest = (await guest.get(f"{API}/incidents", params={"before": first["next"]})).json()
        assert len(first["items"]) == 4
        assert len(rest["items"]) == 2
        assert rest["next"] is None


async def test_kind_is_in_every_object_and_times_are_there_twice(web, made):
    async with web.visitor("chief") as chief:
        found = (await chief.get(f"{API}/incidents/{made['drill']}")).json()
    assert found["kind"] == "DRILL"
    for part in (found["incident"], *found["timeline"], *found["trail"], *found["listeners"],
                 *found["sightings"]["items"]):  # fmt: skip
        assert part["kind"] == "DRILL"
    one = found["incident"]
    assert one["first_heard"].startswith("20")
    assert isinstance(one["first_heard_ms"], int)


async def test_evidence_is_for_officers(web, made):
    signature = bytes(range(64)).hex()
    for name, is_told in (("guest", False), ("duty", False), ("chief", True)):
        async with web.visitor(name) as visitor:
            whole = await visitor.get(f"{API}/incidents/{made['alert']}")
            assert (signature in whole.text) == is_told
            some = (await visitor.get(f"{API}/incidents/{made['alert']}/sightings")).json()
            assert {one["evidence"] is not None for one in some["items"]} == {is_told}


async def test_actions_are_done_once_and_say_by_whom(web, made):
    number = made["alert"]
    async with web.visitor("duty") as duty, web.visitor("chief") as chief:
        path = f"{API}/incidents/{number}"
        first = (await duty.post(f"{path}/acknowledge")).json()
        again = (await chief.post(f"{path}/acknowledge")).json()
        assert (first["is_new"], again["is_new"], again["who"]) == (True, False, "duty")
        for what, body in (("assign", {"to": "guest"}), ("note", {"text": "Two\nlines."}),
                           ("close", {"reason": "other", "text": "Known."}),
                           ("reopen", {"reason": "Again."})):  # fmt: skip
            answer = await duty.post(f"{path}/{what}", json=body)
            assert (answer.status_code, answer.json()["is_new"]) == (200, True)
        conflict = await duty.post(f"{path}/reopen", json={"reason": "Again."})
        assert conflict.json()["is_new"] is False
    with web.store.reading() as session:
        row = session.get_one(IncidentRow, number)
        assert (row.state, row.assigned_to) == ("open", "guest")


async def test_a_viewer_may_read_and_no_more(web, made):
    async with web.visitor("guest") as guest:
        for what, body in (("acknowledge", {}), ("assign", {"to": "x"}), ("note", {"text": "x"}),
                           ("close", {"reason": "other", "text": "x"}),
                           ("reopen", {"reason": "x"})):  # fmt: skip
            answer = await guest.post(f"{API}/incidents/{made['alert']}/{what}", json=body)
            assert (answer.status_code, answer.json()["error"]) == (403, "role")
        answer = await guest.post(f"{API}/listeners/{'04' * 32}/enrol", json={"name": "x"})
        assert answer.status_code == 403
    async with web.visitor("duty") as duty:
        answer = await duty.post(f"{API}/listeners/{'04' * 32}/enrol", json={"name": "x"})
        assert answer.status_code == 403
    with web.store.reading() as session:
        assert {one.what for one in session.scalars(select(ActionRow))} == {"opened"}


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/incidents/999", None, 404),
        ("GET", "/incidents/0", None, 422),
        ("GET", "/incidents/x", None, 422),
        ("GET", f"/incidents/{1 << 63}", None, 422),
        ("GET", "/incidents?limit=0", None, 422),
        ("GET", "/incidents?limit=501", None, 422),
        ("GET", "/incidents?before=x", None, 422),
        ("GET", "/incidents?state=gone", None, 422),
        ("GET", "/incidents/999/sightings", None, 404),
        ("GET", "/nothing", None, 404),
        ("PUT", "/incidents/1", {}, 405),
        ("POST", "/incidents/999/acknowledge", None, 404),
        ("POST", "/incidents/1/assign", {"to": 7}, 422),
        ("POST", "/incidents/1/assign", {"to": "x", "as": "chief"}, 422),
        ("POST", "/incidents/1/assign", [], 422),
        ("POST", "/incidents/1/assign", {"to": "\u0000"}, 422),
        ("POST", "/incidents/1/note", {"text": "\ud800"}, 422),
        ("POST", "/incidents/1/close", {"reason": "drill over"}, 422),
        ("POST", "/incidents/6/close", {"reason": "drill over"}, 422),
        ("POST", "/incidents/6/reopen", {"reason": "x"}, 409),
        ("POST", "/incidents/1/assign", {"to": "x"}, 409),
        ("POST", "/listeners/nobody/enrol", {"name": "x"}, 404),
        ("POST", f"/listeners/{'04' * 32}/enrol", {"name": "kitchen"}, 409),
        ("POST", f"/listeners/{'04' * 32}/enrol", {"name": "\n"}, 422),
    ],
)
async def test_what_is_refused_says_why_in_one_form(web, made, method, path, body, status):
    async with web.visitor("chief") as chief:
        content = None if body is None else json.dumps(body).encode()
        answer = await chief.request(method, API + path, content=content,
                                   headers={"content-type": "application/json"})  # fmt: skip
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"error", "message"}
    assert answer.json()["message"]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[" * 60_000, b'{"to": "x"', b"\xff", b"null", b'{"to": NaN}',
             b'{"to": ' + b"9" * 60_000 + b"}"],
)  # fmt: skip
async def test_a_body_that_is_none_is_refused(web, made, body):
    async with web.visitor("chief") as chief:
        answer = await chief.post(f"{API}/incidents/{made['alert']}/assign", content=body,
                                headers={"content-type": "application/json"})  # fmt: skip
    assert answer.status_code in (400, 422)
    assert set(answer.json()) == {"error", "message"}


async def test_a_refusal_quotes_nothing_that_was_sent(web, made):
    async with web.visitor("chief") as chief:
        answer = await chief.post(f"{API}/incidents/6/assign", json={"password": "my secret words"})
    assert "secret" not in answer.text


async def test_a_body_that_is_too_long_is_cut(web, made):
    async with web.visitor("chief") as chief:
        answer = await chief.post(f"{API}/incidents/6/note", json={"text": "x" * 70_000})
    assert (answer.status_code, answer.json()["error"]) == (413, "size")


async def test_listeners_are_listed_and_enrolled(web, made):
    key = "mqtt:home/OMG_ESP32/BTtoMQTT"
    async with web.visitor("chief") as chief:
        answer = await chief.post(f"{API}/listeners/{key}/enrol", json={"name": "attic"})
        assert (answer.status_code, answer.json()["name"]) == (200, "attic")
        found = (await chief.get(f"{API}/listeners")).json()
    assert found["left_out"] == 0
    assert [one["name"] for one in found["items"] if one["is_enrolled"]] == [
        "attic", "bus station", "east gate", "kitchen",
    ]  # fmt: skip
    with web.store.reading() as session:
        assert session.get_one(ListenerRow, key).enrolled_by == "chief"


async def test_health_tells_what_waits(web, made):
    async with web.visitor("guest") as guest:
        found = (await guest.get(f"{API}/health")).json()
    assert found["waiting"] == {"groups": 0, "oldest_group_ms": None, "messages": 0}
    assert found["listeners"]["enrolled"] == 3
    assert found["incidents"]["ALERT"]["open"] == 2


# the description


async def test_the_description_is_whole(web):
    async with web.visitor("guest") as guest:
        found = (await guest.get(f"{API}/openapi.json")).json()
    assert {"/deliver", "/health", f"{API}/incidents", f"{API}/incidents/{{number}}/close"} <= set(
        found["paths"]
    )
    for path, methods in found["paths"].items():
        assert path.startswith(API) or path in ("/deliver", "/health")
        for method in methods.values():
            assert method.get("description")


def test_a_record_is_described_as_it_is_written():
    one = described.record(Incident)
    assert one["properties"]["first_heard_ms"] == {"type": "integer"}
    assert one["properties"]["first_heard"]["format"] == "date-time"
    assert {"type": "null"} in one["properties"]["acknowledged"]["anyOf"]
    whole = described.record(IncidentView)["properties"]
    assert whole["sightings"]["properties"]["items"]["items"]["properties"]["rssi_dbm"]
    assert described.listing(Incident) == described.record(Page, {"T": Incident})
    with pytest.raises(TypeError):
        described._schema(object, {})
