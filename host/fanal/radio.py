"""Ears: any bleak scanner in, `Heard` and the state of the radio out.

The only module, with the scanner of the virtual air, that imports bleak. A listener that is
deaf must say so, since silence on this air is good news: nobody was squeezed. So a scanner that
runs and hears nothing is `QUIET`, one that stopped or failed is `DEAF`, and each is reported.
"""

import asyncio
import importlib.metadata
import sys
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from fanal_protocol.advert import SERVICE_UUID

from fanal import bluez
from fanal.error import FanalError
from fanal.heard import ArrivalClock, Heard, known_rssi
from fanal.radio_fault import RadioUnavailable as RadioUnavailable
from fanal.radio_fault import half_sentence, unavailable

if TYPE_CHECKING:
    from bleak import BleakScanner
    from bleak.backends.device import BLEDevice
    from bleak.backends.scanner import AdvertisementData, BaseBleakScanner

HEARING = "hearing"
QUIET = "quiet"
DEAF = "deaf"

# what bleak gives for a strength that BlueZ took back from a device that it heard before
_TAKEN_BACK_DBM = -127
_MOST_ADDRESSES = 256

_SERVICE = f"0000{SERVICE_UUID:04x}-0000-1000-8000-00805f9b34fb"


@dataclass(frozen=True, slots=True)
class RadioState:
    """A change of what the radio can hear. kind: HEARING, QUIET or DEAF; reason: one sentence."""

    kind: str
    t_ms: int
    reason: str


@dataclass(frozen=True, slots=True)
class Patience:
    """How long the radio waits, in seconds, before it doubts, gives up or tries again."""

    quiet_s: float = 30.0  # no advertisement of anyone: doubt the scanner and restart it
    most_quiet_s: float = 300.0  # restarts that change nothing come further apart, up to this
    refresh_s: float = 3600.0  # restart in any case: bleak remembers every address of a scan
    answer_s: float = 15.0  # for the system's Bluetooth to start or stop a scan
    # a kernel whose bluetoothd was killed in a scan takes no other for up to 10 s
    backoff_s: tuple[float, ...] = (1.0, 2.0, 2.0, 2.0, 3.0, 5.0, 10.0, 30.0)


class Radio:
    """The ears as an asynchronous iterator of `Heard` and `RadioState`.

    Use it as `async with Radio() as radio: async for heard in radio: ...`. Entering raises
    RadioUnavailable if the first scan cannot start; later failures are reported as DEAF, and the
    scan is started again for ever. `counts` names what was not handed on: `foreign` (not ours),
    `malformed` (our UUID without a payload), `stale` (said again, not heard again), `overflow`
    (the reader was too slow); `adverts` counts everything and `restarts` the scans started again.
    """

    def __init__(
        self,
        *,
        backend: "type[BaseBleakScanner] | None" = None,
        adapter: str | None = None,
        now_ms: Callable[[], int] | None = None,
        patience: Patience | None = None,
        queue_length: int = 4096,
        watch: Callable[[Callable[[], None]], Awaitable[None]] | None = None,
    ) -> None:
        """Prepare to listen; nothing is touched before entering.

        backend: a bleak scanner class, the system's Bluetooth if None. adapter: such as "hci0",
        Linux only. now_ms: gives the time of arrival. queue_length: `Heard` that may wait.
        watch: calls what it is given when the scan may have ended, or could be started; BlueZ's
        if None and there is one.
        """
        self.counts: Counter[str] = Counter()
        self._backend = backend
        self._adapter = adapter
        self.now_ms = now_ms or ArrivalClock().now_ms
        self._patience = patience or Patience()
        self._queue_length = queue_length
        if watch is None and backend is None and sys.platform == "linux":
            watch = bluez.watch
        self._watch_system = watch
        self._changed = asyncio.Event()
        self._latest: dict[str, bytes] = {}  # address -> payload, the newest last
        self._queue: deque[Heard | RadioState] = deque()
        self._ready = asyncio.Event()
        self._state = ""
        self._last_advert_s = 0.0
        self._current: BleakScanner | None = None
        self._tasks: list[asyncio.Future[None]] = []

    async def __aenter__(self) -> Self:
        """Start the first scan. Raises RadioUnavailable."""
        try:
            self._current = await self._start()
        except FanalError:
            raise
        except Exception as error:
            raise unavailable(error) from error
        self._become(HEARING, "The radio listens.")
        self._tasks.append(asyncio.ensure_future(self._keep_hearing()))
        if self._watch_system is not None:
            self._tasks.append(asyncio.ensure_future(self._watch_system(self._changed.set)))
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop scanning."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._current is not None:
            await self._stop(self._current)

    def __aiter__(self) -> Self:
        """Iterate for ever; leave with `break` or by cancelling."""
        return self

    async def __anext__(self) -> Heard | RadioState:
        """Return the next thing heard, or the next change of state, in order of arrival."""
        while not self._queue:
            self._ready.clear()
            await self._ready.wait()
        return self._queue.popleft()

    async def _keep_hearing(self) -> None:
        """Restart the scan whenever it stalls or fails, and say what that means for hearing."""
        failures = fruitless = 0
        while True:
            if self._current is not None:
                fruitless = await self._listen_until_stalled(fruitless)
                await self._stop(self._current)
                self._current = None
            self._changed.clear()
            try:
                self._current = await self._start()
                self.counts["restarts"] += 1
                failures = 0
            except Exception as error:  # noqa: BLE001 - any backend, any error: never give up
                self._become(DEAF, f"The radio does not listen: {half_sentence(error)}.")
                backoff_s = self._patience.backoff_s
                await self._pause(backoff_s[min(failures, len(backoff_s) - 1)])
                # what just came back needs a moment, but not as long as what is gone for good
                failures = 0 if self._changed.is_set() else failures + 1

    async def _listen_until_stalled(self, fruitless: int) -> int:
        """Return when the scan should be restarted: how many in a row heard nothing at all."""
        loop = asyncio.get_running_loop()
        started_s = self._last_advert_s = loop.time()
        if self._state == DEAF:
            self._become(HEARING, "The radio listens again.")
        wait_s = min(self._patience.quiet_s * 2**fruitless, self._patience.most_quiet_s)
        while (idle_s := loop.time() - self._last_advert_s) < wait_s:
            if loop.time() - started_s >= self._patience.refresh_s or self._changed.is_set():
                return 0
            await self._pause(wait_s - idle_s)
        self._become(QUIET, f"The radio listens, but no device is on air: {wait_s:.0f} s of quiet.")
        # the exponent stays small: 2**4 times the shortest wait is beyond the longest
        return min(fruitless + 1, 4) if self._last_advert_s == started_s else 1

    async def _pause(self, seconds: float) -> None:
        """Wait, but not longer than until something of the system's Bluetooth changes."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()

    async def _start(self) -> "BleakScanner":
        """Return a scanner that runs. Raises whatever bleak or its backend raises."""
        scanner = self._scanner()
        try:
            async with asyncio.timeout(self._patience.answer_s):
                await scanner.start()
        except BaseException:
            await self._stop(scanner)  # the system may have started half of it
            raise
        return scanner

    async def _stop(self, scanner: "BleakScanner") -> None:
        """Stop a scanner that may be dead already."""
        with suppress(Exception):
            async with asyncio.timeout(self._patience.answer_s):
                await scanner.stop()

    def _scanner(self) -> "BleakScanner":
        """Return a new scanner that reports to us. Raises RadioUnavailable without bleak."""
        try:
            from bleak import BleakScanner
        except ImportError as error:
            raise RadioUnavailable(
                "Listening needs the Python package bleak, which is not installed.",
                'Install it: pip install "fanal[listener]"',
            ) from error
        more: dict[str, Any] = {}
        if self._adapter is not None:
            # bleak 3 moved the adapter and warns about the old place
            old = int(importlib.metadata.version("bleak").split(".")[0]) < 3
            more = {"adapter": self._adapter} if old else {"bluez": {"adapter": self._adapter}}
        # no service_uuids: that filter matches UUID lists only, and pages carry none
        return BleakScanner(detection_callback=self._detected, backend=self._backend, **more)

    def _detected(self, device: "BLEDevice", data: "AdvertisementData") -> None:
        """Take one report of the scanner: ours into the queue, everything else into a count."""
        self.counts["adverts"] += 1
        self._last_advert_s = asyncio.get_running_loop().time()
        if self._state != HEARING:
            self._become(HEARING, "The radio hears again.")
        payload = data.service_data.get(_SERVICE)
        if payload is None:
            self.counts["malformed" if _SERVICE in data.service_uuids else "foreign"] += 1
        elif self._is_stale(device.address, payload, data.rssi):
            self.counts["stale"] += 1
        elif len(self._queue) >= self._queue_length:
            self.counts["overflow"] += 1
        else:
            rssi_dbm = known_rssi(data.rssi)
            self._put(Heard(bytes(payload), rssi_dbm, self.now_ms(), device.address))

    def _is_stale(self, address: str, payload: bytes, rssi_dbm: int | None) -> bool:
        """Say whether BlueZ repeats what it heard long ago: it does so for each device that it
        knows when an adapter goes, and a frame at a wrong time would look like a replay."""
        before = self._latest.pop(address, None)
        if len(self._latest) >= _MOST_ADDRESSES:
            del self._latest[next(iter(self._latest))]
        self._latest[address] = payload
        return rssi_dbm == _TAKEN_BACK_DBM and payload == before

    def _become(self, kind: str, reason: str) -> None:
        """Report a state if it is a new one."""
        if kind != self._state:
            self._state = kind
            self._put(RadioState(kind, self.now_ms(), reason))

    def _put(self, item: Heard | RadioState) -> None:
        """Queue one item. States are few and always fit."""
        self._queue.append(item)
        self._ready.set()
