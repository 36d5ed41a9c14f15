"""Ears: any bleak scanner in, `Heard` and the state of the radio out.

The only module, with the scanner of the virtual air, that imports bleak. A listener that is
deaf must say so, since silence on this air is good news: nobody was squeezed. So a scanner that
runs and hears nothing is `QUIET`, one that stopped or failed is `DEAF`, and each is reported.
"""

import asyncio
import importlib.metadata
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from fanal_protocol.advert import SERVICE_UUID

from fanal.error import EnvironmentFault, FanalError
from fanal.heard import ArrivalClock, Heard, known_rssi

if TYPE_CHECKING:
    from bleak import BleakScanner
    from bleak.backends.device import BLEDevice
    from bleak.backends.scanner import AdvertisementData, BaseBleakScanner

HEARING = "hearing"
QUIET = "quiet"
DEAF = "deaf"

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
    backoff_s: tuple[float, ...] = (1.0, 2.0, 5.0, 10.0, 30.0)


class RadioUnavailable(EnvironmentFault):
    """There is no radio to listen with: a package, an adapter, a permission is missing."""

    code = "radio"


class Radio:
    """The ears as an asynchronous iterator of `Heard` and `RadioState`.

    Use it as `async with Radio() as radio: async for heard in radio: ...`. Entering raises
    RadioUnavailable if the first scan cannot start; later failures are reported as DEAF, and the
    scan is started again for ever. `counts` names what was not handed on: `foreign` (not ours),
    `malformed` (our UUID without a payload), `overflow` (the reader was too slow); `adverts`
    counts everything and `restarts` the scans started again.
    """

    def __init__(
        self,
        *,
        backend: "type[BaseBleakScanner] | None" = None,
        adapter: str | None = None,
        now_ms: Callable[[], int] | None = None,
        patience: Patience | None = None,
        queue_length: int = 4096,
    ) -> None:
        """Prepare to listen; nothing is touched before entering.

        backend: a bleak scanner class, the system's Bluetooth if None. adapter: such as "hci0",
        Linux only. now_ms: gives the time of arrival. queue_length: `Heard` that may wait.
        """
        self.counts: Counter[str] = Counter()
        self._backend = backend
        self._adapter = adapter
        self.now_ms = now_ms or ArrivalClock().now_ms
        self._patience = patience or Patience()
        self._queue_length = queue_length
        self._queue: deque[Heard | RadioState] = deque()
        self._ready = asyncio.Event()
        self._state = ""
        self._last_advert_s = 0.0
        self._current: BleakScanner | None = None
        self._watch: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Start the first scan. Raises RadioUnavailable."""
        try:
            self._current = await self._start()
        except FanalError:
            raise
        except Exception as error:
            raise _unavailable(error) from error
        self._become(HEARING, "The radio listens.")
        self._watch = asyncio.create_task(self._keep_hearing())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop scanning."""
        if self._watch is not None:
            self._watch.cancel()
            with suppress(asyncio.CancelledError):
                await self._watch
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
            try:
                self._current = await self._start()
                self.counts["restarts"] += 1
                failures = 0
            except Exception as error:  # noqa: BLE001 - any backend, any error: never give up
                self._become(DEAF, f"The radio does not listen: {_text(error)}.")
                backoff_s = self._patience.backoff_s
                await asyncio.sleep(backoff_s[min(failures, len(backoff_s) - 1)])
                failures += 1

    async def _listen_until_stalled(self, fruitless: int) -> int:
        """Return when the scan should be restarted: how many in a row heard nothing at all."""
        loop = asyncio.get_running_loop()
        started_s = self._last_advert_s = loop.time()
        if self._state == DEAF:
            self._become(HEARING, "The radio listens again.")
        wait_s = min(self._patience.quiet_s * 2**fruitless, self._patience.most_quiet_s)
        while (idle_s := loop.time() - self._last_advert_s) < wait_s:
            if loop.time() - started_s >= self._patience.refresh_s:
                return 0
            await asyncio.sleep(wait_s - idle_s)
        self._become(QUIET, f"The radio listens, but no device is on air: {wait_s:.0f} s of quiet.")
        # the exponent stays small: 2**4 times the shortest wait is beyond the longest
        return min(fruitless + 1, 4) if self._last_advert_s == started_s else 1

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
        elif len(self._queue) >= self._queue_length:
            self.counts["overflow"] += 1
        else:
            rssi_dbm = known_rssi(data.rssi)
            self._put(Heard(bytes(payload), rssi_dbm, self.now_ms(), device.address))

    def _become(self, kind: str, reason: str) -> None:
        """Report a state if it is a new one."""
        if kind != self._state:
            self._state = kind
            self._put(RadioState(kind, self.now_ms(), reason))

    def _put(self, item: Heard | RadioState) -> None:
        """Queue one item. States are few and always fit."""
        self._queue.append(item)
        self._ready.set()


_SWITCH_ON = "Switch Bluetooth on (on Linux: bluetoothctl power on), then run the command again."
_PLUG_IN = "Plug in a Bluetooth adapter, name one with --adapter, or try a virtual air with --air."
_ALLOW = "Allow this program to use Bluetooth in the system's settings, then run it again."
_SERVICE_DOWN = "Start it (on Linux: sudo systemctl start bluetooth), then run the command again."

_UNAVAILABLE = {
    "POWERED_OFF": ("Bluetooth is switched off.", _SWITCH_ON),
    "NO_BLUETOOTH": ("This computer has no Bluetooth adapter.", _PLUG_IN),
    "NO_BLE_CENTRAL_ROLE": ("The Bluetooth adapter cannot listen for Low Energy.", _PLUG_IN),
    "DENIED_BY_USER": ("This program may not use Bluetooth.", _ALLOW),
    "DENIED_BY_SYSTEM": ("This program may not use Bluetooth.", _ALLOW),
    "DENIED_BY_UNKNOWN": ("This program may not use Bluetooth.", _ALLOW),
}


def _unavailable(error: Exception) -> RadioUnavailable:
    """Return what a person is told when the first scan did not start."""
    reason = getattr(getattr(error, "reason", None), "name", "")
    if reason in _UNAVAILABLE:
        return RadioUnavailable(*_UNAVAILABLE[reason])
    if isinstance(error, PermissionError):
        return RadioUnavailable("This program may not use Bluetooth.", _ALLOW)
    if isinstance(error, FileNotFoundError | ConnectionError):
        return RadioUnavailable("The Bluetooth service does not answer.", _SERVICE_DOWN)
    if isinstance(error, TimeoutError):
        return RadioUnavailable("Bluetooth did not start to listen in time.", _SWITCH_ON)
    return RadioUnavailable(f"The radio cannot listen: {_text(error)}.", _PLUG_IN)


def _text(error: Exception) -> str:
    """Return what went wrong as half a sentence."""
    if isinstance(error, TimeoutError):
        return "it did not answer in time"
    # some of bleak's carry a reason beside the text
    text = error.args[0] if error.args and isinstance(error.args[0], str) else str(error)
    return text.strip().rstrip(".") or type(error).__name__
