"""A volunteer's listener: radio, groups, seal, outbox, relay. It knows no fleet and no secret.

What is heard is sealed and on the disk before anything else happens to it. Nothing ends it but its
owner: without a radio, a relay or room on the disk it says so, goes on with what is left, and
recovers by itself.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import suppress
from importlib.metadata import version
from typing import Any

from fanal.envelope import Group, Health, Postmark, Sealer
from fanal.error import FanalError
from fanal.gateway.bundle import Bundle
from fanal.gateway.cargo import Cargo
from fanal.gateway.clocks import Clocks
from fanal.gateway.grouping import Grouper
from fanal.gateway.listener_key import ListenerKey
from fanal.gateway.locate import Locator
from fanal.gateway.outbox import Outbox
from fanal.gateway.relay import Relay
from fanal.gateway.sender import Sender
from fanal.gateway.state import State
from fanal.heard import Heard
from fanal.radio import DEAF, Radio, RadioState, RadioUnavailable

MakeRelay = Callable[[Bundle, Callable[[], bytes]], Relay]

_TICK_S = 1.0
_TOUCH_EVERY_S = 60.0
_RADIO_AGAIN_S = 30.0
_LAST_SECONDS_S = 5.0
_MOST_COUNT_NAMES = 32


class Gateway:
    """One run of a listener. Its radio's `now_ms` must be `clocks.steady_ms`.

    tell: called with every `State` that differs in kind from the one before, and with the first.
    """

    def __init__(
        self,
        radio: Radio,
        bundle: Bundle,
        key: ListenerKey,
        outbox: Outbox,
        make_relay: MakeRelay,
        locator: Locator,
        clocks: Clocks,
        tell: Callable[[State], None],
        grouper: Grouper | None = None,
    ) -> None:
        """Needs a running event loop. Raises EnvelopeError (`form`) for a useless bundle."""
        self._radio = radio
        self._sealer = Sealer(bundle.recipient, key.private)
        self._boot = key.boot(clocks.system_boot)
        self._clocks = clocks
        self._locator = locator
        self._tell = tell
        self._outbox = outbox
        self._grouper = grouper or Grouper()
        self._now_s = asyncio.get_running_loop().time
        self._cargo = Cargo(outbox, self._now_s)
        self._relay = make_relay(bundle, lambda: self._delivery([], is_last_will=True))
        self._sender = Sender(self._cargo, self._relay, self._delivery)
        self._radio_kind, self._radio_reason = DEAF, ""
        self._knows_radio = asyncio.Event()
        self._changed = asyncio.Event()
        self._advert_ms: int | None = None
        self._adverts = 0
        self._told: tuple[Any, ...] | None = None
        self._tick_s = _TICK_S
        self._version = version("fanal")[:40]

    async def run(self) -> None:
        """Listen and send until cancelled; then keep what was heard, and try to send it.

        Raises RadioUnavailable if the program for it is not installed, and FanalError if the
        relay can never work.
        """
        work: list[Coroutine[Any, Any, None]] = [
            self._hear(), self._group(), self._send(), self._tick(), self._locator.run(),
        ]  # fmt: skip
        tasks = [asyncio.create_task(one) for one in work]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            for task in tasks:
                if task.done():
                    task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._end()

    def state(self) -> State:
        """Return how it is now."""
        self._look_for_adverts()
        reason = self._sender.reason
        age_ms = self._advert_age_ms()
        return State(
            self._radio_kind, self._radio_reason, None if age_ms is None else age_ms // 1000,
            len(self._cargo), self._cargo.is_spilling, self._sender.state,
            "" if reason is None else f"{reason.sentence} {reason.hint}".strip(), self._dropped(),
            self._locator.trouble(),
        )  # fmt: skip

    @property
    def sent(self) -> int:
        """How many groups the hub has taken."""
        return self._sender.counts["sent"]

    async def _hear(self) -> None:
        while True:
            try:
                async with self._radio as radio:
                    async for item in radio:
                        self._take(item)
                        await asyncio.sleep(0)  # a flood must not keep the others from working
            except RadioUnavailable as problem:
                if isinstance(problem.__cause__, ImportError):
                    raise
                self._become(DEAF, f"{problem.sentence} {problem.hint}")
            await asyncio.sleep(_RADIO_AGAIN_S)

    def _take(self, item: Heard | RadioState) -> None:
        if isinstance(item, RadioState):
            self._become(item.kind, item.reason)
            return
        due_ms = self._grouper.due_ms()
        self._grouper.take(item.payload, item.rssi_dbm, item.t_ms)
        if self._grouper.due_ms() != due_ms:
            self._changed.set()

    def _become(self, kind: str, reason: str) -> None:
        """Take a new state of the radio, and let the hub know of it."""
        if kind != self._radio_kind or not self._knows_radio.is_set():
            self._sender.beat()
        self._radio_kind, self._radio_reason = kind, reason
        self._knows_radio.set()

    async def _group(self) -> None:
        """Close groups when they are due."""
        while True:
            due_ms = self._grouper.due_ms()
            wait_s = None if due_ms is None else (due_ms - self._clocks.steady_ms()) / 1000
            if wait_s is None or wait_s > 0:
                self._changed.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(wait_s):
                        await self._changed.wait()
            self._close()
            await asyncio.sleep(0)

    def _close(self, *, is_last: bool = False) -> None:
        """Seal what is due and put it on the disk."""
        now_ms = self._clocks.steady_ms()
        for frames in self._grouper.close(now_ms, is_last=is_last):
            group = Group(
                self._sealer.listener, self._boot, now_ms, self._clocks.wall_ms(), frames,
                self._locator.position(),
            )  # fmt: skip
            self._cargo.add(self._sealer.group(group))
            self._sender.new()

    async def _send(self) -> None:
        await self._knows_radio.wait()  # before that there is nothing true to say
        await self._sender.run()

    async def _tick(self) -> None:
        touch_s = self._now_s()
        while True:
            await asyncio.sleep(self._tick_s)
            self._cargo.settle()
            if self._now_s() >= touch_s:
                touch_s = self._now_s() + _TOUCH_EVERY_S
                self._outbox.touch()
            state = self.state()
            if self._knows_radio.is_set() and state.kind != self._told:
                self._told = state.kind
                self._tell(state)

    async def _end(self) -> None:
        """Keep what was heard and, if that works at once, send it."""
        self._close(is_last=True)
        with suppress(TimeoutError, FanalError):
            async with asyncio.timeout(_LAST_SECONDS_S):
                await self._sender.finish()
        await self._relay.close()

    def _delivery(self, sealed: list[bytes], *, is_last_will: bool = False) -> bytes:
        self._look_for_adverts()
        health = Health(
            self._radio_kind, self._advert_age_ms(), max(0, len(self._cargo) - len(sealed)),
            self._dropped(), self._version,
        )  # fmt: skip
        postmark = Postmark(
            self._sealer.listener, self._boot, self._clocks.steady_ms(), self._clocks.wall_ms(),
            health, (), self._locator.position(), is_last_will,
        )  # fmt: skip
        return self._sealer.delivery(postmark, sealed)

    def _dropped(self) -> dict[str, int]:
        counts = Counter(self._grouper.dropped) + self._cargo.dropped
        counts["refused"] = self._sender.counts["refused"]
        for name in ("overflow", "malformed"):
            counts[name] = self._radio.counts[name]
        return {name: count for name, count in counts.most_common(_MOST_COUNT_NAMES) if count}

    def _look_for_adverts(self) -> None:
        if self._radio.counts["adverts"] != self._adverts:
            self._adverts = self._radio.counts["adverts"]
            self._advert_ms = self._clocks.steady_ms()

    def _advert_age_ms(self) -> int | None:
        return None if self._advert_ms is None else self._clocks.steady_ms() - self._advert_ms
