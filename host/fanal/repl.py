"""A MicroPython prompt on a serial line, through mpremote: the only module that imports it.

mpremote's Python API is declared unstable and pinned; on a lost board it raises three kinds of
exceptions and prints to stdout. Here all of that becomes one sentence, and what was sent, which
may be a key, appears in none of them.
"""

import base64
import contextlib
import math
import re
import struct
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self

from mpremote import transport_serial
from mpremote.transport import TransportError
from mpremote.transport_serial import SerialTransport

from fanal import serial_port
from fanal.error import BoardLost, DeviceError, FanalError

# its remarks on stdout would spoil our results; redirecting stdout would swallow other threads'
transport_serial.print = lambda *_: None

HALF_WRITTEN = ".new"  # behind the name of a file until it is whole
ANSWER_S = 30.0
ATTACH_S = 20.0
READ_S = 5.0

_HAND_BACK_S = 15.0
_GREETING_S = 0.7  # a chip that finds nothing to run says so twice a second or more
RAW_PROMPT_S = 1.5
_RESET_S = 8.0
_RESTART_S = 0.3
_LOOK_AGAIN_S = 0.1
# a port on its way: udev opens it to its group a moment after it is there
_GONE = ("no_port", "permission", "unplugged", "silent")
LOST = (TransportError, OSError, struct.error)  # serial.SerialException is an OSError
_EXCEPTION = re.compile(r"[A-Z][A-Za-z]{1,30}(Error|Exception|Interrupt|Exit)\b")
# a board with nothing to run says so, in the words of its ROM or of its second boot loader
_NOTHING_TO_RUN = re.compile(
    rb"invalid header: 0x|waiting for download|flash read err|csum err|No bootable app"
    rb"|Image hash failed|image at 0x\w+ has invalid magic|ets_main\.c"
)
# A beacon goes back to its loop in its own way: an event that is open goes on.
_START_ANEW = """
try:
    from beacon import console
    console.leave()
except (ImportError, AttributeError):
    pass
import machine
machine.reset()
"""
_CHUNK_BYTES = 3072  # of a file in one command: its text has to fit into the heap of a board


class ScriptFailed(DeviceError):
    """What was run on a board raised an exception. kind: its type, such as "OSError".

    errno: its number, None if it has none.
    """

    code = "board_failed"

    def __init__(self, port: str, kind: str, errno: int | None = None) -> None:
        super().__init__(
            f"The board on {port} failed at what it was asked ({kind}).",
            "Reset it and try again; if it fails again, flash it anew.",
            port=port,
        )
        self.kind, self.errno = kind, errno


class Repl:
    """The raw prompt of a MicroPython board, from `with` to the end of the block.

    Entering waits for the prompt and restarts the interpreter, for a clean heap. The end of the
    block always starts the board's own program again, whatever happened inside.
    """

    def __init__(
        self,
        port: str,
        *,
        attach_s: float = ATTACH_S,
        answer_s: float = ANSWER_S,
        appear_s: float = 0.0,
        on_waiting: Callable[[], None] | None = None,
    ) -> None:
        """port: a device path, never resolved (mpremote treats /dev/pts/N specially), or a URL.

        attach_s: how long to wait for a prompt; answer_s: for an answer; appear_s: for the port,
        which goes and comes again when a board with its own USB was reset. on_waiting: called once
        if the prompt does not come at once, to tell a person to press the reset button.
        """
        self.port = port
        self._attach_s = attach_s
        self._answer_s = answer_s
        self._appear_s = appear_s
        self._on_waiting = on_waiting
        self._transport: Any = None
        self._has_interrupted = False  # the board's program, by getting a prompt
        self._until_s = math.inf

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.port!r})"

    def __enter__(self) -> Self:
        """Attach. Raises DeviceError (code "nothing_to_run": a boot loader answers)."""
        deadline = time.monotonic() + self._appear_s
        while True:
            try:
                self._begin()
            except FanalError as problem:
                if problem.code not in _GONE or time.monotonic() >= deadline:
                    raise
                time.sleep(_LOOK_AGAIN_S)
            else:
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

    def restart(self) -> None:
        """Restart the interpreter, so that what is imported next is what is in flash now."""
        try:
            self._enter(soft_reset=True, patience_s=_RESET_S)
        except LOST:
            raise self._lost() from None

    def run(self, code: str, answer_s: float | None = None) -> str:
        """Run lines of Python on the board and return what they printed.

        Raises ScriptFailed (they raised), BoardLost.
        """
        output, problem = self._exchange(code, answer_s or self._answer_s)
        if problem:
            raise ScriptFailed(self.port, exception_kind(problem), _exception_errno(problem))
        return output.decode("utf-8", "replace")

    def write_file(self, path: str, content: bytes) -> None:
        """Write a file of the board, whole or not at all; its folder has to be there.

        Raises ScriptFailed, BoardLost. It is not read back: see install.py.
        """
        temporary = path + HALF_WRITTEN
        head = f"import os\nfrom binascii import a2b_base64 as d\nf=open({temporary!r},'wb')\n"
        for at in range(0, len(content), _CHUNK_BYTES):
            chunk = base64.b64encode(content[at : at + _CHUNK_BYTES])
            self.run(f"{head}f.write(d({chunk!r}))")
            head = ""
        self.run(f"{head}f.close()\nos.rename({temporary!r},{path!r})")

    # -- attaching and leaving

    def _begin(self) -> None:
        self._transport = self._open()
        self._has_interrupted = False
        try:
            self._attach()
        except BaseException:
            if self._has_interrupted:
                self._hand_back()
            else:
                self._close()
            raise

    def _open(self) -> Any:
        try:
            transport = SerialTransport(self.port, exclusive=True, timeout=READ_S)
        except (*LOST, ValueError):  # pyserial's word for a URL that is none
            raise serial_port.why_not(self.port) from None
        with contextlib.suppress(NotImplementedError):  # over RFC 2217 the network has its own
            transport.serial.write_timeout = READ_S
        read = transport.serial.read
        transport.serial.read = lambda count=1: self._in_time(read(count))
        return transport

    def _in_time(self, data: bytes) -> bytes:
        if time.monotonic() >= self._until_s:
            raise TransportError("it never stops talking")
        return data

    @contextlib.contextmanager
    def _within(self, seconds: float) -> Iterator[None]:
        """Give up after so long in all: mpremote's own limits hold only while nothing comes."""
        outer, self._until_s = self._until_s, min(self._until_s, time.monotonic() + seconds)
        try:
            yield
        finally:
            self._until_s = outer

    def _attach(self) -> None:
        deadline = time.monotonic() + self._attach_s
        is_first = True
        while True:
            try:
                self._greet()
                self._enter(soft_reset=False, patience_s=RAW_PROMPT_S)
                self._has_interrupted = True
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

    def _greet(self) -> None:
        """Ask for a prompt, and hear at once of a board that has none to give."""
        line, heard = self._transport.serial, b""
        line.write(b"\r\x03")
        deadline = time.monotonic() + _GREETING_S
        while time.monotonic() < deadline and not heard.endswith((b">>> ", b"\r\n>")):
            heard = (heard + line.read(line.in_waiting))[-4096:]
            if _NOTHING_TO_RUN.search(heard):
                raise DeviceError(
                    f"The board on {self.port} is in its boot loader: it has nothing to run.",
                    "Flash it with `fanal flash`.",
                    code="nothing_to_run",
                    port=self.port,
                )
            time.sleep(0.005)

    def _enter(self, *, soft_reset: bool, patience_s: float) -> None:
        with self._within(3 * patience_s):  # it waits for three things at most
            self._transport.enter_raw_repl(soft_reset, patience_s)

    def _hand_back(self) -> bool:
        """Return the board to its program and close the port; say whether that is certain."""
        try:
            with self._within(_HAND_BACK_S):
                self._leave()
        except LOST:
            return False
        else:
            return True
        finally:
            self._close()

    def _close(self) -> None:
        with contextlib.suppress(*LOST):
            self._transport.close()

    def _leave(self) -> None:
        """Have the board start anew. A call may have been interrupted: get a prompt first."""
        self._enter(soft_reset=False, patience_s=RAW_PROMPT_S)
        with contextlib.suppress(*LOST):  # it restarts, and a port of its own goes with it
            self._transport.exec_raw_no_follow(_START_ANEW)
            answer = self._transport.read_until(1, b"\x04>", _RESTART_S)
            if answer.endswith(b"\x04>"):  # it cannot: the prompt's own soft reset, then
                self._transport.serial.write(b"\x02\x04")

    # -- answers

    def _exchange(self, code: str, answer_s: float) -> tuple[bytes, bytes]:
        try:
            with self._within(answer_s + READ_S):
                output, problem = self._transport.exec_raw(code, answer_s)
        except LOST:
            raise self._lost() from None
        return output, problem

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


def exception_kind(trace: bytes) -> str:
    """Return the type of the exception in a board's traceback, which may quote what was sent."""
    last = trace.decode("utf-8", "replace").strip().rsplit("\n", 1)[-1]
    found = _EXCEPTION.match(last)
    return found.group() if found else "no reason given"


def _exception_errno(trace: bytes) -> int | None:
    """Return the number of an OSError: "OSError: [Errno 28] ENOSPC", "OSError: 28"."""
    found = re.search(rb"OSError: (?:\[Errno |\(?)?-?(\d{1,5})\b", trace)
    return int(found[1]) if found else None
