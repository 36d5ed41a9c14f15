"""One connection to an MQTT 5 broker. The only module that imports paho.

paho's thread reads and writes; what it learns is handed to the event loop, where everything else
happens. A connection is used once: when it is lost, every call raises MqttDown, and whoever wants
another makes another, so that nothing of the old one is sent behind the caller's back.
"""

import asyncio
import ssl
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from socket import SHUT_RDWR, socket
from typing import Any
from urllib.parse import urlsplit

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from fanal import mqtt_error, tls
from fanal.error import UsageError
from fanal.mqtt_error import MqttDown, MqttRefused

NEVER_EXPIRES = 0xFFFFFFFF  # a session that stays at the broker until somebody ends it
MOST_WAITING = 64  # messages received and not acknowledged
MOST_PACKET_BYTES = 320 * 1024  # a delivery, its topic and its properties
PATIENCE_S = 120.0  # for 256 KiB over a poor mobile network, answer included

_CONNECT_S = 20.0
_GOODBYE_S = 2.0
_LOOK_UP_S = 0.2
_KEEPALIVE_S = 60
_MOST_SENDING = 16  # published and not acknowledged
# A broker tells how much of a message's life is left, and so how long it held it (MQTT 5,
# 3.3.2.3.3). Ten years, so that it never throws one away for its age.
_LIFE_S = 10 * 365 * 86_400
_OVERHEAD_BYTES = 64  # of a message in its packet, beside topic and payload
_PORTS = {"mqtt": 1883, "mqtts": 8883}


@dataclass(frozen=True)
class Login:
    """Who we are to a broker."""

    user: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class Will:
    """What the broker publishes, at QoS 1, `delay_s` after we are gone without a word."""

    topic: str
    payload: bytes = field(repr=False)
    delay_s: int = 0


@dataclass(frozen=True)
class Message:
    """One message as received. The broker keeps it until `ack` (QoS 1).

    held_ms: how long the broker held it, to the second, and the publisher before; 0 if it was not
    published by `Mqtt`. ack: to be called in the event loop; without effect once the connection is
    lost.
    """

    topic: str
    payload: bytes = field(repr=False)
    qos: int
    held_ms: int
    ack: Callable[[], None] = field(repr=False)


class _Client(paho.Client):
    """paho's client, which says when its thread ends, for whatever reason."""

    on_end: Callable[[], None]

    def loop_forever(
        self, timeout: float = 1.0, retry_first_connection: bool = False
    ) -> MQTTErrorCode:
        # a broker that speaks nonsense ends the connection, whatever paho trips over
        with suppress(Exception):
            super().loop_forever(timeout, retry_first_connection)
        raw = self.socket()
        if raw is not None:
            raw.close()
        self.on_end()
        return MQTTErrorCode.MQTT_ERR_CONN_LOST


class _ClosedSocket(ssl.SSLSocket):
    """A socket that does not stay open when the handshake fails, as paho would leave it."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except BaseException:
            self.close()
            raise


class Mqtt:
    """A connection to a broker. All methods belong to one event loop.

    url: "mqtts://host:8883" or "mqtt://host:1883"; a path is ignored. ca_pem: whom to trust, None
    for the system's authorities. client_id: "" for one of the broker's choice. session_s: how long
    the broker keeps our subscriptions, and what they collect, while we are away; with 0 nothing of
    a former connection counts. most_waiting: messages received and not yet taken by `message`; the
    broker is asked to leave no more than that unacknowledged. patience_s: for an answer that the
    broker owes.
    """

    def __init__(
        self,
        url: str,
        *,
        ca_pem: str | None = None,
        login: Login | None = None,
        client_id: str = "",
        will: Will | None = None,
        session_s: int = 0,
        most_waiting: int = MOST_WAITING,
        patience_s: float = PATIENCE_S,
    ) -> None:
        """Raises UsageError for a URL or certificates that cannot be used."""
        is_tls, self._host, self._port = _address(url)
        client = _Client(
            CallbackAPIVersion.VERSION2, client_id, protocol=paho.MQTTv5,
            reconnect_on_failure=False, manual_ack=True,
        )  # fmt: skip
        client.connect_timeout = min(_CONNECT_S, patience_s)
        client.max_inflight_messages_set(_MOST_SENDING)
        if is_tls:
            context = tls.client_context(ca_pem)
            context.sslsocket_class = _ClosedSocket
            client.tls_set_context(context)
        if login is not None:
            client.username_pw_set(login.user, login.password)
        if will is not None:
            late = _properties(
                PacketTypes.WILLMESSAGE, WillDelayInterval=will.delay_s,
                MessageExpiryInterval=_LIFE_S,
            )  # fmt: skip
            client.will_set(will.topic, will.payload, 1, properties=late)
        self._listen_to(client)
        self._client: _Client | None = client
        self._session_s, self._most_waiting = session_s, most_waiting
        self._patience_s = patience_s
        self._most_packet_bytes = 0xFFFFFFFF  # that the broker takes
        self._answers: dict[int, asyncio.Future[list[int]]] = {}
        self._messages: asyncio.Queue[Message | None] = asyncio.Queue()
        self._room = threading.BoundedSemaphore(most_waiting)  # in _messages
        self._is_closing = threading.Event()
        self._is_begun = False
        self._ended = asyncio.Event()
        self._problem = mqtt_error.cut(self._host)
        self.dropped = 0  # messages at QoS 0 that came faster than they were taken

    @property
    def is_lost(self) -> bool:
        """Whether the connection is no more."""
        return self._ended.is_set()

    async def open(self) -> None:
        """Connect. Raises MqttDown."""
        self._loop = asyncio.get_running_loop()
        is_abandoned = threading.Event()
        try:
            await asyncio.to_thread(self._connect, self._alive(), is_abandoned)
        except (OSError, ValueError) as error:
            self._problem = mqtt_error.unreachable(self._host, error)
            self._end()
            raise self._down() from None
        except BaseException:
            is_abandoned.set()
            self._end()
            raise
        self._is_begun = True
        self._alive().loop_start()
        try:
            (reason,) = await self._answer(0)
            if reason:
                raise mqtt_error.ended(self._host, reason)
        except BaseException:
            await self.close()
            raise

    async def publish(self, topic: str, payload: bytes, *, held_s: float = 0.0) -> None:
        """Publish at QoS 1; return when the broker has it. Raises MqttDown, MqttRefused.

        held_s: how long it was held here, for `Message.held_ms`.
        MqttDown "no_hub": it was thrown away, since no subscription wants it (a broker need not
        say so; Mosquitto does).
        """
        self._alive()
        if len(payload) + len(topic.encode()) + _OVERHEAD_BYTES > self._most_packet_bytes:
            raise MqttRefused(f"{self._host} takes no message of that size.", code="size")
        life_s = max(1, _LIFE_S - round(held_s))
        told = _properties(PacketTypes.PUBLISH, MessageExpiryInterval=life_s)
        sent = self._alive().publish(topic, payload, 1, properties=told)
        # paho's thread passes answers on through the loop: none comes before we wait for it
        (reason,) = await self._answer(sent.mid)
        mqtt_error.require(self._host, reason)

    async def subscribe(self, filters: Sequence[str]) -> None:
        """Subscribe at QoS 1 at most, without what is retained. Raises MqttDown, UsageError."""
        options = SubscribeOptions(1, retainHandling=SubscribeOptions.RETAIN_DO_NOT_SEND)
        try:
            _, mid = self._alive().subscribe([(one, options) for one in filters])
        except ValueError:
            raise UsageError("A topic filter for MQTT has the wrong form.") from None
        # without a packet there is no connection, and the answer is its end
        for reason in await self._answer(mid or -1):
            mqtt_error.require(self._host, reason)

    async def message(self) -> Message:
        """Wait for the next message, in the order of arrival. Raises MqttDown."""
        message = await self._messages.get()
        if message is None:
            self._messages.put_nowait(None)  # for whoever asks again
            raise self._down()
        self._room.release()
        return message

    async def lost(self) -> None:
        """Wait until the connection is no more."""
        await self._ended.wait()

    async def close(self) -> None:
        """Disconnect in order, so that there is no last will. Raises nothing."""
        if self._client is None or not self._is_begun:
            return
        self._is_closing.set()
        self._client.disconnect()
        try:
            async with asyncio.timeout(_GOODBYE_S):
                await self._ended.wait()
        except TimeoutError:
            self._cut()
            await self._ended.wait()

    # No frame that an error may come from keeps paho's client in a variable: its sockets close when
    # nobody refers to it any more, and an error's traceback would.

    def _alive(self) -> "_Client":
        if self._client is None:
            raise self._down()
        return self._client

    def _down(self) -> MqttDown:
        problem = self._problem
        return MqttDown(problem.sentence, problem.hint, code=problem.code)

    def _connect(self, client: "_Client", is_abandoned: threading.Event) -> None:
        """Connect and greet, in a thread of its own: paho waits for the network."""
        settings = _properties(
            PacketTypes.CONNECT, SessionExpiryInterval=self._session_s,
            ReceiveMaximum=self._most_waiting, MaximumPacketSize=MOST_PACKET_BYTES,
        )  # fmt: skip
        client.connect(self._host, self._port, _KEEPALIVE_S,
                       clean_start=self._session_s == 0, properties=settings)  # fmt: skip
        if is_abandoned.is_set():
            client.disconnect()

    async def _answer(self, packet: int) -> list[int]:
        """Return the reason codes of the broker's answer. packet: its id, 0 for CONNECT."""
        self._alive()
        answer: asyncio.Future[list[int]] = asyncio.get_running_loop().create_future()
        self._answers[packet] = answer
        try:
            async with asyncio.timeout(self._patience_s):
                return await answer
        except TimeoutError:
            self._problem = mqtt_error.silent(self._host)
            self._cut()
            await self._ended.wait()
            raise self._down() from None
        finally:
            del self._answers[packet]

    def _cut(self) -> None:
        """End a connection that does not listen, whatever is still to be written."""
        self._is_closing.set()
        raw = None if self._client is None else self._client.socket()
        if raw is not None:
            with suppress(OSError):
                # not SSLSocket's own, which takes the key away while paho's thread reads
                socket.shutdown(raw, SHUT_RDWR)  # type: ignore[arg-type]

    def _end(self) -> None:
        """Tell everybody who waits that the connection is no more."""
        self._client = None
        self._ended.set()
        self._messages.put_nowait(None)
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(self._down())

    def _acknowledge(self, packet: int, qos: int) -> None:
        if self._client is not None:
            self._client.ack(packet, qos)

    def _connected(self, reason: int, most_packet_bytes: int) -> None:
        self._most_packet_bytes = most_packet_bytes
        self._answered(0, [reason])

    def _answered(self, packet: int, reasons: list[int]) -> None:
        answer = self._answers.get(packet)
        if answer is not None and not answer.done():
            answer.set_result(reasons)

    def _told(self, reason: int) -> None:
        self._problem = mqtt_error.ended(self._host, reason)

    # What follows runs in paho's thread, and only passes on.

    def _listen_to(self, client: "_Client") -> None:
        client.on_end = lambda: self._in_loop(self._end)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_answer
        client.on_subscribe = self._on_answer
        client.on_message = self._on_message

    def _in_loop(self, call: Callable[..., None], *arguments: Any) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(call, *arguments)

    def _on_connect(
        self, _: paho.Client, __: Any, ___: Any, reason: ReasonCode, told: Properties | None
    ) -> None:
        most_bytes = getattr(told, "MaximumPacketSize", self._most_packet_bytes)
        self._in_loop(self._connected, reason.value, most_bytes)

    def _on_disconnect(
        self, _: paho.Client, __: Any, flags: Any, reason: ReasonCode, ___: Any
    ) -> None:
        if flags.is_disconnect_packet_from_server:
            self._in_loop(self._told, reason.value)

    def _on_answer(self, _: paho.Client, __: Any, packet: int, reason: Any, ___: Any) -> None:
        reasons = reason if isinstance(reason, list) else [reason]
        self._in_loop(self._answered, packet, [one.value for one in reasons])

    def _on_message(self, _: paho.Client, __: Any, raw: paho.MQTTMessage) -> None:
        if raw.qos == 0 and not self._room.acquire(blocking=False):
            self.dropped += 1
            return
        # A broker may send more than we said it may: Mosquitto 2.0.11 does, all that it kept for
        # us while we were away. Then nothing is read until there is room, and TCP holds it back.
        while raw.qos and not self._room.acquire(timeout=_LOOK_UP_S):
            if self._is_closing.is_set():
                return
        with suppress(UnicodeDecodeError):  # a topic that no broker lets through
            ack = partial(self._acknowledge, raw.mid, raw.qos)
            life_s = getattr(raw.properties, "MessageExpiryInterval", _LIFE_S)
            held_ms = max(0, _LIFE_S - life_s) * 1000
            message = Message(raw.topic, bytes(raw.payload), raw.qos, held_ms, ack)
            self._in_loop(self._messages.put_nowait, message)


def _properties(kind: int, **values: int) -> Properties:
    made = Properties(kind)  # type: ignore[no-untyped-call]
    for name, value in values.items():
        setattr(made, name, value)
    return made


def _address(url: str) -> tuple[bool, str, int]:
    """Return whether it is TLS, host and port of a broker's URL. Raises UsageError."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or parts.scheme not in _PORTS or parts.username is not None or port == 0:
        # not quoted: it may hold a password
        raise UsageError(
            "A broker's address is mqtts://HOST:PORT or mqtt://HOST:PORT, and holds no password."
        )
    return parts.scheme == "mqtts", host, port or _PORTS[parts.scheme]
