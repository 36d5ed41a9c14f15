"""Listen: hear, resolve, record, and hand on everything as typed events. Prints nothing."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

from fanal_protocol import keys
from fanal_protocol.line import DUPLICATE, REPLAY

from fanal.error import FanalError
from fanal.event_keys import EventKeys
from fanal.heard import Heard
from fanal.radio import Radio, RadioState
from fanal.registry import Registry, Watched
from fanal.resolver import Resolver
from fanal.sighting import Outcome, Sighting

_SEARCH_EVERY_S = 0.25
_SEARCH_BUDGET = 1024  # events each time: some 3 % of one core while it goes on
_REFRESH_EVERY_S = 5.0
_REPLAYS_EVERY_MS = 60_000


@dataclass(frozen=True, slots=True)
class NotRecorded:
    """A sighting that the registry did not take. It counts all the same, until a restart."""

    sighting: Sighting
    error: FanalError


Event = Outcome | RadioState | NotRecorded


def first_keys(beacons: Iterable[Watched], roots: Mapping[int, bytes]) -> list[EventKeys]:
    """Return the keys of event 1 of every beacon whose station's root is at hand.

    roots: station number to F_t, 32 bytes.
    """
    return [
        EventKeys(b.beacon_id, b.public_key, 1,
                  keys.first_event_key(roots[b.station], b.public_key))
        for b in beacons
        if b.station in roots
    ]  # fmt: skip


async def listen(
    resolver: Resolver,
    radio: Radio,
    *,
    record: Callable[[Sighting], None] | None = None,
    refresh: Callable[[], None] | None = None,
) -> AsyncGenerator[Event, None]:
    """Yield everything that is heard, resolved, refused or wrong with the radio, for ever.

    record: keeps a sighting that a restart must know (see `Recorder`); may raise FanalError.
    refresh: called every few seconds, to `resolver.watch` what is new. Raises RadioUnavailable
    if the radio cannot start. Close it (`contextlib.aclosing`) to stop the scan at once.
    """
    loop = asyncio.get_running_loop()
    search_s = refresh_s = loop.time()
    async with radio:
        while True:
            due_s = min(
                search_s if resolver.has_unsearched else float("inf"),
                refresh_s if refresh else float("inf"),
            )
            item = await _next(radio, due_s)
            if isinstance(item, RadioState):
                yield item
            found = resolver.take(item) if isinstance(item, Heard) else []
            if refresh and loop.time() >= refresh_s:
                refresh()
                refresh_s = loop.time() + _REFRESH_EVERY_S
            if resolver.has_unsearched and loop.time() >= search_s:
                found += resolver.search_deeper(_SEARCH_BUDGET)
                search_s = loop.time() + _SEARCH_EVERY_S
            for outcome in found:
                failure = _recorded(record, outcome)
                yield outcome
                if failure is not None:
                    yield failure
            await asyncio.sleep(0)  # a flood must not keep the scanner from being served


async def _next(radio: Radio, due_s: float) -> Heard | RadioState | None:
    """Return the next thing heard, or None at `due_s` of the loop's clock."""
    with suppress(TimeoutError):
        async with asyncio.timeout_at(None if due_s == float("inf") else due_s):
            return await anext(radio)
    return None


def _recorded(record: Callable[[Sighting], None] | None, outcome: Outcome) -> NotRecorded | None:
    if record is not None and isinstance(outcome, Sighting):
        try:
            record(outcome)
        except FanalError as error:
            return NotRecorded(outcome, error)
    return None


class Recorder:
    """Decides what of a stream of sightings is worth a row: a registry is no packet log.

    Everything that joins a line is; a duplicate at the same listener is not; of replays, which
    anyone can send by the thousand, the first of each event in a minute.
    """

    def __init__(self, write: Callable[[Sighting], None]) -> None:
        """write: keeps one sighting."""
        self._write = write
        self._replays: dict[tuple[str, int], int] = {}

    @classmethod
    def into(cls, registry: Registry) -> Self:
        """Return one that writes into a registry."""

        def write(seen: Sighting) -> None:
            registry.record_sighting(
                seen.beacon_id, seen.event, slot=seen.slot, seq=seen.seq, t_ms=seen.t_ms,
                verdict=seen.verdict, rssi_dbm=seen.rssi_dbm, left=seen.left,
                activation=seen.activation if seen.readable else None,
            )  # fmt: skip

        return cls(write)

    def __call__(self, sighting: Sighting) -> None:
        """Keep a sighting, if it is worth it."""
        if sighting.verdict == DUPLICATE and not sighting.left:
            return
        if sighting.verdict == REPLAY:
            key = (sighting.beacon_id, sighting.event)
            if sighting.t_ms < self._replays.get(key, 0) + _REPLAYS_EVERY_MS:
                return
            self._replays[key] = sighting.t_ms
        self._write(sighting)
