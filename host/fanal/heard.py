"""What a scanner got: bytes off the air, trusted for nothing."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from fanal.position import Position

# 127 is "not available" (Bluetooth Core, vol 4 part E); -127 and 0 are what systems make of it.
_UNKNOWN_RSSI = frozenset((127, -127, 0))


@dataclass(frozen=True, slots=True)
class Receipt:
    """How a Heard came to a hub. listener: its key; received_ms: when it came in.

    last_ms, count: when this payload was heard last at that listener, and how often.
    position: of the listener, None if it does not say. is_hearsay: when it was heard is a
    word that may be wrong, see `fanal.hub.hearsay`.
    """

    listener: str
    received_ms: int
    last_ms: int
    count: int = 1
    position: Position | None = None
    is_hearsay: bool = False


@dataclass(frozen=True, slots=True)
class Heard:
    """One payload as a scanner got it. Nothing in it is checked.

    payload: the service data behind the UUID, any length.
    rssi_dbm: signal strength, None if the radio does not know it.
    t_ms: wall-clock milliseconds of arrival, see `ArrivalClock`.
    address: the transmitter's as the system shows it; two systems hide it, so it decides nothing.
    receipt: how it came, if somebody else heard it.
    """

    payload: bytes
    rssi_dbm: int | None
    t_ms: int
    address: str
    receipt: Receipt | None = None


def known_rssi(rssi_dbm: int | None) -> int | None:
    """Return the signal strength in dBm, or None for every value that means "unknown"."""
    return None if rssi_dbm is None or rssi_dbm in _UNKNOWN_RSSI else rssi_dbm


class ArrivalClock:
    """Wall-clock milliseconds that never jump: the wall is read once, then a steady clock counts.

    A wall clock that is set while we listen would make genuine frames look delayed or hurried,
    and the rules of time (SPEC 3.2) would call them replays.
    """

    def __init__(
        self,
        wall_s: Callable[[], float] = time.time,
        steady_s: Callable[[], float] | None = None,
    ) -> None:
        """Anchor the steady clock (any origin, counts seconds) to the wall clock (Unix time)."""
        self._steady_s = steady_s or through_suspend_s
        self._anchor_s = wall_s() - self._steady_s()

    def now_ms(self) -> int:
        """Return the time of arrival of something that arrives now, in Unix milliseconds."""
        return int(1000 * (self._anchor_s + self._steady_s()))


def through_suspend_s() -> float:
    """Return a steady clock that goes on while the computer sleeps, where the system has one.

    Without it a laptop that slept for an hour would take the next frame of a running event for
    an hour early and call everything before it a replay.
    """
    clock_id = getattr(time, "CLOCK_BOOTTIME", None)  # Linux
    if clock_id is None and sys.platform == "darwin":
        clock_id = time.CLOCK_MONOTONIC
    return time.monotonic() if clock_id is None else time.clock_gettime(clock_id)
