"""What listeners publish, from the broker into the intake.

The workers of a hub share one subscription. The broker keeps a delivery until it is acknowledged,
and it is acknowledged when it is committed: a worker that dies gets it again, and the inbox knows
again what it has. The broker remembers a worker while it is away, and what it owes it.

The names of that subscription and of the workers at the broker are secrets. Whoever knew one could
connect under it and take deliveries away, unread: an access list says who may read a topic, and
not who may subscribe (Mosquitto's) or under which name anybody may connect.
"""

import asyncio
import hashlib
import hmac
import re
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Protocol

from fanal.error import EnvironmentFault, FanalError
from fanal.gateway.relay import Backoff
from fanal.hub.broker import connection
from fanal.hub.caps import Crowded
from fanal.hub.channel_config import Broker
from fanal.hub.intake import IntakeFull
from fanal.mqtt import MOST_WAITING, NEVER_EXPIRES, Message, Mqtt
from fanal.mqtt_error import MqttDown

SOURCE = "mqtt"

_DELIVERY = re.compile(r"fanal/1/[^/]+/up")
_FULL_S = 0.2
_LONGEST_WAIT_S = 30.0  # a hub that is deaf for longer than that is late for an alert

Foreign = Callable[[str, bytes, int], "Future[Any] | None"]


class Door(Protocol):
    """What takes deliveries: an Intake."""

    def submit(self, data: bytes, source: str, held_ms: int = 0) -> "Future[Any]":
        """See Intake."""


class Subscriber:
    """A thread that holds one connection to the broker, and makes it again when it is lost.

    secret: the same for all workers of a hub. worker: this worker's name, the same whenever it
    starts, another for each worker; what the broker owes it waits under this name. foreign: takes
    topic, payload and received_ms of what comes on `broker.foreign`; returns a future, or None for
    what it does not want; may raise IntakeFull. on_state: called from the thread with None when it
    is subscribed, else with the sentence that says why it is not.

    taken, refused: how many messages were acknowledged since they were written, and by code
    although they were not: what is damaged, or too much from a stranger, must not come again. What
    is too much from one of the fleet's own waits at the broker until it is not.
    """

    def __init__(
        self,
        broker: Broker,
        intake: Door,
        *,
        secret: bytes,
        worker: str,
        now_ms: Callable[[], int],
        foreign: Foreign | None = None,
        on_state: Callable[[str | None], None] = lambda _: None,
        most_waiting: int = MOST_WAITING,
        backoff: Backoff | None = None,
    ) -> None:
        self._broker, self._intake, self._foreign = broker, intake, foreign
        self._client_id = client_id(secret, worker)
        self._filters = (shared(secret), *broker.foreign)
        self._now_ms, self._on_state = now_ms, on_state
        self._most_waiting = most_waiting
        self._backoff = backoff or Backoff(most_s=_LONGEST_WAIT_S)
        self.taken = 0
        self.refused: Counter[str] = Counter()
        self._submitted: asyncio.Queue[tuple[Message, Future[Any] | None]]
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin. Problems are told to `on_state`, and tried again."""
        self._loop = asyncio.new_event_loop()
        self._task = self._loop.create_task(self._run())
        self._thread = threading.Thread(target=self._serve, name="subscriber", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End, and return when it has. What was not acknowledged comes again next time."""
        if self._thread is not None:
            self._loop.call_soon_threadsafe(self._task.cancel)
            self._thread.join()
            self._thread = None

    def _serve(self) -> None:
        # `close` alone ends the task, so the loop is open when it calls
        with (
            suppress(asyncio.CancelledError),
            asyncio.Runner(loop_factory=lambda: self._loop) as runner,
        ):
            runner.get_loop().run_until_complete(self._task)

    async def _run(self) -> None:
        while True:
            try:
                await self._connected()
            except MqttDown as problem:
                if self._is_subscribed:
                    self._backoff.reset()
                self._on_state(problem.sentence)
            except FanalError as problem:
                # the database: to subscribe again is no sign that it is back
                self._on_state(problem.sentence)
            except Exception as problem:  # noqa: BLE001
                # deaf for a while is bad; deaf for good, and without a word, is worse
                self._on_state(f"The subscription failed ({type(problem).__name__}).")
            await asyncio.sleep(self._backoff.wait_s())

    async def _connected(self) -> None:
        """Serve one connection until it is lost. Raises what ended it."""
        self._is_subscribed = False
        mqtt = connection(
            self._broker, client_id=self._client_id, session_s=NEVER_EXPIRES,
            most_waiting=self._most_waiting,
        )  # fmt: skip
        self._submitted = asyncio.Queue(self._most_waiting)
        self._held = asyncio.Semaphore(max(1, self._most_waiting // 2))
        try:
            await mqtt.open()
            await mqtt.subscribe(self._filters)
            self._is_subscribed = True
            self._on_state(None)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._take(mqtt))
                tasks.create_task(self._acknowledge(tasks))
        except ExceptionGroup as problems:
            raise problems.exceptions[0] from None
        finally:
            await mqtt.close()

    async def _take(self, mqtt: Mqtt) -> None:
        """Put into the intake what comes; while it is full take nothing, and the broker waits."""
        while True:
            message = await mqtt.message()
            await self._submitted.put((message, await self._submit(message)))

    async def _submit(self, message: Message) -> "Future[Any] | None":
        while True:
            try:
                if _DELIVERY.fullmatch(message.topic):
                    return self._intake.submit(message.payload, SOURCE, message.held_ms)
                if self._foreign is not None:
                    return self._foreign(message.topic, message.payload, self._now_ms())
                return None
            except IntakeFull:
                await asyncio.sleep(_FULL_S)

    async def _acknowledge(self, tasks: asyncio.TaskGroup) -> None:
        """Acknowledge, in the order of arrival, what is written or will never be."""
        while True:
            message, future = await self._submitted.get()
            later_s = await self._settled(message, future)
            if later_s is not None:
                # others pass by it, until half of what may wait is of this kind
                await self._held.acquire()
                tasks.create_task(self._again(message, later_s))

    async def _again(self, message: Message, later_s: float | None) -> None:
        while later_s is not None:
            await asyncio.sleep(later_s)
            later_s = await self._settled(message, await self._submit(message))
        self._held.release()

    async def _settled(self, message: Message, future: "Future[Any] | None") -> float | None:
        """Acknowledge a message once it may be, and return None; or when to try it again, in s."""
        try:
            if future is not None:
                await asyncio.wrap_future(future)
                self.taken += 1
                self._backoff.reset()
        except EnvironmentFault:
            raise  # the database: it has to come again
        except Crowded as crowded:
            if crowded.is_enrolled:
                return crowded.retry_after_s
            self.refused[crowded.code] += 1
        except FanalError as refused:
            self.refused[refused.code] += 1
        except Exception:  # noqa: BLE001
            # what the hub stumbles over must not block what comes behind it
            self.refused["failed"] += 1
        message.ack()
        return None


def shared(secret: bytes) -> str:
    """Return the topic filter that the workers of a hub share."""
    return f"$share/{_name(secret, 'group')}/fanal/1/+/up"


def client_id(secret: bytes, worker: str) -> str:
    """Return what a worker is called at the broker, as any listener might be."""
    return f"fanal-{_name(secret, f'worker {worker}')}"


def _name(secret: bytes, what: str) -> str:
    return hmac.new(secret, f"fanal/1 mqtt {what}".encode(), hashlib.sha256).hexdigest()[:16]
