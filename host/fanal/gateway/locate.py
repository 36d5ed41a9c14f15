"""Where the listener is: a place that was typed in, what gpsd says, or nowhere.

It leaves the computer inside the seal only, so the hub knows it and nobody on the way.
"""

import asyncio
import json
import math
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

from fanal.error import UsageError
from fanal.position import GPS, Position

GPSD = "127.0.0.1:2947"

_GPS_ACCURACY_M = 20.0  # of a receiver that does not say
_STALE_S = 60.0
_AGAIN_S = 10.0
_SILENT_S = 30.0  # a receiver reports every second, also without a fix
_LONGEST_LINE = 64 * 1024
_WATCH = b'?WATCH={"enable":true,"json":true};\n'


class Locator(Protocol):
    """Says where this listener is."""

    def position(self) -> Position | None:
        """Return where it is now, None if nobody knows."""

    def trouble(self) -> str:
        """Return a sentence if a place is wanted and nobody knows it, else ""."""

    async def run(self) -> None:
        """Keep that up to date until cancelled."""


class Fixed:
    """A place that does not change, or no place."""

    def __init__(self, position: Position | None = None) -> None:
        self._position = position

    def position(self) -> Position | None:
        """Return the place."""
        return self._position

    def trouble(self) -> str:
        """Return ""."""
        return ""

    async def run(self) -> None:
        """There is nothing to do, for ever."""
        await asyncio.get_running_loop().create_future()


class Gpsd:
    """What a running gpsd says. A position older than a minute is none."""

    def __init__(self, address: str = GPSD, now_s: Callable[[], float] | None = None) -> None:
        """address: HOST:PORT. now_s: the event loop's clock if None. Raises UsageError."""
        host, _, port = address.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 65536:
            raise UsageError(f"{address!r} is not the address of a gpsd.", "Write HOST:PORT.")
        self._host, self._port = host.strip("[]"), int(port)
        self._now_s = now_s or (lambda: asyncio.get_running_loop().time())
        self._last: tuple[float, Position] | None = None
        self._since_s: float | None = None

    def position(self) -> Position | None:
        """Return the position of the last minute."""
        if self._last is None or self._now_s() - self._last[0] > _STALE_S:
            return None
        return self._last[1]

    def trouble(self) -> str:
        """Say that there is no position, once gpsd had time to give one."""
        if self._since_s is None or self._now_s() - self._since_s < _SILENT_S:
            return ""
        if self.position() is not None:
            return ""
        return (
            f"There is no place from gpsd at {self._host}:{self._port}: what is heard is passed on"
            " without one. Look whether it runs and its receiver sees the sky."
        )

    async def run(self) -> None:
        """Follow gpsd, whether it is there or not, until cancelled."""
        self._since_s = self._now_s()
        while True:
            with suppress(OSError, ValueError, TimeoutError):
                await self._follow()
            await asyncio.sleep(_AGAIN_S)

    async def _follow(self) -> None:
        """Read reports until the connection ends. Raises OSError, ValueError, TimeoutError."""
        async with asyncio.timeout(_SILENT_S):
            reader, writer = await asyncio.open_connection(
                self._host, self._port, limit=_LONGEST_LINE
            )
        try:
            writer.write(_WATCH)
            while True:
                async with asyncio.timeout(_SILENT_S):
                    line = await reader.readline()
                if not line.endswith(b"\n"):
                    return
                self._take(line)
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    def _take(self, line: bytes) -> None:
        report = read_report(line)
        if report is not None:
            self._last = (self._now_s(), report)


def read_report(line: bytes) -> Position | None:
    """Return the position in one line of gpsd's JSON; None if it is no report of a fix."""
    try:
        report: Any = json.loads(line)
        if report["class"] != "TPV" or report["mode"] not in (2, 3):
            return None
        return Position(float(report["lat"]), float(report["lon"]), _accuracy_m(report), GPS)
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError):
        return None


def _accuracy_m(report: dict[str, Any]) -> float:
    """Return gpsd's own estimate of the horizontal error, in metres."""
    if "eph" in report:
        return float(report["eph"])
    if "epx" in report and "epy" in report:
        return math.hypot(float(report["epx"]), float(report["epy"]))
    return _GPS_ACCURACY_M
