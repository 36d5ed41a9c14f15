"""A board's serial line over TCP with its control lines (RFC 2217): the server of `board.url`.

Every request is answered at once, in the order it came. One client at a time: a second is told so
and hung up on. DTR and RTS go to whatever is wired to them; when a client leaves, both fall.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Protocol

from fanal.sim import telnet
from fanal.sim.telnet import COM_PORT, DO, DONT, WILL, WONT, Option, Subnegotiation

_BUSY = b"This port is in use.\r\n"
_GRACE_S = 0.5  # how long a client may wait for the one before it to be gone
_LOST_BEYOND = 1 << 20  # bytes that a client does not read

_SET_BAUD, _SET_CONTROL, _ASK_LINE, _ASK_MODEM, _PURGE = 1, 5, 6, 7, 12
_ANSWER = 100  # added to a request's number
_DTR_ON, _DTR_OFF, _RTS_ON, _RTS_OFF = 8, 9, 11, 12
_PURGE_TO_CHIP = (2, 3)
_MODEM_READY = 0xB0  # CTS, DSR and carrier are there
_AGREED = {telnet.BINARY, telnet.SUPPRESS_GO_AHEAD, COM_PORT}


class Wire(Protocol):
    """What the server needs of the board's line."""

    def client_came(self, send: Callable[[bytes], None]) -> bool:
        """Give the line to a client; False if somebody else has it."""

    def client_sent(self, send: Callable[[bytes], None], data: bytes) -> None:
        """Take what it types."""

    def client_left(self, send: Callable[[bytes], None]) -> None:
        """Take the line back."""

    def set_lines(self, dtr: bool, rts: bool) -> None:
        """Follow the control lines; true is asserted."""

    def purge_to_chip(self) -> None:
        """Drop what has not reached the chip yet."""


class Server:
    """Listens on a port of the loopback interface until `close`; `hang_up` lets it come back."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._loop = asyncio.get_running_loop()
        # holds the number while the line is unplugged, so that it comes back where it was
        self._claim = _bound(0)
        self.port: int = self._claim.getsockname()[1]
        self._listener: socket.socket | None = None
        self._clients: set[_Client] = set()
        self.listen()

    def listen(self) -> None:
        """Take clients."""
        if self._listener is None:
            self._listener = _bound(self.port)
            self._listener.listen(4)
            self._loop.add_reader(self._listener, self._accept)

    def hang_up(self) -> None:
        """End all connections and take no more: the line is unplugged."""
        for client in tuple(self._clients):
            client.close()
        if self._listener is not None:
            self._loop.remove_reader(self._listener)
            self._listener.close()
            self._listener = None

    def close(self) -> None:
        """End it."""
        self.hang_up()
        self._claim.close()

    def _accept(self) -> None:
        assert self._listener is not None
        try:
            connection, _ = self._listener.accept()
        except (BlockingIOError, ConnectionError):
            return
        client = _Client(connection, self._wire, self._clients.discard)
        self._clients.add(client)
        client.begin(self._loop.time() + _GRACE_S)


class _Client:
    """One connection."""

    def __init__(
        self, connection: socket.socket, wire: Wire, on_end: Callable[[_Client], None]
    ) -> None:
        self._connection, self._wire, self._on_end = connection, wire, on_end
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._loop = asyncio.get_running_loop()
        self._parser = telnet.Parser()
        self._answered: set[tuple[int, int]] = set()
        self._out = bytearray()
        self._baud = 115200
        self._dtr = self._rts = False
        self._has_line = self._is_closed = False

    def begin(self, patient_until_s: float) -> None:
        """Take the line, or wait a moment for it, or hang up."""
        if self._is_closed:
            return
        if self._wire.client_came(self.send):
            self._has_line = True
            self._loop.add_reader(self._connection, self._read)
        elif self._loop.time() < patient_until_s:
            self._loop.call_later(0.02, self.begin, patient_until_s)
        else:
            self._write(_BUSY)
            self.close()

    def send(self, data: bytes) -> None:
        """Send what the chip says."""
        self._write(telnet.escape(data))

    def close(self) -> None:
        """Hang up."""
        if self._is_closed:
            return
        self._is_closed = True
        self._loop.remove_reader(self._connection)
        self._loop.remove_writer(self._connection)
        self._connection.close()
        self._on_end(self)
        if self._has_line:
            self._wire.client_left(self.send)
            self._wire.set_lines(False, False)

    def _read(self) -> None:
        try:
            data = self._connection.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        for event in self._parser.feed(data):
            if self._is_closed:  # a fault on the line may end it in between
                return
            self._take(event)

    def _take(self, event: telnet.Event) -> None:
        if isinstance(event, Option):
            self._negotiate(event)
        elif isinstance(event, Subnegotiation):
            if event.content[:1] == bytes((COM_PORT,)) and len(event.content) > 1:
                self._com_port(event.content[1], event.content[2:])
        else:
            self._wire.client_sent(self.send, event)

    def _negotiate(self, asked: Option) -> None:
        is_fine = asked.option in _AGREED
        answer = {
            DO: WILL if is_fine else WONT,
            WILL: DO if is_fine else DONT,
            DONT: WONT,
            WONT: DONT,
        }[asked.verb]
        if (answer, asked.option) in self._answered:  # an answer to an answer never ends
            return
        self._answered.add((answer, asked.option))
        self._write(bytes((telnet.IAC, answer, asked.option)))
        if asked.option == COM_PORT and is_fine:
            self._answer(_ASK_MODEM, bytes((_MODEM_READY,)))

    def _com_port(self, request: int, value: bytes) -> None:
        if request == _SET_BAUD and len(value) == 4:
            self._baud = int.from_bytes(value, "big") or self._baud
            value = self._baud.to_bytes(4, "big")
        elif request == _SET_CONTROL and value:
            value = bytes((self._control(value[0]),))
        elif request == _ASK_LINE:
            value = b"\0"
        elif request == _ASK_MODEM:
            value = bytes((_MODEM_READY,))
        elif request == _PURGE and value and value[0] in _PURGE_TO_CHIP:
            self._wire.purge_to_chip()
        elif request in (2, 3, 4) and value == b"\0":  # what is it now: 8, none, 1
            value = bytes((8 if request == 2 else 1,))
        if request <= _PURGE:
            self._answer(request, value)

    def _control(self, value: int) -> int:
        """Do what a control value asks; return the value to answer with."""
        before = self._dtr, self._rts
        if value in (_DTR_ON, _DTR_OFF):
            self._dtr = value == _DTR_ON
        elif value in (_RTS_ON, _RTS_OFF):
            self._rts = value == _RTS_ON
        if (self._dtr, self._rts) != before:
            self._wire.set_lines(self._dtr, self._rts)
        questions = {
            0: 1,  # no flow control
            4: 6,  # no break
            7: _DTR_ON if self._dtr else _DTR_OFF,
            10: _RTS_ON if self._rts else _RTS_OFF,
            13: 14,
        }
        return questions.get(value, value)

    def _answer(self, request: int, value: bytes) -> None:
        self._write(telnet.subnegotiation(bytes((COM_PORT, request + _ANSWER)) + value))

    def _write(self, data: bytes) -> None:
        if self._is_closed or len(self._out) + len(data) > _LOST_BEYOND:
            return
        self._out += data
        self._flush()

    def _flush(self) -> None:
        try:
            while self._out:
                del self._out[: self._connection.send(self._out)]
        except BlockingIOError:
            self._loop.add_writer(self._connection, self._flush)
            return
        except OSError:
            self._out.clear()
        self._loop.remove_writer(self._connection)


def _bound(port: int) -> socket.socket:
    """Return a socket on that port of the loopback interface; several may be bound to it."""
    bound = socket.socket()
    bound.setblocking(False)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind(("127.0.0.1", port))
    return bound
