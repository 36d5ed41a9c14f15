"""A plain MicroPython for Unix, with no stand-ins, at the end of a pseudo-terminal.

The interpreter runs its own prompt on a terminal of its own; bytes are carried between that and
the terminal that a client opens. Where Ctrl-D, a soft reset on a board, ends the process, another
one is started, in the raw prompt if the client was in it.
"""

import os
import re
import selectors
import shutil
import subprocess
import termios
import threading
import tty
from pathlib import Path

from tests.micropython.interpreter import INTERPRETER, ROOT

_TO_RAW, _TO_FRIENDLY = b"\x01", b"\x02"
_LONE_NEWLINE = re.compile(rb"(?<!\r)\n")


def install_sources(folder: Path) -> None:
    """Put the firmware into `folder` as on a board, every module as source."""
    shutil.copytree(ROOT / "firmware" / "beacon", folder / "lib" / "beacon")
    shutil.copytree(ROOT / "protocol" / "fanal_protocol", folder / "lib" / "fanal_protocol")
    for name in ("boot.py", "main.py"):
        shutil.copy(ROOT / "firmware" / name, folder)


def install_image(folder: Path, image: Path) -> None:
    """Put an image into `folder`: what a board holds, without the manifest."""
    shutil.copytree(image, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("manifest*"))


class PlainBoard:
    """The interpreter in `flash`, the folder that is its file system; `port` is what tools open.

    `with PlainBoard(flash) as board`. boots: how often it was started.
    """

    def __init__(self, flash: Path) -> None:
        self._flash = flash
        # a link: mpremote treats /dev/pts/N specially
        self.port = f"{flash}.port"
        self.boots = 0

    def __enter__(self) -> "PlainBoard":
        self._line, self._client = os.openpty()  # the client's end stays open between clients
        tty.setraw(self._client)
        os.symlink(os.ttyname(self._client), self.port)
        self._stop, self._stopped = os.pipe()
        self._is_raw, self._last = False, b""
        self._start()
        self._thread = threading.Thread(target=self._carry)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        os.write(self._stopped, b"x")
        self._thread.join()
        self._end()
        os.unlink(self.port)
        for handle in (self._line, self._client, self._stop, self._stopped):
            os.close(handle)

    def _start(self) -> None:
        self._inner, its = os.openpty()
        mode = termios.tcgetattr(its)
        # as a board has it: nothing is echoed, Ctrl-C interrupts what runs
        mode[0], mode[1], mode[3] = 0, 0, termios.ISIG
        mode[6][termios.VMIN], mode[6][termios.VTIME] = 1, 0
        mode[6][termios.VQUIT] = mode[6][termios.VSUSP] = b"\0"
        termios.tcsetattr(its, termios.TCSANOW, mode)
        self._process = subprocess.Popen(
            ["setsid", "-c", str(INTERPRETER)],
            cwd=self._flash, stdin=its, stdout=its, stderr=its,
            env={**os.environ, "MICROPYPATH": f".frozen{os.pathsep}lib"},
        )  # fmt: skip
        os.close(its)
        self.boots += 1
        if self._is_raw:
            os.write(self._inner, b"\r" + _TO_RAW)

    def _end(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._inner)

    def _carry(self) -> None:
        """Carry bytes both ways until `_stop` says so."""
        with selectors.DefaultSelector() as ready:
            ready.register(self._stop, selectors.EVENT_READ)
            ready.register(self._line, selectors.EVENT_READ)
            ready.register(self._inner, selectors.EVENT_READ)
            while True:
                handles = {key.fd for key, _ in ready.select()}
                if self._stop in handles:
                    return
                if self._line in handles:
                    self._typed(os.read(self._line, 4096))
                if self._inner in handles and not self._said():
                    ready.unregister(self._inner)
                    self._end()
                    os.write(self._line, b"MPY: soft reboot\r\n")
                    self._start()
                    ready.register(self._inner, selectors.EVENT_READ)

    def _typed(self, data: bytes) -> None:
        last = max(data.rfind(_TO_RAW), data.rfind(_TO_FRIENDLY))
        if last >= 0:
            self._is_raw = data[last : last + 1] == _TO_RAW
        os.write(self._inner, data)

    def _said(self) -> bool:
        """Pass on what the interpreter printed; False if it has ended."""
        try:
            data = os.read(self._inner, 4096)
        except OSError:  # the terminal of a process that is gone
            return False
        # a board ends lines with two bytes; here the prompt does, and programs do not
        os.write(self._line, _LONE_NEWLINE.sub(b"\r\n", self._last + data)[len(self._last) :])
        self._last = b"\r" if data.endswith(b"\r") else b""
        return bool(data)
