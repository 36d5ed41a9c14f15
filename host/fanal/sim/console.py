"""What passes between an interpreter and the serial line, made to look like the board's.

The Unix interpreter says who it is, ends each line with LF and dies at Ctrl-D. The board says
who *it* is, ends lines with CR LF, answers Ctrl-D with "MPY: soft reboot" and stays in raw mode.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from fanal.sim.interpreter import Interpreter

_NATIVE_NAME = re.compile(rb"MicroPython [^\r\n]*; linux [^\r\n]*")
_PROMPT = b">>> "
_RAW_BANNER = b"raw REPL; CTRL-B to exit\r\n>"
_FRIENDLY_BANNER = b'Type "help()" for more information.\r\n>>> '
_LONE_LF = re.compile(rb"(?<!\r)\n")
_MOST_TEXT = 1 << 20

_PASS, _BANNER, _RAW_ENTRY = "pass", "banner", "raw entry"


class Console:
    """The line discipline of one board."""

    def __init__(self, machine: str, write: Callable[[bytes], None]) -> None:
        self._machine, self._name = machine, b""
        self._write = write
        self._text = bytearray()
        self._interpreter: Interpreter | None = None
        self._phase = _PASS
        self._held = b""
        self._tail = b""
        self._is_raw = False
        self.wants_raw = False
        self.listens = False

    def text(self) -> str:
        """Return what was printed, the last megabyte of it."""
        return self._text.decode(errors="replace")

    def began(self, interpreter: Interpreter, build: str) -> None:
        """An interpreter starts; what is typed until it listens goes nowhere.

        build: of its banner, "v1.28.0 on 2026-04-06".
        """
        self._name = f"MicroPython {build}; {self._machine}".encode()
        self._interpreter = interpreter
        self._phase, self._held, self.listens = _PASS, b"", False

    def say(self, data: bytes) -> None:
        """Print what the chip itself says, which has no program."""
        self._print(data)

    def ended(self) -> None:
        """There is no interpreter any more."""
        self._interpreter = None
        self.listens = False

    def chip_reset(self) -> None:
        """A reset of the chip, unlike a soft one, forgets that it was in raw mode."""
        self._is_raw = self.wants_raw = False

    def soft_reboot(self) -> None:
        """Say what the board says at Ctrl-D; the next prompt is of the same kind."""
        self._print(b"MPY: soft reboot\r\n")
        self.wants_raw = self._is_raw

    def prompt_comes(self) -> None:
        """Programs have ended: the next that the interpreter prints is its banner."""
        if self._interpreter is not None:
            self._interpreter.drain_console()
        self._phase = _BANNER

    def received(self, data: bytes) -> None:
        """Take output of the interpreter."""
        if self._phase == _PASS:
            self._print(data)
            return
        self._held += data
        if self._phase == _BANNER and _PROMPT in self._held:
            self._end_banner()
        elif self._phase == _RAW_ENTRY and _RAW_BANNER in self._held:
            self._phase = _PASS
            self._print(self._held[self._held.index(_RAW_BANNER) :])

    def _end_banner(self) -> None:
        banner, self._held = self._held, b""
        if self.wants_raw and self._interpreter is not None:
            self._phase = _RAW_ENTRY
            self._interpreter.write(b"\x01")
        else:
            self._phase = _PASS
            self._print(banner)

    def _print(self, data: bytes) -> None:
        data = _NATIVE_NAME.sub(self._name, data)
        if self._tail.endswith(b"\r") and data.startswith(b"\n"):
            data = b"\n" + _LONE_LF.sub(b"\r\n", data[1:])
        else:
            data = _LONE_LF.sub(b"\r\n", data)
        self._note_mode(data)
        self._text += data
        del self._text[:-_MOST_TEXT]
        self._write(data)

    def _note_mode(self, data: bytes) -> None:
        recent = self._tail + data
        raw, friendly = recent.rfind(_RAW_BANNER), recent.rfind(_FRIENDLY_BANNER)
        if raw != friendly:
            self._is_raw = raw > friendly
        self._tail = recent[-len(_FRIENDLY_BANNER) + 1 :]
