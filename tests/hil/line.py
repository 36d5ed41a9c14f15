"""The bare serial line, for what no tool does: interrupt, babble, listen, pull the reset line."""

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import serial
from fanal.error import BoardLost
from fanal.serial_port import is_url, why_not

RAW_PROMPT = b"raw REPL; CTRL-B to exit\r\n>"

_BAUD = 115200
_POLL_S = 0.02
_ASK_AGAIN_S = 0.5
_RESET_PULSE_S = 0.1
_MARK = "fanal_hil_mark"


class Line:
    """An open serial line. Every failure of it is a FanalError."""

    def __init__(self, port: str, opened: Any) -> None:
        self.port, self._serial = port, opened

    def write(self, data: bytes) -> None:
        """Send bytes."""
        with _translated(self.port):
            self._serial.write(data)

    def heard_for(self, seconds: float) -> bytes:
        """Return all that comes within some time."""
        return self.read_until(timeout_s=seconds)

    def read_until(self, *ends: bytes, timeout_s: float = 5.0) -> bytes:
        """Return what comes until one of `ends` is in it, or until the time is over."""
        heard, deadline_s = b"", time.monotonic() + timeout_s
        while time.monotonic() < deadline_s:
            with _translated(self.port):
                heard += self._serial.read(self._serial.in_waiting or 1)
            if any(end in heard for end in ends):
                break
        return heard

    def prompt(self, timeout_s: float = 6.0) -> bool:
        """Interrupt whatever runs; return whether the board is at its raw prompt then.

        A board that boots hears nothing yet, so it is asked again and again.
        """
        deadline_s = time.monotonic() + timeout_s
        while (left_s := deadline_s - time.monotonic()) > 0:
            self.write(b"\r\x03\x03\r\x01")
            if RAW_PROMPT in self.read_until(RAW_PROMPT, timeout_s=min(_ASK_AGAIN_S, left_s)):
                return True
        return False

    def require_prompt(self) -> None:
        """Interrupt whatever runs. Raises BoardLost if no prompt comes."""
        if not self.prompt():
            raise BoardLost(
                f"No prompt comes on {self.port}.", "Check the cable.", code="silent",
                port=self.port,
            )  # fmt: skip

    def is_dead(self) -> bool:
        """Return whether nobody is at the prompt and nothing answers an interrupt."""
        try:
            return not self.prompt(timeout_s=1.5)
        except BoardLost:
            return True

    def begin(self, code: str) -> None:
        """Start code at the raw prompt without waiting for its end. Raises BoardLost."""
        self.write(code.encode() + b"\x04")
        if b"OK" not in self.read_until(b"OK"):
            raise BoardLost(
                f"The prompt on {self.port} took no code.", "Check the cable.", code="silent",
                port=self.port,
            )  # fmt: skip

    def mark(self) -> None:
        """Leave a mark in the interpreter's memory, which no reset survives."""
        self.require_prompt()
        self.begin(f"{_MARK} = 1")

    def is_marked(self) -> bool | None:
        """Return whether the mark is still there: whether it was not reset; None: no answer."""
        try:
            if not self.prompt():
                return None
            self.write(f"print('mark', {_MARK!r} in globals())\x04".encode())
            return b"mark True" in self.read_until(b"mark True", b"mark False")
        except BoardLost:  # a chip's own USB goes away with a reset
            return False

    def pull_reset(self) -> bool:
        """Pull the reset line as a USB bridge's does; False if the line has no such wires."""
        try:
            self._serial.dtr = False
            self._serial.rts = True
            time.sleep(_RESET_PULSE_S)
            self._serial.rts = False
        except (OSError, ValueError):
            return False
        return True


def resets_by_wire(port: str) -> bool:
    """Find out whether a board is reset by DTR and RTS of its line. Raises FanalError."""
    if is_url(port) and not port.startswith("rfc2217://"):
        return False
    with open_line(port) as line:
        if line.prompt():
            line.mark()
        return line.pull_reset() and line.is_marked() is False


@contextlib.contextmanager
def open_line(port: str) -> Iterator[Line]:
    """Open the bare line. Raises DeviceError, EnvironmentFault."""
    try:
        opened = serial.serial_for_url(port, _BAUD, timeout=_POLL_S, exclusive=True)
    except (OSError, ValueError):
        raise why_not(port) from None
    try:
        yield Line(port, opened)
    finally:
        with contextlib.suppress(OSError):
            opened.close()


@contextlib.contextmanager
def _translated(port: str) -> Iterator[None]:
    try:
        yield
    except (OSError, serial.SerialException):
        raise BoardLost(
            f"The line {port} broke.", "Check the cable.", code="unplugged", port=port
        ) from None
