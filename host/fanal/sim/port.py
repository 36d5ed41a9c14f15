"""The port of one board: one serial line, reached at a pseudo-terminal or over RFC 2217."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fanal.sim import rfc2217
from fanal.sim.faults import Faults
from fanal.sim.hand import Hand
from fanal.sim.openings import Openings
from fanal.sim.serial_line import SerialLine
from fanal.sim.terminal import Terminal


class Port:
    """Both ways to a line, and the plug. A server is there once somebody asked for its URL.

    to_chip: what takes bytes from clients. set_lines: what takes DTR and RTS. hand: whoever helps
    at the pseudo-terminal, which has neither.
    """

    def __init__(
        self,
        link: Path,
        openings: Openings,
        faults: Faults,
        to_chip: Callable[[bytes], None],
        set_lines: Callable[[bool, bool], None],
        hand: Hand | None = None,
    ) -> None:
        self.link, self.set_lines = link, set_lines
        self._openings = openings
        self.line = SerialLine(faults, to_chip)
        self._hand = hand
        faults.on_unplug = self.unplug
        self._server: rfc2217.Server | None = None
        self._terminal: Terminal | None = None
        self.plug()

    @property
    def url(self) -> str:
        """The URL that pyserial opens."""
        if self._server is None:
            self._server = rfc2217.Server(self)
            if not self.is_plugged:
                self._server.hang_up()
        return f"rfc2217://127.0.0.1:{self._server.port}"

    @property
    def is_plugged(self) -> bool:
        """Is there a port at all?"""
        return self._terminal is not None

    @property
    def is_open(self) -> bool:
        """Has a client opened the pseudo-terminal?"""
        return self._terminal is not None and self._terminal.is_open

    def plug(self) -> None:
        """Bring the port back, where it was."""
        if self._terminal is not None:
            return
        terminal = self._terminal = Terminal(self.link, self._openings, self._typed, self._left)
        self.line.attach(terminal.write)
        if self._server is not None:
            self._server.listen()

    def unplug(self) -> None:
        """Take the port away, and what was on its way with it."""
        if self._terminal is None:
            return
        terminal, self._terminal = self._terminal, None
        if self._server is not None:
            self._server.hang_up()
        self.line.detach(terminal.write)
        self.line.cut()
        terminal.close()

    def close(self) -> None:
        """End it."""
        self.unplug()
        if self._server is not None:
            self._server.close()

    def _typed(self, data: bytes) -> None:
        assert self._terminal is not None
        if self._hand is not None and not self.line.is_taken:
            self._hand.saw(data)
        self.line.from_client(self._terminal.write, data)

    def _left(self) -> None:
        if self._hand is not None:
            self._hand.let_go()

    # --- what the server of RFC 2217 needs ---

    def client_came(self, send: Callable[[bytes], None]) -> bool:
        """Give the line to a client over TCP; False if somebody else has it."""
        terminal = self._terminal
        if terminal is None or self.line.is_taken or terminal.is_open:
            return False
        terminal.lock()
        self.line.attach(send)
        return True

    def client_sent(self, send: Callable[[bytes], None], data: bytes) -> None:
        """Take what it types."""
        self.line.from_client(send, data)

    def client_left(self, send: Callable[[bytes], None]) -> None:
        """Take the line back."""
        self.line.detach(send)
        if self._terminal is not None:
            self._terminal.unlock()

    def purge_to_chip(self) -> None:
        """Drop what has not reached the chip yet."""
        self.line.purge_to_chip()
