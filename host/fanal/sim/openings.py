"""How many programs have a file open, told by the kernel (inotify)."""

from __future__ import annotations

import ctypes
import os
import struct

_OPEN, _CLOSE_WRITE, _CLOSE_NOWRITE = 0x20, 0x08, 0x10
_EVENT = struct.Struct("iIII")


class Openings:
    """Counts who opened `path` since this began. Raises OSError if the kernel does not tell.

    fd: readable when the count may have changed.
    """

    def __init__(self, path: str) -> None:
        library = ctypes.CDLL(None, use_errno=True)
        self.fd: int = library.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        mask = _OPEN | _CLOSE_WRITE | _CLOSE_NOWRITE
        if self.fd < 0 or library.inotify_add_watch(self.fd, os.fsencode(path), mask) < 0:
            raise OSError(ctypes.get_errno(), "inotify", path)
        self._count = 0

    def count(self) -> int:
        """Return how many have it open now."""
        try:
            while events := os.read(self.fd, 4096):
                self._take(events)
        except BlockingIOError:
            pass
        return self._count

    def close(self) -> None:
        """Stop counting."""
        os.close(self.fd)

    def _take(self, events: bytes) -> None:
        at = 0
        while at < len(events):
            _, mask, _, name_bytes = _EVENT.unpack_from(events, at)
            at += _EVENT.size + name_bytes
            self._count += 1 if mask & _OPEN else -1
