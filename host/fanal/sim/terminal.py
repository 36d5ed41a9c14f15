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
        openings: Openings,
        on_input: Callable[[bytes], None],
        on_left: Callable[[], None] = lambda: None,
    ) -> None:
        self.link = link
        self._on_input = on_input
        self._ours, self._theirs = os.openpty()  # both stay open: clients come and go
        tty.setraw(self._theirs)
        os.set_blocking(self._ours, False)
        self._watch = openings.watch(os.ttyname(self._theirs), on_left)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(os.ttyname(self._theirs))
        self._waiting = bytearray()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._ours, self._read)

    @property
    def is_open(self) -> bool:
        """Has a client opened it?"""
        return self._watch.is_open

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
        self.link.unlink(missing_ok=True)
        self._watch.close()
        os.close(self._ours)
        os.close(self._theirs)

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
