"""The way to the hub: how long to wait, which door, and every answer that HTTPS can give."""

import asyncio
import ssl
from contextlib import asynccontextmanager, suppress

import pytest
from fanal.envelope import MOST_DELIVERY_BYTES
from fanal.error import UsageError
from fanal.gateway import bundle, post, relay
from fanal.gateway.mqtt_relay import MqttRelay
from fanal.gateway.post import PostRelay
from fanal.gateway.relay import Backoff, RelayDown, RelayRefused, relay_for

from tests.unit.paper_server import HOST, Authority

DELIVERY = b"FANAL\x01" + bytes(range(256)) * 700
LATE_S = 0.2  # the patience of tests in which the answer never comes

pytestmark = pytest.mark.filterwarnings("error")


class PaperDoor:
    """An HTTP server that answers each request with the same bytes, whatever they are.

    head, body: of each request; connections: how many there were.
    """

    def __init__(self, answer, *, is_silent=False):
        self.answer, self.is_silent = answer, is_silent
        self.heads, self.bodies, self.connections = [], [], 0
        self.tasks = []

    async def serve(self, reader, writer):
        self.connections += 1
        self.tasks.append(asyncio.current_task())
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                size = int(head.lower().split("content-length: ")[1].split("\r\n")[0])
                self.heads.append(head)
                self.bodies.append(await reader.readexactly(size))
                if self.is_silent:
                    await reader.read()
                    break
                writer.write(self.answer)
                await writer.drain()
                if self.answer != TAKEN:
                    break
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


@asynccontextmanager
async def door(answer, tls=None, **more):
    """Run a PaperDoor; gives it and its URL."""
    paper = PaperDoor(answer, **more)
    server = await asyncio.start_server(paper.serve, HOST, 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    try:
        yield paper, f"{'http' if tls is None else 'https'}://{HOST}:{port}/deliver"
    finally:
        server.close()
        await server.wait_closed()
        await asyncio.gather(*paper.tasks)


@asynccontextmanager
async def to(url, ca_pem=None, patience_s=60.0):
    """Give a PostRelay that is closed at the end."""
    one = PostRelay(url, ca_pem, patience_s=patience_s)
    try:
        yield one
    finally:
        await one.close()


def status(line, *headers, body=b""):
    lines = [f"HTTP/1.1 {line}", *headers]
    if not line.startswith("204"):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


TAKEN = status("204 No Content")


# Backoff


def test_each_wait_is_drawn_from_twice_the_last_up_to_the_most():
    backoff = Backoff(1.0, 10.0, draw=lambda: 1.0)
    assert [backoff.wait_s() for _ in range(6)] == [1, 2, 4, 8, 10, 10]
    backoff.reset()
    assert backoff.wait_s() == 1


def test_jitter_is_full():
    assert [Backoff(draw=lambda: 0.0).wait_s() for _ in range(3)] == [0, 0, 0]
    waits = [Backoff(8.0).wait_s() for _ in range(200)]
    assert min(waits) < 2
    assert max(waits) > 6


def test_it_never_overflows():
    backoff = Backoff(draw=lambda: 1.0)
    assert max(backoff.wait_s() for _ in range(5000)) == relay.LONGEST_WAIT_S


@pytest.mark.parametrize(("asked_s", "least_s"), [(7, 7), (0, 0), (-5, 0), (1e9, 300), (None, 0)])
def test_what_is_asked_for_is_the_least_within_reason(asked_s, least_s):
    assert Backoff(draw=lambda: 0.0).wait_s(asked_s) == least_s
    assert Backoff(draw=lambda: 1.0).wait_s(asked_s) == least_s + 1  # and nobody comes all at once


# which door


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("https://hub.example/deliver", PostRelay),
        ("http://127.0.0.1:8060/deliver", PostRelay),
        ("mqtts://hub.example/fanal/1/north", MqttRelay),
        ("mqtt://127.0.0.1:1883/fanal/1/north", MqttRelay),
    ],
)
def test_the_scheme_says_which_door(url, kind):
    made = bundle.Bundle("North", "age1x", url)
    assert type(relay_for(made, lambda: b"")) is kind


def test_another_scheme_is_refused():
    with pytest.raises(UsageError):
        relay_for(bundle.Bundle("North", "age1x", "ftp://hub.example/"), lambda: b"")


@pytest.mark.parametrize("pem", ["", "  \n", "nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n"])
@pytest.mark.parametrize("url", ["https://hub.example/deliver", "mqtts://hub.example/fanal/1/n"])
def test_certificates_that_are_none_are_refused_at_once(url, pem):
    with pytest.raises(UsageError):
        relay_for(bundle.Bundle("North", "age1x", url, ca_pem=pem), lambda: b"")


# HTTPS POST


async def test_204_is_taken_and_the_connection_is_kept():
    async with door(TAKEN) as (paper, url), to(url) as one:
        await one.send(DELIVERY)
        await one.send(DELIVERY[:100])
    assert paper.bodies == [DELIVERY, DELIVERY[:100]]
    assert paper.connections == 1
    assert paper.heads[0].startswith("POST /deliver HTTP/1.1\r\n")
    assert "content-type: application/octet-stream" in paper.heads[0].lower()


@pytest.mark.parametrize(("line", "code"), [("400 Bad", "form"), ("413 Large", "size")])
async def test_what_will_never_be_taken_is_refused(line, code):
    async with door(status(line)) as (_, url), to(url) as one:
        with pytest.raises(RelayRefused) as caught:
            await one.send(DELIVERY)
    assert caught.value.code == code


@pytest.mark.parametrize("line", ["429 Many", "503 Unavailable"])
@pytest.mark.parametrize(
    ("header", "retry_after_s"),
    [
        (("Retry-After: 7",), 7.0),
        (("retry-after:  120 ",), 120.0),
        (("Retry-After: 0",), 0.0),
        ((), None),
        (("Retry-After: Wed, 21 Oct 2015 07:28:00 GMT",), None),
        (("Retry-After: -1",), None),
        (("Retry-After: 1e9",), None),
        (("Retry-After: \xb2",), None),
        (("Retry-After: " + "9" * 5000,), None),
    ],
)
async def test_a_busy_hub_says_when_to_come_again(line, header, retry_after_s):
    async with door(status(line, *header)) as (_, url), to(url) as one:
        with pytest.raises(RelayDown) as caught:
            await one.send(DELIVERY)
    assert (caught.value.code, caught.value.retry_after_s) == ("busy", retry_after_s)


@pytest.mark.parametrize(
    "line", ["200 OK", "201 Created", "301 Moved", "302 Found", "307 Temporary Redirect",
             "308 Permanent Redirect", "401 No", "403 No", "404 No", "500 No", "502 No"],
)  # fmt: skip
async def test_nothing_else_is_a_yes_and_no_redirect_is_followed(line):
    async with door(TAKEN) as (elsewhere, other):
        answer = status(line, f"Location: {other}", body=b"<html>log in</html>")
        async with door(answer) as (_, url), to(url) as one:
            with pytest.raises(RelayDown) as caught:
                await one.send(DELIVERY)
    assert caught.value.code == "not_a_hub"
    assert elsewhere.connections == 0


@pytest.mark.parametrize("size", range(len(TAKEN)))
async def test_an_answer_that_is_cut_short_is_no_yes(size):
    # from the end of the status line on, h11 would know; nobody else should
    async with door(TAKEN[:size]) as (_, url), to(url) as one:
        with pytest.raises(RelayDown) as caught:
            await one.send(DELIVERY)
    assert caught.value.code == "network"


@pytest.mark.parametrize(
    "answer", [b"\x00" * 4000, b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 204\r\nA: " + b"a" * 300_000],
)  # fmt: skip
async def test_what_is_not_http_is_no_yes(answer):
    async with door(answer) as (_, url), to(url) as one:
        with pytest.raises(RelayDown) as caught:
            await one.send(DELIVERY)
    assert caught.value.code == "network"


async def test_the_body_of_an_answer_is_not_read():
    endless = b"HTTP/1.1 503 Busy\r\nContent-Length: 99999999999\r\n\r\n" + b"x" * 1000
    async with door(endless) as (_, url), to(url) as one:
        with pytest.raises(RelayDown) as caught:
            await one.send(DELIVERY)
    assert caught.value.code == "busy"


async def test_a_silent_hub_is_given_up():
    async with door(TAKEN, is_silent=True) as (paper, url), to(url, patience_s=LATE_S) as one:
        with pytest.raises(RelayDown) as caught:
            await one.send(DELIVERY)
        assert caught.value.code == "network"
        paper.is_silent = False
        one._patience_s = 60.0
        await one.send(DELIVERY)  # and works again without being made anew


async def test_nobody_there():
    async with door(TAKEN) as (_, url):
        pass
    async with to(url) as one:
        with pytest.raises(RelayDown) as caught:
            await one.send(DELIVERY)
    assert caught.value.code == "network"


async def test_a_delivery_that_is_too_large_is_not_sent():
    async with door(TAKEN) as (paper, url), to(url) as one:
        with pytest.raises(RelayRefused) as caught:
            await one.send(bytes(MOST_DELIVERY_BYTES + 1))
    assert (caught.value.code, paper.connections) == ("size", 0)


async def test_only_the_pinned_authority_counts(tmp_path):
    folders = [tmp_path / "ours", tmp_path / "theirs"]
    for folder in folders:
        folder.mkdir()
    ours, theirs = map(Authority, folders)
    async with door(TAKEN, ours.server_context()) as (paper, url):
        async with to(url, ours.path.read_text()) as one:
            await one.send(DELIVERY)
        for pem in (theirs.path.read_text(), None):
            async with to(url, pem) as one:
                with pytest.raises(RelayDown) as caught:
                    await one.send(DELIVERY)
            assert caught.value.code == "certificate"
    assert paper.bodies == [DELIVERY]


async def test_the_system_s_authorities_count_without_a_pin(tmp_path, monkeypatch):
    ours = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(ours.path))
    async with door(TAKEN, ours.server_context()) as (_, url), to(url) as one:
        await one.send(DELIVERY)


@pytest.mark.parametrize(("address", "days"), [("127.0.0.2", 1), (HOST, -1)])
async def test_another_name_or_an_old_certificate_is_not_believed(tmp_path, address, days):
    ours = Authority(tmp_path)
    pem = ours.path.read_text()
    async with door(TAKEN, ours.server_context(address, days)) as (paper, url), to(url, pem) as one:
        with pytest.raises(RelayDown) as caught:
            await one.send(DELIVERY)
    assert (caught.value.code, paper.bodies) == ("certificate", [])


def test_old_tls_is_not_spoken(tmp_path):
    context = post.tls.client_context(Authority(tmp_path).path.read_text())
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert context.check_hostname
    assert context.verify_mode == ssl.CERT_REQUIRED


async def test_a_proxy_of_the_environment_is_used(monkeypatch):
    async with door(TAKEN) as (proxy, url):
        monkeypatch.setenv("http_proxy", url.removesuffix("/deliver"))
        async with to("http://hub.invalid/deliver") as one:
            await one.send(DELIVERY)
    assert proxy.heads[0].startswith("POST http://hub.invalid/deliver HTTP/1.1\r\n")


async def test_an_error_quotes_neither_path_nor_delivery():
    async with door(status("500 No", body=b"secret-answer")) as (_, url), to(url) as one:
        with pytest.raises(RelayDown) as caught:
            await one.send(b"secret-delivery")
    told = repr(caught.value) + caught.value.sentence + caught.value.hint
    assert "secret" not in told
    assert "/deliver" not in told
