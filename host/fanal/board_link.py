"""The wire to one beacon: its console, called through a MicroPython prompt (repl.py)."""

import contextlib
import json
import re
from typing import Any

from fanal import repl
from fanal.error import BoardLost, BoardRefused, FanalError
from fanal.printable import printable
from fanal.repl import LOST, Repl, exception_kind

_LEAVE_S = 3.0
_LONGEST_QUOTE = 160
_WORD = re.compile(r"[a-z_]{1,24}")


class BoardLink(Repl):
    """A beacon attached by wire, from `with` to the end of the block.

    The end of the block always hands the board back to its loop, whatever happened inside, so that
    it is not left deaf to a squeeze.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        """See Repl."""
        super().__init__(*args, **options)
        self._mac: str | None = None

    def call(self, function: str, *args: str | int) -> dict[str, Any]:
        """Call one console function and return its JSON object.

        Raises BoardRefused (it said no), BoardLost (no answer, or not a beacon's).
        """
        arguments = ", ".join(repr(arg) for arg in args)
        command = f"from beacon import console\nconsole.{function}({arguments})"
        output, problem = self._exchange(command, self._answer_s)
        if problem:
            raise self._not_a_console(function, problem)
        reply = self._parsed(function, output)
        if reply.get("ok") is not True:
            raise BoardRefused(
                _quoted(reply.get("message", "The board refused."), args),
                "`fanal verify` says what is wrong with the board.",
                code=_word(reply.get("error")),
                port=self.port,
            )
        return self._same_board(reply)

    def _leave(self) -> None:
        # a call may have been interrupted: get a prompt first
        self._enter(soft_reset=False, patience_s=repl.RAW_PROMPT_S)
        command = "from beacon import console\nconsole.leave()"
        self._transport.exec_raw_no_follow(command)
        answer = self._transport.read_until(1, b"\n", _LEAVE_S)
        if b'"ok": true' not in answer and b'"ok":true' not in answer:
            # not our console: at least start its own program again
            self._transport.serial.write(b"\r\x03\x02\x04")
            raise OSError("it did not leave")
        with contextlib.suppress(*LOST):  # it may be restarting already
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
                    f"Another board answers on {self.port} now ({_quoted(mac)}).",
                    "Connect one beacon at a time to this port, and start again.",
                    code="other_board",
                    port=self.port,
                )
            self._mac = mac
        return reply

    def _not_a_console(self, function: str, problem: bytes) -> FanalError:
        # the traceback may quote what was sent, which may be a key: only its type goes on
        kind = exception_kind(problem)
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


def _quoted(said: object, args: tuple[str | int, ...] = ()) -> str:
    """Return what a board said, without any long argument: that may be a key."""
    text = str(said)
    for arg in args:
        if isinstance(arg, str) and len(arg) >= 16:
            text = re.sub(re.escape(arg), "...", text, flags=re.IGNORECASE)
    return printable(text, _LONGEST_QUOTE)  # cut last: half a key is one that nothing finds


def _word(said: object) -> str:
    """Return a console's word for a reason; whatever is no such word may quote what was sent."""
    return said if isinstance(said, str) and _WORD.fullmatch(said) else "refused"
