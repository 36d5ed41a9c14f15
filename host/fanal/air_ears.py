"""Ears for one beacon: a listening in the background, and all that it has brought so far."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import aclosing, suppress
from typing import Self

from fanal_protocol.line import REPLAY

from fanal.air_rows import Frame, Overheard
from fanal.error import EnvironmentFault, FanalError
from fanal.event_keys import EventKeys
from fanal.heard import Heard
from fanal.listen import Event, NotRecorded, listen
from fanal.radio import DEAF, Radio, RadioState
from fanal.resolver import Resolver
from fanal.sighting import Outcome, PageMatched, Refusal, Sighting, SignatureVerified

_MOST_FOREIGN = 10_000  # anyone can send them


class NotingResolver(Resolver):
    """A resolver that keeps what it was given: addresses and strengths are judged in the end."""

    def __init__(
        self,
        watched: list[EventKeys],
        lines: Mapping[tuple[str, int], Sequence[tuple[int, int, int]]],
    ) -> None:
        """As of any resolver."""
        self.noted: list[Heard] = []
        self._foreign = 0
        super().__init__(watched, lines)

    def take(self, heard: Heard) -> list[Outcome]:
        """Resolve as ever."""
        found = super().take(heard)
        self._foreign += isinstance(found[0], Refusal)
        if self._foreign < _MOST_FOREIGN or not isinstance(found[0], Refusal):
            self.noted.append(heard)
        return found

    def frame(self, heard: Heard, events: Collection[int]) -> Frame:
        """Return what a frame is, now that everything is known. events: those that are genuine."""
        found = super().take(heard)[0]
        if isinstance(found, Refusal):
            return Frame(heard, found.reason, False)
        if not isinstance(found, Sighting | PageMatched) or found.event not in events:
            return Frame(heard, REPLAY, False)
        if isinstance(found, PageMatched):
            return Frame(heard, "page", True)
        return Frame(heard, "alert", True, (found.event, found.slot, found.seq))


class Ears:
    """One listening in the background, and what it has brought so far."""

    def __init__(
        self, resolver: NotingResolver, radio: Radio, record: Callable[[Sighting], None]
    ) -> None:
        self.radio = radio
        self.is_hearing = False
        self.genuine: list[Sighting] = []
        self._resolver = resolver
        self._events = listen(resolver, radio, record=record)
        self._kept: list[Event] = []
        self._deaf = ""
        self._others = 0
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        self._task.add_done_callback(lambda _: self._news.set())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        with suppress(asyncio.CancelledError, FanalError):
            await self._task

    async def until(self, is_so: Callable[[], object], seconds: float) -> bool:
        """Wait until it is so, at most so long, and say whether it is. Raises EnvironmentFault."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not is_so():
                    self._news.clear()
                    self._require_hearing()
                    await self._news.wait()
        self._require_hearing()
        return bool(is_so())

    def count_others(self) -> None:
        """Count the advertisements of others from now on."""
        self._others = self.radio.counts["foreign"]

    def overheard(self, asked_ms: int, is_whole: bool) -> Overheard:
        """Return all that was heard."""
        kept, events = self._kept, {seen.event for seen in self.genuine}
        return Overheard(
            asked_ms,
            tuple(event for event in kept if isinstance(event, Sighting)),
            tuple(event for event in kept if isinstance(event, SignatureVerified)),
            tuple(self._resolver.frame(heard, events) for heard in self._resolver.noted),
            tuple(event.error.sentence for event in kept if isinstance(event, NotRecorded)),
            self.radio.counts["foreign"] - self._others,
            is_whole,
        )

    async def _run(self) -> None:
        async with aclosing(self._events) as events:
            async for event in events:
                if isinstance(event, RadioState):
                    self.is_hearing = True
                    self._deaf = self._deaf or (event.reason if event.kind == DEAF else "")
                elif not isinstance(event, PageMatched | Refusal):
                    self._kept.append(event)
                    if isinstance(event, Sighting) and event.verdict != REPLAY:
                        self.genuine.append(event)
                self._news.set()

    def _require_hearing(self) -> None:
        assert self._task is not None
        if self._task.done():
            self._task.result()
        if self._deaf:
            raise EnvironmentFault(
                f"The radio went deaf meanwhile: {self._deaf}",
                "Nothing is known of the beacon. See that Bluetooth is on, and run it again.",
                code="deaf",
            )
