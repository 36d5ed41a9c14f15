"""The world's time: real, or virtual and standing still while anything computes.

Virtual time is a warped asyncio loop. It moves in one way only: when nothing is ready to run,
no board computes, and somebody asked for time to pass (`Clock.allow`), the loop jumps to its
next timer. While a client outside this process holds the clock (`Clock.at_pace`), time runs
at its ordinary pace instead, since a client like mpremote counts real seconds.
"""

from __future__ import annotations

import asyncio
import math
import selectors
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")

_LOOK_S = 0.005  # how often to ask, in real time, whether what is waited for is so
_POLL_S = 0.0005  # how often to ask whether a board at its prompt has gone quiet


class _WarpSelector(selectors.DefaultSelector):
    """A selector that turns waiting into a jump of the clock."""

    clock: Clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what is ready; with nothing ready, wait or move the clock by `timeout`."""
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if self.clock.pace:
            return self._at_pace(timeout)
        if self.clock.busy():
            return super().select(_POLL_S)
        if ready := super().select(0):  # what a board said before it went quiet
            return ready
        if self.clock.look():
            return []
        step = self.clock.step(timeout)
        if step <= 0:
            return super().select(None)
        self.clock.now += step
        return []

    def _at_pace(self, timeout: float | None) -> list[tuple[selectors.SelectorKey, int]]:
        began = time.monotonic()
        if self.clock.look():
            return []
        ready = super().select(self.clock.patience(timeout))
        self.clock.now += time.monotonic() - began
        return ready


class WarpedLoop(asyncio.SelectorEventLoop):
    """An event loop whose `time()` is the virtual clock's."""

    def __init__(self) -> None:
        selector = _WarpSelector()
        self.clock = selector.clock = Clock()
        super().__init__(selector)
        self.clock.has_work = lambda: bool(self._ready)  # type: ignore[attr-defined]
        self.clock.next_timer = self._next_timer

    def _next_timer(self) -> float:
        timers: list[asyncio.TimerHandle] = self._scheduled  # type: ignore[attr-defined]
        return timers[0].when() if timers else math.inf

    def time(self) -> float:
        """Return virtual seconds."""
        return self.clock.now


class Clock:
    """Virtual time: who holds it still, and how far it may go."""

    virtual = True

    def __init__(self) -> None:
        self.now = 0.0
        self.pace = 0
        self.has_work: Callable[[], bool] = lambda: False
        self.next_timer: Callable[[], float] = lambda: math.inf
        self._lookers: list[Callable[[], bool]] = []
        self._until: list[float] = []
        self._watchers: list[Callable[[], bool]] = []

    def watch(self, busy: Callable[[], bool]) -> None:
        """Time stands still whenever `busy()` is true."""
        self._watchers.append(busy)

    def unwatch(self, busy: Callable[[], bool]) -> None:
        """Undo `watch`."""
        self._watchers.remove(busy)

    def busy(self) -> bool:
        """Is anything computing?"""
        return any(watcher() for watcher in self._watchers)

    def look(self) -> bool:
        """Ask all who wait whether what they wait for is so; was it for any?"""
        # each is asked, also when one before it said yes
        return sum(looker() for looker in tuple(self._lookers)) > 0

    def patience(self, timeout: float | None) -> float | None:
        """Return how long to wait at the wall's pace before looking again."""
        return min(timeout or _LOOK_S, _LOOK_S) if self._lookers else timeout

    @asynccontextmanager
    async def until(self, is_so: Callable[[], Any]) -> AsyncIterator[asyncio.Future[None]]:
        """Give a future that is done as soon as `is_so()`, asked before time moves."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        looker = partial(_look, future, is_so)
        self._lookers.append(looker)
        try:
            yield future
        finally:
            self._lookers.remove(looker)

    def advance(self, to_s: float) -> None:
        """A board that was left alone (`quiet_s`) has lived until `to_s`."""
        self.now = max(self.now, to_s)

    def quiet_s(self, asker: Callable[[], bool]) -> float:
        """Return for how long nothing can happen but what the computing `asker` does itself."""
        if self.pace or self.has_work() or any(w() for w in self._watchers if w != asker):
            return 0.0
        return max(min(self.next_timer(), max(self._until, default=self.now)) - self.now, 0.0)

    def step(self, timeout: float | None) -> float:
        """Return how many seconds the clock may jump now; at most `timeout`, 0 for none."""
        room = max(self._until, default=self.now) - self.now
        return room if timeout is None else min(room, timeout)

    @contextmanager
    def allow(self, seconds: float) -> Iterator[None]:
        """Let time pass, by jumps, up to `seconds` from now."""
        until = self.now + seconds
        self._until.append(until)
        try:
            yield
        finally:
            self._until.remove(until)

    @contextmanager
    def at_pace(self) -> Iterator[None]:
        """Let time pass as on the wall: a client outside this process is at work."""
        self.pace += 1
        try:
            yield
        finally:
            self.pace -= 1


def _look(future: asyncio.Future[None], is_so: Callable[[], Any]) -> bool:
    if future.done():
        return False
    try:
        if not is_so():
            return False
        future.set_result(None)
    except Exception as error:  # noqa: BLE001 - it belongs to whoever waits, not to the loop
        future.set_exception(error)
    return True


class WallClock:
    """Real time, with the same face as `Clock`."""

    virtual = False

    def watch(self, busy: Callable[[], bool]) -> None:
        """Real time waits for nobody."""

    def unwatch(self, busy: Callable[[], bool]) -> None:
        """Real time waits for nobody."""

    @asynccontextmanager
    async def until(self, is_so: Callable[[], Any]) -> AsyncIterator[asyncio.Future[None]]:
        """Give a future that is done soon after `is_so()`."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        watch = asyncio.create_task(_watch(future, is_so))
        try:
            yield future
        finally:
            watch.cancel()

    def advance(self, to_s: float) -> None:
        """Real time is nobody's to move."""

    def quiet_s(self, asker: Callable[[], bool]) -> float:
        """In real time anything may happen at once."""
        return 0.0

    @contextmanager
    def allow(self, seconds: float) -> Iterator[None]:
        """Real time needs no leave."""
        yield

    @contextmanager
    def at_pace(self) -> Iterator[None]:
        """Real time always runs at its pace."""
        yield


async def _watch(future: asyncio.Future[None], is_so: Callable[[], Any]) -> None:
    while not _look(future, is_so):
        await asyncio.sleep(_LOOK_S)


def of_running_loop() -> Clock | WallClock:
    """Return the clock of the loop that runs this."""
    loop = asyncio.get_running_loop()
    return loop.clock if isinstance(loop, WarpedLoop) else WallClock()


def run_virtual(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` to its end under virtual time and return what it returns."""
    with asyncio.Runner(loop_factory=WarpedLoop) as runner:
        return runner.run(main)
