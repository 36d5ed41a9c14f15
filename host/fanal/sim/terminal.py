"""The public end of a board's serial line: a raw pseudo-terminal behind a symbolic link.

The link matters: mpremote treats /dev/pts/N as a special case in which its timeouts are off.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import tty
from collections.abc import Callable
from pathlib import Path

from fanal.sim.openings import Openings


class Terminal:
    """A pseudo-terminal at `link`; what a client types goes to `on_input(bytes)`.

    on_left: called when the last client has closed it.
    """

    def __init__(
        self,
        link: Path,
        on_input: Callable[[bytes], None],
        on_left: Callable[[], None] = lambda: None,
    ) -> None:
        self.link = link
        self._on_input, self._on_left = on_input, on_left
        self._ours, self._theirs = os.openpty()  # both stay open: clients come and go
        tty.setraw(self._theirs)
        os.set_blocking(self._ours, False)
        self._openings = Openings(os.ttyname(self._theirs))
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(os.ttyname(self._theirs))
        self._waiting = bytearray()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._ours, self._read)
        self._was_open = False
        self._loop.add_reader(self._openings.fd, self._look_who_is_there)

    @property
    def is_open(self) -> bool:
        """Has a client opened it?"""
        was_open, self._was_open = self._was_open, self._openings.count() > 0
        if was_open and not self._was_open:  # whoever asks may be the first to learn it
            self._loop.call_soon(self._on_left)
        return self._was_open

    def lock(self) -> None:
        """Keep clients away that ask for the line for themselves, as mpremote and esptool do."""
        fcntl.flock(self._theirs, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def unlock(self) -> None:
        """Let clients in again."""
        fcntl.flock(self._theirs, fcntl.LOCK_UN)

    def write(self, data: bytes) -> None:
        """Send to whoever is attached. With nobody there, or beyond 64 KB, it is lost."""
        if not self.is_open:
            self._waiting.clear()
            return
        self._waiting += data
        self._flush()
        if len(self._waiting) > 1 << 16:
            del self._waiting[: -(1 << 16)]

    def close(self) -> None:
        """Take the line away, as unplugging does."""
        self._loop.remove_reader(self._ours)
        self._loop.remove_writer(self._ours)
        self._loop.remove_reader(self._openings.fd)
        self.link.unlink(missing_ok=True)
        self._openings.close()
        os.close(self._ours)
        os.close(self._theirs)

    def _look_who_is_there(self) -> None:
        _ = self.is_open

    def _read(self) -> None:
        try:
            data = os.read(self._ours, 65536)
        except (BlockingIOError, OSError):
            return
        self._on_input(data)

    def _flush(self) -> None:
        try:
            while self._waiting:
                del self._waiting[: os.write(self._ours, self._waiting)]
        except BlockingIOError:
            self._loop.add_writer(self._ours, self._flush)
            return
        self._loop.remove_writer(self._ours)
