"""A connection to a broker of paper, which says every wrong thing that a broker can say."""

import asyncio
from contextlib import asynccontextmanager, suppress

import pytest
from fanal.error import UsageError
from fanal.gateway.mqtt_relay import MqttRelay
from fanal.gateway.relay import RelayDown, RelayRefused
from fanal.mqtt import Login, Mqtt, Will
from fanal.mqtt_error import MqttDown, MqttRefused

from tests.unit.paper_server import HOST

LATE_S = 0.2  # the patience of tests in which the answer never comes
WELCOME = bytes.fromhex("20 03 00 00 00")
CONNECT, PUBLISH, PUBACK, SUBSCRIBE, SUBACK, DISCONNECT = 0x10, 0x30, 0x40, 0x80, 0x90, 0xE0


class PaperBroker:
    """Answers CONNECT with `welcome`, and other packets as `answer(kind, body)` says.

    answer returns bytes, or None to hang up. packets: kind and body of each that came.
    """

    def __init__(self, welcome=WELCOME, answer=lambda _, __: b""):
        self.welcome, self.answer = welcome, answer
        self.packets, self.tasks = [], []

    async def serve(self, reader, writer):
        self.tasks.append(asyncio.current_task())
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                kind, body = await packet(reader)
                self.packets.append((kind, body))
                said = self.welcome if kind == CONNECT else self.answer(kind, body)
                if said is None or kind == DISCONNECT:
                    break
                writer.write(said)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def packet(reader):
    """Return kind and body of the next packet."""
    (kind,) = await reader.readexactly(1)
    size, shift = 0, 0
    while True:
        (byte,) = await reader.readexactly(1)
        size |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return kind & 0xF0, await reader.readexactly(size)


@asynccontextmanager
async def broker(*how):
    """Run a PaperBroker; gives it and its URL."""
    paper = PaperBroker(*how)
    server = await asyncio.start_server(paper.serve, HOST, 0)
    try:
        yield paper, f"mqtt://{HOST}:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await server.wait_closed()
        await asyncio.gather(*paper.tasks)


@asynccontextmanager
async def opened(url, **more):
    """Give an open Mqtt that is closed at the end."""
    mqtt = Mqtt(url, **more)
    await mqtt.open()
    try:
        yield mqtt
    finally:
        await mqtt.close()


def acknowledges(reason):
    """Return what answers a PUBLISH at QoS 1 with a reason code."""

    def answer(kind, body):
        if kind != PUBLISH:
            return b""
        at = 2 + int.from_bytes(body[:2], "big")
        return bytes([PUBACK, 3]) + body[at : at + 2] + bytes([reason])

    return answer


@pytest.mark.parametrize(
    "url", ["", "mqtt://", "hub.example:1883", "http://hub.example", "ws://hub.example",
            "mqtt://user:secret@hub.example", "mqtts://hub.example:x", "mqtts://hub.example:0",
            "mqtt://[", "mqtt:///fanal/1/north"],
)  # fmt: skip
def test_another_address_is_refused_and_not_quoted(url):
    with pytest.raises(UsageError) as caught:
        Mqtt(url)
    assert "secret" not in caught.value.sentence + caught.value.hint


def test_no_secret_is_in_a_repr():
    assert "secret" not in repr(Login("hub", "secret-password"))
    assert "secret" not in repr(Will("topic", b"secret-payload"))


@pytest.mark.parametrize(
    ("reason", "code"),
    [(0x80, "protocol"), (0x84, "not_allowed"), (0x86, "not_allowed"), (0x87, "not_allowed"),
     (0x88, "busy"), (0x89, "busy"), (0x97, "busy"), (0x9F, "busy"), (0x95, "protocol")],
)  # fmt: skip
async def test_a_broker_that_lets_us_not_in(reason, code):
    async with broker(bytes([0x20, 3, 0, reason, 0])) as (_, url):
        mqtt = Mqtt(url)
        with pytest.raises(MqttDown) as caught:
            await mqtt.open()
        assert caught.value.code == code
        assert mqtt.is_lost


WRONG = {
    "cut": b"",
    "mqtt 3 only": bytes.fromhex("20 02 00 01"),
    "zeros": bytes(64),
    "http": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "too long a length": bytes.fromhex("20 ff ff ff ff ff 7f"),
    "unknown reason": bytes.fromhex("20 03 00 7e 00"),
    "unknown property": bytes.fromhex("20 05 00 00 02 fe 00"),
    "property twice": bytes.fromhex("20 0d 00 00 0a 27 00 00 01 00 27 00 00 01 00"),
    "properties beyond the end": bytes.fromhex("20 03 00 00 7f"),
    "no connack": bytes.fromhex("40 02 00 01"),
}


@pytest.mark.parametrize("said", WRONG.values(), ids=WRONG)
async def test_a_broker_that_speaks_nonsense(said):
    async with broker(said) as (paper, url):
        mqtt = Mqtt(url, patience_s=LATE_S)
        try:
            await mqtt.open()
            await mqtt.publish("a", b"b")
        except MqttDown:
            pass
        else:
            pytest.fail("it believed that")
        finally:
            await mqtt.close()
    assert mqtt.is_lost
    assert paper.packets[0][0] == CONNECT


@pytest.mark.parametrize("size", range(1, len(WELCOME)))
async def test_a_welcome_that_is_cut_short(size):
    async with broker(WELCOME[:size]) as (_, url):
        with pytest.raises(MqttDown) as caught:
            await Mqtt(url, patience_s=LATE_S).open()
    assert caught.value.code == "network"


async def test_an_acknowledgement_is_believed():
    async with broker(WELCOME, acknowledges(0)) as (paper, url), opened(url) as mqtt:
        await asyncio.gather(*(mqtt.publish("a", bytes([i])) for i in range(100)))
    assert [kind for kind, _ in paper.packets] == [CONNECT, *[PUBLISH] * 100, DISCONNECT]


@pytest.mark.parametrize(
    ("reason", "kind", "code"),
    [
        (0x10, MqttDown, "no_hub"),
        (0x80, MqttDown, "protocol"),
        (0x83, MqttDown, "protocol"),
        (0x87, MqttDown, "not_allowed"),
        (0x90, MqttDown, "protocol"),
        (0x97, MqttDown, "busy"),
        (0x99, MqttRefused, "form"),
    ],
)
async def test_no_other_answer_is_an_acknowledgement(reason, kind, code):
    async with broker(WELCOME, acknowledges(reason)) as (_, url), opened(url) as mqtt:
        with pytest.raises(kind) as caught:
            await mqtt.publish("secret-topic", b"secret-payload")
        assert caught.value.code == code
        assert "secret" not in repr(caught.value) + caught.value.hint
        assert not mqtt.is_lost


async def test_an_acknowledgement_of_something_else_is_none():
    def other(kind, body):
        return bytes.fromhex("40 03 12 34 00") if kind == PUBLISH else b""

    async with broker(WELCOME, other) as (_, url), opened(url, patience_s=LATE_S) as mqtt:
        with pytest.raises(MqttDown) as caught:
            await mqtt.publish("a", b"b")
        assert caught.value.code == "network"
        await mqtt.lost()


async def test_a_broker_that_falls_silent_is_left():
    async with broker() as (_, url), opened(url, patience_s=LATE_S) as mqtt:
        with pytest.raises(MqttDown):
            await mqtt.publish("a", b"b")
        with pytest.raises(MqttDown):
            await mqtt.message()
        with pytest.raises(MqttDown):
            await mqtt.subscribe(["a"])


async def test_everybody_who_waits_hears_of_the_end():
    def hangs_up(kind, _):
        return None if kind == SUBSCRIBE else b""

    async with broker(WELCOME, hangs_up) as (_, url), opened(url) as mqtt:
        waiting = [mqtt.publish("a", b"b"), mqtt.publish("a", b"c"), mqtt.message(), mqtt.message(),
                   mqtt.subscribe(["a"])]  # fmt: skip
        ends = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(end) for end in ends] == [MqttDown] * 5


async def test_the_broker_s_last_word_is_passed_on():
    def taken_over(kind, _):
        return bytes.fromhex("e0 02 8e 00") if kind == PUBLISH else b""

    async with broker(WELCOME, taken_over) as (_, url), opened(url) as mqtt:
        with pytest.raises(MqttDown) as caught:
            await mqtt.publish("a", b"b")
    assert "another client has the same name" in caught.value.sentence


async def test_a_message_too_large_for_the_broker_is_not_sent():
    welcome = bytes.fromhex("20 08 00 00 05 27") + (1000).to_bytes(4, "big")
    async with broker(welcome, acknowledges(0)) as (paper, url), opened(url) as mqtt:
        with pytest.raises(MqttRefused) as caught:
            await mqtt.publish("a", bytes(1000))
        await mqtt.publish("a", bytes(900))
    assert caught.value.code == "size"
    assert sum(kind == PUBLISH for kind, _ in paper.packets) == 1


async def test_a_flood_at_qos_0_is_bounded_and_counted():
    one = bytes([0x30, 6, 0, 1]) + b"a" + bytes([0]) + b"xy"

    def floods(kind, body):
        if kind == SUBSCRIBE:
            return one * 500 + bytes([SUBACK, 4]) + body[:2] + bytes([0, 1])
        return b""

    async with broker(WELCOME, floods) as (_, url), opened(url, most_waiting=7) as mqtt:
        await mqtt.subscribe(["a"])
        got = [await mqtt.message() for _ in range(7)]
    assert {message.payload for message in got} == {b"xy"}
    assert mqtt.dropped == 493


async def test_a_broker_that_sends_more_than_it_may_is_held_back():
    def floods(kind, body):
        if kind == SUBSCRIBE:
            sent = [bytes([0x32, 9, 0, 1]) + b"a" + i.to_bytes(2, "big") + b"\0xyz"
                    for i in range(1, 501)]  # fmt: skip
            return bytes([SUBACK, 4]) + body[:2] + bytes([0, 1]) + b"".join(sent)
        return b""

    async with broker(WELCOME, floods) as (paper, url), opened(url, most_waiting=7) as mqtt:
        await mqtt.subscribe(["a"])
        most = 0
        for _ in range(500):
            message = await mqtt.message()
            most = max(most, 1 + mqtt._messages.qsize())
            message.ack()
    acknowledged = [body[:2] for kind, body in paper.packets if kind == PUBACK]
    assert acknowledged == [i.to_bytes(2, "big") for i in range(1, 501)]
    assert most <= 8


async def test_a_connection_that_is_held_back_can_be_closed():
    def floods(kind, body):
        if kind == SUBSCRIBE:
            one = bytes([0x32, 9, 0, 1]) + b"a\0\1\0xyz"
            return bytes([SUBACK, 4]) + body[:2] + bytes([0, 1]) + one * 50
        return b""

    async with broker(WELCOME, floods) as (_, url), opened(url, most_waiting=1) as mqtt:
        await mqtt.subscribe(["a"])
    assert mqtt.is_lost


async def test_a_refused_subscription_is_an_error():
    def refuses(kind, body):
        return bytes([SUBACK, 4]) + body[:2] + bytes([0, 0x87]) if kind == SUBSCRIBE else b""

    async with broker(WELCOME, refuses) as (_, url), opened(url) as mqtt:
        with pytest.raises(MqttDown) as caught:
            await mqtt.subscribe(["a"])
    assert caught.value.code == "not_allowed"


async def test_a_relay_says_down_and_refused():
    for reason, kind in ((0x10, RelayDown), (0x87, RelayDown), (0x99, RelayRefused)):
        async with broker(WELCOME, acknowledges(reason)) as (_, url):
            relay = MqttRelay(f"{url}/fanal/1/north", None, lambda: b"will")
            with pytest.raises(kind):
                await relay.send(b"delivery")
            await relay.close()


async def test_what_was_acknowledged_last_is_sent_again_by_the_next_connection():
    def answer(kind, body):
        return None if b"fatal" in body else acknowledges(0)(kind, body)

    async with broker(WELCOME, answer) as (paper, url):
        relay = MqttRelay(f"{url}/fanal/1/north", None, lambda: b"will")
        await relay.send(b"first")
        await relay.send(b"second")
        with pytest.raises(RelayDown):
            await relay.send(b"fatal")
        await relay.send(b"third")
        await relay.close()
        await relay.send(b"fourth")  # closed in order: nothing is in doubt
        await relay.close()
    sent = [body for kind, body in paper.packets if kind == PUBLISH]
    names = [b"first", b"second", b"fatal", b"first", b"second", b"third", b"fourth"]
    assert [next(name for name in names if body.endswith(name)) for body in sent] == names


async def test_each_connection_has_a_will_of_its_own():
    wills = iter([b"will-one", b"will-two"])
    async with broker(WELCOME, lambda _, __: None) as (paper, url):
        relay = MqttRelay(f"{url}/fanal/1/north", None, lambda: next(wills))
        for _ in range(2):
            with pytest.raises(RelayDown):
                await relay.send(b"delivery")
        await relay.close()
    connects = [body for kind, body in paper.packets if kind == CONNECT]
    assert [b"will-one" in body for body in connects] == [True, False]
    assert [b"will-two" in body for body in connects] == [False, True]
    names = {body.split(b"fanal-", 1)[1][:16] for body in connects}
    assert len(names) == 1  # the same session again
