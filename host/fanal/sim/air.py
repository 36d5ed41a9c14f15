"""The virtual air: what a frame on air is, who hears it and how well.

An air carries frames from radios (`radio.py`) to listeners. In between, seeded by `seed`, it
loses and repeats frames and lets the strength of each fade, per listener.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

ADV_IND = 0
ADV_SCAN_IND = 2
ADV_NONCONN_IND = 3
SCAN_RSP = 4

PUBLIC = 0
RANDOM = 1

MOST_DATA = 31

# one metre away, and how fast it falls indoors: 25 dB per decade
_AT_ONE_METRE_DBM = -59
_DB_PER_DECADE = 25
_WEAKEST_DBM, _STRONGEST_DBM = -105, -20


@dataclass(frozen=True)
class Frame:
    """One advertising packet. t_ms: world time; address: 6 bytes, most significant first.

    kind: ADV_...; data: at most 31 bytes; sender: the public address of the radio that sent it,
    which no listener sees; scan_response: what an active scanner gets on asking.
    """

    t_ms: int
    address: bytes
    address_type: int
    kind: int
    data: bytes
    sender: bytes = b""
    scan_response: bytes = b""


@dataclass
class Reception:
    """How a listener hears. loss, duplicate: probabilities; offset_db: added to each RSSI.

    filters_by_data: if its host wants no duplicates, it reports an address again once the data
    differ, as many controllers do; else once a scan.
    """

    loss: float = 0.0
    duplicate: float = 0.0
    offset_db: float = 0.0
    filters_by_data: bool = False


class Listener(Protocol):
    """A radio that scans."""

    name: str

    def hear(self, frame: Frame, rssi_dbm: int) -> None:
        """Take a frame that came through."""


class Air:
    """All radios within reach of each other. Settings may change at any time."""

    def __init__(self, seed: int = 0) -> None:
        self.random = random.Random(seed)
        self._began_s = asyncio.get_running_loop().time()
        self.reception = Reception()
        self.fading_db = 2.0
        self.frames = 0
        self._named: dict[str, Reception] = {}
        self._rssi_dbm: dict[bytes, float] = {}
        self._listeners: dict[Listener, None] = {}  # in the order in which they came
        self._taps: list[Callable[[Frame], None]] = []

    def listener(self, name: str) -> Reception:
        """Return the settings of the listener of that name, its own from now on."""
        return self._named.setdefault(name, replace(self.reception))

    def reception_of(self, listener: Listener) -> Reception:
        """Return how a listener hears."""
        return self._named.get(listener.name, self.reception)

    def place(self, sender: bytes, distance_m: float) -> None:
        """Put the radio with that public address at a distance from the listeners."""
        self._rssi_dbm[sender] = _AT_ONE_METRE_DBM - _DB_PER_DECADE * math.log10(distance_m)

    def tap(self, tap: Callable[[Frame], None]) -> Callable[[], None]:
        """Have `tap` called with every frame sent, before any is lost; returns how to stop."""
        self._taps.append(tap)
        return lambda: self._taps.remove(tap)

    def start_hearing(self, listener: Listener) -> None:
        """A listener begins to scan."""
        self._listeners[listener] = None

    def stop_hearing(self, listener: Listener) -> None:
        """A listener ends its scan, or is gone."""
        self._listeners.pop(listener, None)

    def now_ms(self) -> int:
        """Return milliseconds since this air began."""
        return int((asyncio.get_running_loop().time() - self._began_s) * 1000)

    def transmit(self, frame: Frame) -> None:
        """Send one frame to everyone who listens. Raises ValueError beyond 31 bytes."""
        if len(frame.data) > MOST_DATA:
            raise ValueError(f"advertising data of {len(frame.data)} bytes; 31 is the most")
        self.frames += 1
        for tap in tuple(self._taps):
            tap(frame)
        for listener in tuple(self._listeners):
            self._deliver(frame, listener)

    def _deliver(self, frame: Frame, listener: Listener) -> None:
        reception = self.reception_of(listener)
        copies = 1 + (reception.duplicate > 0 and self.random.random() < reception.duplicate)
        for _ in range(copies):
            if reception.loss and self.random.random() < reception.loss:
                continue
            listener.hear(frame, self._rssi(frame, reception))

    def mean_rssi_dbm(self, frame: Frame) -> float:
        """Return how strong a frame arrives before it fades."""
        return self._rssi_dbm.get(frame.sender, _AT_ONE_METRE_DBM)

    def _rssi(self, frame: Frame, reception: Reception) -> int:
        mean = self.mean_rssi_dbm(frame) + reception.offset_db
        faded = mean + self.random.gauss(0, self.fading_db) if self.fading_db else mean
        return round(min(max(faded, _WEAKEST_DBM), _STRONGEST_DBM))
