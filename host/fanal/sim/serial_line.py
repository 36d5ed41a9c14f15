"""The serial line of one board: two directions, each with a speed and faults of its own.

The chip is at one end. At the other is whoever has it: a program at the pseudo-terminal or one
over RFC 2217, never both. A line with a baud rate takes baud / 10 bytes per second each way.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from fanal.sim.faults import TO_CHIP, TO_HOST, Faults

_TICK_S = 0.005  # how often a slow line hands on what has arrived
_LOST_BEYOND = 1 << 20  # bytes that wait; a sender that goes on loses them


class Direction:
    """One direction: what is sent arrives in order, at the line's speed, bent by its faults."""

    def __init__(self, name: str, faults: Faults, deliver: Callable[[bytes], None]) -> None:
        self._name, self._faults, self._deliver = name, faults, deliver
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._began_s = 0.0  # when the byte that is first in line began to be sent
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self.baud: int | None = None

    def send(self, data: bytes) -> None:
        """Put bytes on the line."""
        if self._rate() is None and not self._waiting:
            self._arrive(data)
            return
        if not data or self._waiting_bytes + len(data) > _LOST_BEYOND:
            return
        if not self._waiting:
            self._began_s = max(self._began_s, self._loop.time())
        self._waiting.append(data)
        self._waiting_bytes += len(data)
        self._schedule()

    def discard(self) -> None:
        """Drop what has not arrived yet."""
        self._waiting.clear()
        self._waiting_bytes = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _rate(self) -> float | None:
        """Return bytes per second, None if there is no limit."""
        baud = self._faults.slow_baud or self.baud
        return baud / 10 if baud else None

    def _schedule(self) -> None:
        if self._timer is not None or not self._waiting:
            return
        rate = self._rate()
        now = self._loop.time()
        whole = self._began_s + self._waiting_bytes / rate if rate else now
        self._timer = self._loop.call_at(min(whole, now + _TICK_S), self._tick)

    def _tick(self) -> None:
        self._timer = None
        rate = self._rate()
        # a little early is on time: timers have a resolution
        passed_s = self._loop.time() - self._began_s + 1e-6
        count = int(passed_s * rate) if rate else self._waiting_bytes
        count = min(count, self._waiting_bytes)
        if rate:
            self._began_s += count / rate
        self._arrive(self._take(count))
        self._schedule()

    def _take(self, count: int) -> bytes:
        self._waiting_bytes -= count
        taken = bytearray()
        while len(taken) < count:
            part = self._waiting.popleft()
            room = count - len(taken)
            taken += part[:room]
            if len(part) > room:
                self._waiting.appendleft(part[room:])
        return bytes(taken)

    def _arrive(self, data: bytes) -> None:
        """Hand on what arrived; a fault at a certain byte strikes between that one and the next."""
        for piece in self._faults.bend(self._name, data):
            self._deliver(piece)


class SerialLine:
    """Both directions of one board's line, and who has its far end.

    to_chip, to_host: what takes the bytes that arrive.
    """

    def __init__(self, faults: Faults, to_chip: Callable[[bytes], None]) -> None:
        self._to_chip = Direction(TO_CHIP, faults, to_chip)
        self._to_host = Direction(TO_HOST, faults, self._reach_client)
        self._clients: list[Callable[[bytes], None]] = []

    def set_baud(self, baud: int | None) -> None:
        """Set the speed of both directions; None for no limit."""
        self._to_chip.baud = self._to_host.baud = baud

    @property
    def is_taken(self) -> bool:
        """Does one client have it, over the head of another?"""
        return len(self._clients) > 1

    def attach(self, client: Callable[[bytes], None]) -> None:
        """Give the far end to a client until `detach`; the one before gets it back then."""
        self._clients.append(client)

    def detach(self, client: Callable[[bytes], None]) -> None:
        """Undo `attach`. What was on its way to it is lost, what it sent still arrives."""
        if client in self._clients:
            self._clients.remove(client)
            self._to_host.discard()

    def from_chip(self, data: bytes) -> None:
        """Send what the chip says."""
        self._to_host.send(data)

    def from_client(self, client: Callable[[bytes], None], data: bytes) -> None:
        """Send what a client types; only the one that has the line is heard."""
        if self._clients and self._clients[-1] == client:
            self._to_chip.send(data)

    def purge_to_chip(self) -> None:
        """Drop what clients sent and the chip has not got yet."""
        self._to_chip.discard()

    def cut(self) -> None:
        """Lose everything that is on its way: the line is unplugged or closed."""
        self._to_chip.discard()
        self._to_host.discard()

    def _reach_client(self, data: bytes) -> None:
        if self._clients:
            self._clients[-1](data)
