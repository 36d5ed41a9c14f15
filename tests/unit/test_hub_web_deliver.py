"""The door for deliveries: what strangers can do there, and what they get back."""

import asyncio
from concurrent.futures import Future

import pytest
from fanal.envelope import MOST_DELIVERY_BYTES, EnvelopeError
from fanal.error import EnvironmentFault
from fanal.hub.caps import Crowded
from fanal.hub.inbox import Taken
from fanal.hub.intake import IntakeFull
from fanal.hub.web import app as web_app
from fanal.hub.web import deliver

from tests.unit.paper_web import PaperWeb

KIND = {"content-type": "application/octet-stream"}


@pytest.fixture
def web(tmp_path):
    return PaperWeb(tmp_path)


async def sent(app, body_parts, headers=(), path="/deliver", method="POST", address="192.0.2.7"):
    """Send a request part by part, whatever its headers say; None is a part that never comes.

    Return status, headers, body, and how many parts were read.
    """
    parts, read, answers = list(body_parts), [], []

    async def receive():
        if not parts or parts[0] is None:
            await asyncio.Event().wait()  # a sender who says no more
        read.append(parts[0])
        return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}

    async def send(message):
        answers.append(message)

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method,
        "scheme": "http", "path": path, "raw_path": path.encode(), "query_string": b"",
        "root_path": "", "client": (address, 1), "server": ("127.0.0.1", 8060),
        "headers": [(b"host", b"127.0.0.1:8060"), *headers],
    }  # fmt: skip
    await app(scope, receive, send)
    body = b"".join(one.get("body", b"") for one in answers[1:])
    return answers[0]["status"], dict(answers[0]["headers"]), body, len(read)


OCTETS = (b"content-type", b"application/octet-stream")


async def test_a_delivery_is_handed_over_whole_and_answered_with_nothing(web):
    async with web.visitor() as stranger:
        answer = await stranger.post("/deliver", content=b"sealed", headers=KIND)
    assert (answer.status_code, answer.content) == (204, b"")
    assert web.intake.taken == [(b"sealed", "192.0.2.7")]
    assert "set-cookie" not in answer.headers


async def test_it_is_answered_after_it_was_written_and_not_before(web):
    written = Future()
    web.intake.submit = lambda data, source: written
    async with web.visitor() as stranger:
        asked = asyncio.create_task(stranger.post("/deliver", content=b"x", headers=KIND))
        for _ in range(20):
            await asyncio.sleep(0)
        assert not asked.done()
        written.set_result(None)
        assert (await asked).status_code == 204


async def test_a_sender_who_hangs_up_takes_nothing_back(web):
    written, submitted = Future(), asyncio.Event()

    def submit(data, source):
        submitted.set()
        return written

    web.intake.submit = submit
    async with web.visitor() as stranger:
        asked = asyncio.create_task(stranger.post("/deliver", content=b"x", headers=KIND))
        await submitted.wait()
        for _ in range(5):
            await asyncio.sleep(0)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
    assert not written.cancelled()
    written.set_result(None)


@pytest.mark.parametrize(
    ("problem", "status", "code", "again"),
    [
        (EnvelopeError("seal", "It is not sealed to this fleet."), 400, "seal", None),
        (Crowded(17.2, False), 429, "crowded", "18"),
        (IntakeFull(), 503, "busy", "5"),
        (EnvironmentFault("The hub's database cannot be used."), 503, "busy", "5"),
    ],
    ids=["refused", "crowded", "full", "database"],
)
async def test_what_is_not_taken_is_named_in_a_word(web, problem, status, code, again):
    web.intake.answer = problem
    async with web.visitor() as stranger:
        answer = await stranger.post("/deliver", content=bytes(40), headers=KIND)
    assert (answer.status_code, answer.json()) == (status, {"error": code})
    assert answer.headers.get("retry-after") == again


async def test_a_queue_that_is_full_says_so_at_once(web):
    def full(data, source):
        raise IntakeFull

    web.intake.submit = full
    async with web.visitor() as stranger:
        answer = await stranger.post("/deliver", content=b"x", headers=KIND)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")


async def test_a_hub_that_accepted_no_fleet_takes_nothing(tmp_path):
    web = PaperWeb(tmp_path)
    object.__setattr__(web.hub, "intake", None)
    async with web.visitor() as stranger:
        answer = await stranger.post("/deliver", content=b"x", headers=KIND)
    assert (answer.status_code, answer.json()) == (503, {"error": "closed"})


async def test_the_longest_delivery_is_taken_and_one_byte_more_is_not(web):
    async with web.visitor() as stranger:
        longest = bytes(MOST_DELIVERY_BYTES)
        assert (await stranger.post("/deliver", content=longest, headers=KIND)).status_code == 204
        more = await stranger.post("/deliver", content=longest + b"x", headers=KIND)
    assert (more.status_code, more.json()) == (413, {"error": "size"})
    assert more.headers["connection"] == "close"
    assert len(web.intake.taken) == 1


@pytest.mark.parametrize("declared", [None, b"5", b"0", b"", b"-1", b"99999999999999999999"])
async def test_a_stream_is_cut_whatever_its_length_is_said_to_be(web, declared):
    headers = [OCTETS] + ([] if declared is None else [(b"content-length", declared)])
    parts = [bytes(64 * 1024)] * 1000
    status, _, body, read = await sent(web.app, parts, headers)
    assert (status, body) == (413, b'{"error":"size"}')
    assert read <= MOST_DELIVERY_BYTES // (64 * 1024) + 1
    assert web.intake.taken == []


async def test_a_body_that_never_ends_is_given_up(web, monkeypatch):
    monkeypatch.setattr(web_app, "PATIENCE_S", 0.01)
    app = web_app.create_app(web.hub)
    status, headers, body, read = await sent(app, [b"x", None], [OCTETS])
    assert (status, body, read) == (408, b'{"error":"slow"}', 1)
    assert headers[b"connection"] == b"close"
    assert web.intake.taken == []


@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded", ";"])
async def test_what_a_form_of_another_site_can_send_is_refused(web, kind):
    async with web.visitor() as stranger:
        headers = {} if kind is None else {"content-type": kind}
        answer = await stranger.post("/deliver", content=b"x", headers=headers)
    assert (answer.status_code, answer.json()) == (415, {"error": "type"})
    assert web.intake.taken == []


@pytest.mark.parametrize("body", [b"", b"x", bytes(1000)], ids=["nothing", "a byte", "much"])
@pytest.mark.parametrize("status", [204, 400, 413, 415, 429, 503])
async def test_no_answer_is_longer_than_what_was_asked(web, body, status):
    web.intake.answer = {400: EnvelopeError("signature", "x"), 429: Crowded(900, True),
                         503: IntakeFull()}.get(status)  # fmt: skip
    headers = [OCTETS] if status != 415 else []
    if status == 413:
        headers += [(b"content-length", b"999999999")]
    else:
        headers += [(b"content-length", str(len(body)).encode())]
    got, answered, content, _ = await sent(web.app, [body], headers)
    assert got == status
    asked = b"POST /deliver HTTP/1.1\r\nhost: 127.0.0.1:8060\r\n\r\n" + body
    asked += b"".join(b"%s: %s\r\n" % header for header in headers)
    # without headers, which HTTP has of its own: date, content-length, connection
    assert len(content) <= len(asked)
    assert len(content) <= 24
    assert set(answered) <= {b"content-length", b"content-type", b"retry-after", b"connection"}


async def test_an_address_has_so_many_deliveries_a_minute(tmp_path):
    web = PaperWeb(tmp_path, "[limits]\naddress_deliveries = 3\n")
    async with web.visitor() as one, web.visitor(address="192.0.2.8") as other:
        got = [(await one.post("/deliver", content=b"x", headers=KIND)).status_code
               for _ in range(5)]  # fmt: skip
        assert got == [204, 204, 204, 429, 429]
        assert (await other.post("/deliver", content=b"x", headers=KIND)).status_code == 204
        last = await one.post("/deliver", content=b"x", headers=KIND)
    assert 1 <= int(last.headers["retry-after"]) <= 20


async def test_one_address_cannot_take_all_places(web):
    never = Future()
    web.intake.submit = lambda data, source: never
    async with web.visitor() as slow, web.visitor(address="192.0.2.8") as other:
        asked = [asyncio.create_task(slow.post("/deliver", content=b"x", headers=KIND))
                 for _ in range(32)]  # fmt: skip
        while len(web.app.state.door.crowd._each) < 1 or web.app.state.door.crowd._here < 32:
            await asyncio.sleep(0)
        assert (await slow.post("/deliver", content=b"x", headers=KIND)).status_code == 503
        web.intake.submit = lambda data, source: _done()
        assert (await other.post("/deliver", content=b"x", headers=KIND)).status_code == 204
        never.set_result(None)
        assert {answer.status_code for answer in await asyncio.gather(*asked)} == {204}
    assert web.app.state.door.crowd._here == 0


def _done():
    future = Future()
    future.set_result(None)
    return future


async def test_health_says_that_it_runs_and_nothing_else(web):
    async with web.visitor() as stranger:
        answer = await stranger.get("/health")
        assert (answer.status_code, answer.json()) == (200, {"ok": True})
        web.store.engine.dispose()

        def broken():
            raise EnvironmentFault("The hub's database cannot be used (secret).")

        web.store.reading = broken
        answer = await stranger.get("/health")
    assert (answer.status_code, answer.json()) == (503, {"error": "database"})


async def test_strangers_who_fill_the_door_leave_the_fleets_own_a_way_in(tmp_path, monkeypatch):
    monkeypatch.setattr(deliver, "_MOST_OPEN", 3)
    web, written, never = PaperWeb(tmp_path), Future(), Future()
    written.set_result(Taken("key", 1, 0, is_enrolled=True))
    answers = {b"enrolled": written, b"slow": never}
    web.intake.submit = lambda data, source: answers[data]

    async def status(address, data):
        answer = await sent(web.app, [data], [OCTETS], address=address)
        return answer[0]

    assert await status("192.0.2.50", b"enrolled") == 204
    slow = [asyncio.create_task(status(f"192.0.2.{n}", b"slow")) for n in range(3)]
    for _ in range(20):
        await asyncio.sleep(0)
    assert await status("192.0.2.51", b"enrolled") == 503
    assert await status("192.0.2.50", b"enrolled") == 204
    never.set_result(Taken("other", 1, 0))
    assert [await one for one in slow] == [204] * 3
    assert await status("192.0.2.51", b"enrolled") == 204


async def test_who_hangs_up_in_the_middle_fills_no_log(web, caplog):
    async def receive():
        return {"type": "http.disconnect"}

    async def send(message):
        pass

    for path in ("/deliver", "/login"):
        kind = b"application/x-www-form-urlencoded" if path == "/login" else OCTETS[1]
        scope = {"type": "http", "method": "POST", "path": path, "raw_path": path.encode(),
                 "query_string": b"", "headers": [(b"content-type", kind)], "root_path": "",
                 "client": ("192.0.2.7", 1), "server": ("127.0.0.1", 8060), "scheme": "http",
                 "http_version": "1.1"}  # fmt: skip
        await web.app(scope, receive, send)  # uvicorn would log what is raised here
    assert caplog.records == []
