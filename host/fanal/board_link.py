"""The wire to one board, through mpremote: the only module that imports it.

mpremote's Python API is declared unstable and pinned; on a lost board it raises three kinds of
exceptions and prints to stdout. Here all of that becomes one sentence, and what was sent, which
may be a key, appears in none of them.
"""

import contextlib
import json
import re
import struct
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from mpremote import transport_serial
from mpremote.transport import TransportError
from mpremote.transport_serial import SerialTransport

from fanal import serial_port
from fanal.error import BoardLost, BoardRefused, FanalError

# its remarks on stdout would spoil our results; redirecting stdout would swallow other threads'
transport_serial.print = lambda *_: None

ANSWER_S = 30.0
ATTACH_S = 20.0
READ_S = 5.0

_RAW_PROMPT_S = 1.5
_RESET_S = 8.0
_LEAVE_S = 3.0
_LOST = (TransportError, OSError, struct.error)  # serial.SerialException is an OSError
_LONGEST_QUOTE = 160
_EXCEPTION = re.compile(r"[A-Z][A-Za-z]{1,30}(Error|Exception|Interrupt|Exit)\b")


class BoardLink:
    """A beacon attached by wire, from `with` to the end of the block.

    Entering waits for the board's prompt and restarts its interpreter, for a clean heap. The end
    of the block always hands the board back to its loop, whatever happened inside, so that it is
    not left deaf to a squeeze.
    """

    def __init__(
        self,
        port: str,
        *,
        attach_s: float = ATTACH_S,
        answer_s: float = ANSWER_S,
        on_waiting: Callable[[], None] | None = None,
    ) -> None:
        """port: a device path, never resolved (mpremote treats /dev/pts/N specially).

        attach_s: how long to wait for a prompt; answer_s: for an answer. on_waiting: called once
        if the prompt does not come at once, to tell a person to press the reset button.
        """
        self.port = port
        self._attach_s = attach_s
        self._answer_s = answer_s
        self._on_waiting = on_waiting
        self._transport: Any = None
        self._mac: str | None = None

    def __repr__(self) -> str:
        return f"BoardLink({self.port!r})"

    def __enter__(self) -> Self:
        """Attach. Raises DeviceError, EnvironmentFault."""
        self._transport = self._open()
        try:
            self._attach()
        except BaseException:
            self._hand_back()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._hand_back() or isinstance(problem, BoardLost):
            return
        advice = "Unplug the beacon and plug it in again, so that it is on guard."
        if isinstance(problem, FanalError):
            problem.hint = f"{problem.hint} {advice}".strip()
        elif problem is None:
            raise BoardLost(
                f"The beacon on {self.port} did not go back to its work.", advice, port=self.port
            )

    def call(self, function: str, *args: str | int) -> dict[str, Any]:
        """Call one console function and return its JSON object.

        Raises BoardRefused (it said no), BoardLost (no answer, or not a beacon's).
        """
        arguments = ", ".join(repr(arg) for arg in args)
        command = f"from beacon import console\nconsole.{function}({arguments})"
        try:
            output, problem = self._transport.exec_raw(command, self._answer_s)
        except _LOST:
            raise self._lost() from None
        if problem:
            raise self._not_a_console(function, problem)
        reply = self._parsed(function, output)
        if reply.get("ok") is not True:
            raise BoardRefused(
                _without(args, _plain(str(reply.get("message", "The board refused.")))),
                "`fanal verify` says what is wrong with the board.",
                code=_plain(str(reply.get("error", "refused"))),
                port=self.port,
            )
        return self._same_board(reply)

    # -- attaching and leaving

    def _open(self) -> Any:
        try:
            transport = SerialTransport(self.port, exclusive=True, timeout=READ_S)
        except _LOST:
            raise serial_port.why_not(self.port) from None
        transport.serial.write_timeout = READ_S
        return transport

    def _attach(self) -> None:
        deadline = time.monotonic() + self._attach_s
        is_first = True
        while True:
            try:
                self._enter(soft_reset=False, patience_s=_RAW_PROMPT_S)
                return self._enter(soft_reset=True, patience_s=_RESET_S)
            except TransportError:
                pass
            except (OSError, struct.error):
                raise self._lost() from None
            if time.monotonic() >= deadline:
                raise BoardLost(
                    f"The board on {self.port} does not answer.",
                    "Press its reset button and run the command again at once; is it the right"
                    " port, and is MicroPython on the board?",
                    code="no_answer",
                    port=self.port,
                )
            if is_first and self._on_waiting is not None:
                self._on_waiting()
            is_first = False

    def _enter(self, *, soft_reset: bool, patience_s: float) -> None:
        self._transport.enter_raw_repl(soft_reset, patience_s)

    def _hand_back(self) -> bool:
        """Return the board to its loop and close the port; say whether that is certain."""
        try:
            self._leave()
        except _LOST:
            return False
        else:
            return True
        finally:
            with contextlib.suppress(*_LOST):
                self._transport.close()

    def _leave(self) -> None:
        # a call may have been interrupted: get a prompt first
        self._enter(soft_reset=False, patience_s=_RAW_PROMPT_S)
        command = "from beacon import console\nconsole.leave()"
        self._transport.exec_raw_no_follow(command)
        answer = self._transport.read_until(1, b"\n", _LEAVE_S)
        if b'"ok": true' not in answer and b'"ok":true' not in answer:
            # not our console: at least start its own program again
            self._transport.serial.write(b"\r\x03\x02\x04")
            raise TransportError("no leave")
        with contextlib.suppress(*_LOST):  # it may be restarting already
            self._transport.exit_raw_repl()

    # -- answers

    def _parsed(self, function: str, output: bytes) -> dict[str, Any]:
        lines = output.decode("utf-8", "replace").split("\r\n")
        try:
            if len(lines) != 2 or lines[1]:
                raise ValueError
            reply = json.loads(lines[0])
            if not isinstance(reply, dict):
                raise ValueError
        except ValueError:
            raise BoardLost(
                f"The answer of {self.port} to {function} cannot be read.",
                "Check the cable, and that one board alone is on this port.",
                code="garbage",
                port=self.port,
            ) from None
        return reply

    def _same_board(self, reply: dict[str, Any]) -> dict[str, Any]:
        mac = reply.get("mac")
        if isinstance(mac, str):
            if self._mac not in (None, mac):
                raise BoardLost(
                    f"Another board answers on {self.port} now ({_plain(mac)}).",
                    "Connect one beacon at a time to this port, and start again.",
                    code="other_board",
                    port=self.port,
                )
            self._mac = mac
        return reply

    def _not_a_console(self, function: str, problem: bytes) -> FanalError:
        # the traceback may quote what was sent, which may be a key: only its type goes on
        last = problem.decode("utf-8", "replace").strip().rsplit("\n", 1)[-1]
        found = _EXCEPTION.match(last)
        kind = found.group() if found else "no reason given"
        if kind in ("ImportError", "AttributeError"):
            return BoardLost(
                f"There is no Fanal, or an older one, on the board on {self.port}.",
                "Flash the firmware of this release and try again.",
                code="not_fanal",
                port=self.port,
            )
        return BoardLost(
            f"The board on {self.port} failed at {function} ({kind}).",
            "Reset it and try again; if it fails again, flash it anew.",
            code="board_failed",
            port=self.port,
        )

    def _lost(self) -> BoardLost:
        if not serial_port.exists(self.port):
            return BoardLost(
                f"{self.port} is gone: the beacon was unplugged.",
                "Plug it in and run the command again: it goes on where it stopped.",
                code="unplugged",
                port=self.port,
            )
        return BoardLost(
            f"The beacon on {self.port} stopped answering.",
            "Check the cable, and that one board alone is on it; press its reset button and run the"
            " command again: it goes on where it stopped.",
            code="silent",
            port=self.port,
        )


def _plain(text: str) -> str:
    """Return text from a board without anything a terminal would obey."""
    return "".join(c if c.isprintable() else "?" for c in text)[:_LONGEST_QUOTE]


def _without(args: tuple[str | int, ...], text: str) -> str:
    """Return `text` without any long argument that the board may have quoted."""
    for arg in args:
        if isinstance(arg, str) and len(arg) >= 16:
            text = text.replace(arg, "...")
    return text
