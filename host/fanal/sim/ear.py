"""A listener inside a world: real bleak on its air, in its time, and all that it has heard."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

from fanal.heard import ArrivalClock
from fanal.listen import listen
from fanal.radio import Radio
from fanal.resolver import Resolver
from fanal.sighting import Sighting
from fanal.sim import clock
from fanal.sim.air_scanner import scanner_backend
from fanal.sim.world import World


class Ear:
    """A listener and what it has heard, each with the world's time in seconds."""

    def __init__(self, world: World, resolver: Resolver, record: Callable[[Sighting], None]):
        """Prepare to listen to `world`. record: keeps a sighting."""
        now = asyncio.get_running_loop().time
        self.radio = Radio(
            backend=scanner_backend(world.air_address), now_ms=ArrivalClock(steady_s=now).now_ms
        )
        self.heard: list[tuple[float, Any]] = []
        self._now = now
        self._new = asyncio.Event()
        self._events = listen(resolver, self.radio, record=record)

    async def run(self) -> None:
        """Listen until cancelled."""
        async with aclosing(self._events) as events:
            async for event in events:
                self.heard.append((self._now(), event))
                self._new.set()

    def since(self, time_s: float, kind: type) -> list[Any]:
        """Return the events of a kind that were heard from a moment on."""
        return [event for at, event in self.heard if at >= time_s and isinstance(event, kind)]

    async def wait_for(
        self, since_s: float, is_it: Callable[[Any], bool], timeout_s: float
    ) -> tuple[float, Any] | None:
        """Return the first event from `since_s` on that is it, with its time; None if none came."""
        with clock.of_running_loop().allow(timeout_s):
            deadline_s = self._now() + timeout_s
            while True:
                for at, event in self.heard:
                    if at >= since_s and is_it(event):
                        return at, event
                self._new.clear()
                try:
                    async with asyncio.timeout_at(deadline_s):
                        await self._new.wait()
                except TimeoutError:
                    return None
