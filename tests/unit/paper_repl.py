"""A serial line with a raw REPL at its other end, made of a pseudo-terminal and a thread.

What the board says is scripted: `answer(code) -> (output, error)` in bytes, or None for silence.
"""

import os
import select
import threading
import tty
from collections.abc import Callable
from pathlib import Path

BANNER = b"raw REPL; CTRL-B to exit\r\n"
LEAVE = "console.leave()"


class PaperRepl:
    """`port` is a symbolic link, as every board's must be: mpremote treats /dev/pts/N specially."""

    def __init__(self, folder: Path, answer: Callable[[str], tuple[bytes, bytes] | None]) -> None:
        self.answer = answer
        self.ran: list[str] = []
        self.is_deaf = False
        self.chatter = b""  # said at each Ctrl-C, by a board that hears nothing
        self.resets = 0
        self._typed = b""
        self._is_raw = False
        self._skip = 0
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        self.port = str(folder / "port")
        os.symlink(os.ttyname(self._slave), self.port)
        self._stop, self._stopper = os.pipe()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def __enter__(self) -> "PaperRepl":
        return self

    def __exit__(self, *_: object) -> None:
        os.write(self._stopper, b"x")
        self._thread.join()
        for handle in (self._stop, self._stopper):
            os.close(handle)
        if self._master >= 0:
            self.unplug()

    def unplug(self) -> None:
        """Take the cable out."""
        os.unlink(self.port)
        os.close(self._slave)
        os.close(self._master)
        self._master = -1

    def _serve(self) -> None:
        while self._master >= 0:
            ready, _, _ = select.select([self._master, self._stop], [], [])
            if self._stop in ready:
                return
            for byte in os.read(self._master, 1024):
                if not self.is_deaf:
                    self._hear(byte)
                elif byte == 3:
                    self._say(self.chatter)

    def _hear(self, byte: int) -> None:
        if self._skip:
            self._skip -= 1
        elif byte == 1:
            self._is_raw, self._typed = True, b""
            self._say(b"\r\n" + BANNER + b">")
        elif byte == 2:
            self._is_raw = False
            self._say(b"\r\n>>> ")
        elif byte == 3:
            self._typed = b""
        elif byte == 4 and self._is_raw and self._typed.strip():
            code, self._typed = self._typed.decode(), b""
            self._run(code)
        elif byte == 4:
            self.resets += 1
            prompt = BANNER + b">" if self._is_raw else b">>> "
            self._say(b"OK\r\nMPY: soft reboot\r\n" + prompt)
        elif byte == 5:  # raw paste is wanted: known and not supported; "A" and ctrl-A belong to it
            self._skip = 2
            self._say(b"R\x00")
        else:
            self._typed += bytes([byte])

    def _run(self, code: str) -> None:
        self.ran.append(code)
        result = self.answer(code)
        if result is None:
            self.is_deaf = True
        elif self._master >= 0:
            output, error = result
            self._say(b"OK" + output + b"\x04" + error + b"\x04>")

    def _say(self, text: bytes) -> None:
        os.write(self._master, text)
