"""A listener inside a world: real bleak on its air, in its time, and all that it has heard."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing, suppress
from typing import Any

from fanal.heard import ArrivalClock
from fanal.listen import listen
from fanal.radio import Radio
from fanal.resolver import Resolver
from fanal.sighting import Sighting
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
        self._world, self._now = world, now
        self._events = listen(resolver, self.radio, record=record)

    async def run(self) -> None:
        """Listen until cancelled."""
        async with aclosing(self._events) as events:
            async for event in events:
                self.heard.append((self._now(), event))

    def since(self, time_s: float, kind: type) -> list[Any]:
        """Return the events of a kind that were heard from a moment on."""
        return [event for at, event in self.heard if at >= time_s and isinstance(event, kind)]

    async def wait_for(
        self, since_s: float, is_it: Callable[[Any], bool], timeout_s: float
    ) -> tuple[float, Any] | None:
        """Return the first event from `since_s` on that is it, with its time; None if none came."""
        with suppress(TimeoutError):
            await self._world.wait_until(lambda: self._first(since_s, is_it), timeout_s)
        return self._first(since_s, is_it)

    def _first(self, since_s: float, is_it: Callable[[Any], bool]) -> tuple[float, Any] | None:
        for at, event in self.heard:
            if at >= since_s and is_it(event):
                return at, event
        return None
