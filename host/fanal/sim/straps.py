"""BOOT button, reset and the two transistors that DTR and RTS drive: how a chip enters its ROM.

RTS asserted alone pulls EN low, DTR asserted alone pulls GPIO0 low, both together neither. GPIO0
counts at the moment EN rises.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

# A capacitor holds EN down for a moment after both lines are asserted, so that GPIO0 can follow.
# On a board that is a millisecond. Over a network two changes lie 50 ms and more apart, and
# Espressif's own RFC 2217 server times them itself; here the capacitor is larger.
_EN_RISES_S = 0.5


class Straps:
    """The circuit around one chip. hold, release: stop the chip, and let it start."""

    def __init__(self, hold: Callable[[], None], release: Callable[[], None]) -> None:
        self._hold, self._release = hold, release
        self._loop = asyncio.get_running_loop()
        self._dtr = self._rts = False
        self._is_held = False
        self._rising: asyncio.TimerHandle | None = None
        self.is_button_down = False

    @property
    def is_download(self) -> bool:
        """Is GPIO0 low, so that a chip that starts now waits for a download?"""
        return self.is_button_down or (self._dtr and not self._rts)

    def set_lines(self, dtr: bool, rts: bool) -> None:
        """Follow DTR and RTS; true is asserted."""
        self._dtr, self._rts = dtr, rts
        self.close()
        if rts and not dtr:
            if not self._is_held:
                self._is_held = True
                self._hold()
        elif self._is_held and dtr and rts:
            self._rising = self._loop.call_later(_EN_RISES_S, self._rise)
        elif self._is_held:
            self._rise()

    def close(self) -> None:
        """Forget a rise that is due."""
        if self._rising is not None:
            self._rising.cancel()
            self._rising = None

    def _rise(self) -> None:
        self._rising = None
        self._is_held = False
        self._release()
