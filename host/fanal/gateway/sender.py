"""Sends what waits, again and again until the hub has it; and a sign of life every minute.

Removed only after the acknowledgement, so a delivery may come twice and never not at all. What the
hub refuses is sent once more group by group, each in the company of a sign of life that must pass:
a hub or a broker that refuses everything is one that is down, and nothing is thrown away for it.
"""

import asyncio
import random
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress

from fanal.envelope import MOST_GROUPS
from fanal.error import FanalError
from fanal.gateway.cargo import Cargo
from fanal.gateway.outbox import Item
from fanal.gateway.relay import Backoff, Relay, RelayDown, RelayRefused

# 192 KiB at the most with its postmark, which names each group
MOST_SEALED_BYTES = 160 * 1024
HEARTBEAT_S = 60.0

CONNECTED, DOWN, UNTRIED = "connected", "down", "untried"

_LEAST_SEALED_BYTES = 8 * 1024
_QUICK_S = 1.0
_BUSY_S = 5.0  # how long a hub may ask to be left alone after one delivery
_PATIENCE_S = 30.0
_SLOWEST_BYTES_PER_S = 2500  # of a network that is worth waiting for
_SOON_S = (5.0, 15.0)  # of the last try, if something new was heard while the relay is down


class Sender:
    """The only one who speaks to the relay.

    seal: makes a delivery of sealed groups, or a heartbeat of none. state: CONNECTED, DOWN or
    UNTRIED, with its reason. counts: `sent` groups, `deliveries`, `refused` groups.
    """

    def __init__(self, cargo: Cargo, relay: Relay, seal: Callable[[list[bytes]], bytes]) -> None:
        self.counts: Counter[str] = Counter()
        self.state = UNTRIED
        self.reason: RelayDown | RelayRefused | None = None
        self._cargo = cargo
        self._relay = relay
        self._seal = seal
        self._backoff = Backoff()
        self._wake = asyncio.Event()
        self._now_s = asyncio.get_running_loop().time
        self._beat_s = self._now_s()  # when to give a sign of life
        self._not_before_s = self._soon_s = self._now_s()
        self._sealed_bytes = _LEAST_SEALED_BYTES * 2
        self._suspects: deque[int] = deque()

    def new(self) -> None:
        """Something new waits: send it now; if the relay is down, try again soon."""
        self._not_before_s = min(self._not_before_s, self._soon_s)
        self._wake.set()

    def beat(self) -> None:
        """Give a sign of life now: the hub should know how the listener is."""
        self._beat_s = self._now_s()
        self._wake.set()

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            while (wait_s := self._due_s() - self._now_s()) > 0:
                self._wake.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(wait_s):
                        await self._wake.wait()
            await self.step()

    async def finish(self) -> None:
        """Send what waits, until that is done or does not work."""
        while len(self._cargo) and self.state != DOWN:
            await self.step()

    async def step(self) -> None:
        """Send one delivery, and do what has to be done about the answer."""
        items = self._next()
        began_s = self._now_s()
        self._soon_s = began_s + random.uniform(*_SOON_S)
        try:
            await self._hand_over(items)
        except RelayRefused as refusal:
            await self._refused(items, refusal)
        except RelayDown as problem:
            self._down(problem)
        else:
            self._taken(items, self._now_s() - began_s)

    def _due_s(self) -> float:
        due_s = self._now_s() if len(self._cargo) else self._beat_s
        return max(due_s, self._not_before_s)

    def _next(self) -> list[Item]:
        while self._suspects:
            if found := self._cargo.get([self._suspects[0]]):
                return found
            self._suspects.popleft()
        return self._cargo.next(self._sealed_bytes, MOST_GROUPS)

    async def _hand_over(self, items: list[Item]) -> None:
        """Send one delivery. Raises RelayRefused, and RelayDown for whatever else goes wrong."""
        delivery = self._seal([sealed for _, sealed in items])
        try:
            # a network that swallows everything must not hold up an alert for minutes
            async with asyncio.timeout(_PATIENCE_S + len(delivery) / _SLOWEST_BYTES_PER_S):
                await self._relay.send(delivery)
        except FanalError:
            raise
        except TimeoutError:
            raise RelayDown("The relay does not answer in time.", code="network") from None
        except Exception as error:  # any library, any error: never give up
            raise RelayDown(
                f"Sending failed in a way nobody foresaw ({type(error).__name__}).", code="protocol"
            ) from error

    def _taken(self, items: list[Item], took_s: float) -> None:
        self._cargo.remove([number for number, _ in items])
        self._alive()
        self.counts["sent"] += len(items)
        # over a slow network a long backlog must not hold up what is new
        change = 2 if took_s < _QUICK_S else 0.5
        self._sealed_bytes = min(
            MOST_SEALED_BYTES, max(_LEAST_SEALED_BYTES, int(self._sealed_bytes * change))
        )

    def _alive(self) -> None:
        self.state, self.reason = CONNECTED, None
        self.counts["deliveries"] += 1
        self._backoff.reset()
        self._not_before_s = self._now_s()
        self._beat_s = self._now_s() + HEARTBEAT_S

    async def _refused(self, items: list[Item], refusal: RelayRefused) -> None:
        """Find out whether it is the groups that are refused, and which of them."""
        if not items:
            self._down(refusal)
            return
        try:
            await self._hand_over([])
        except (RelayRefused, RelayDown) as problem:
            self._down(problem)
            return
        self._alive()
        numbers = [number for number, _ in items]
        if len(items) > 1:
            self._suspects.extend(numbers)
            return
        self.counts["refused"] += 1
        self._cargo.refuse(numbers)

    def _down(self, problem: RelayDown | RelayRefused) -> None:
        self.state, self.reason = DOWN, problem
        asked_s = problem.retry_after_s if isinstance(problem, RelayDown) else None
        now_s = self._now_s()
        self._not_before_s = now_s + self._backoff.wait_s(asked_s)
        if asked_s is not None:
            self._soon_s = self._not_before_s
            # it asks for longer the more it was given, and what is new waits for as long
            change = min(1.0, _BUSY_S / max(asked_s, 1.0)) / 2
            self._sealed_bytes = max(_LEAST_SEALED_BYTES, int(self._sealed_bytes * change))
