"""Who has a file open, told by the kernel (inotify): one descriptor for all files of a world.

A user may have 128 such descriptors, which is fewer than a bench may have boards.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import struct
from collections.abc import Callable

_OPEN, _CLOSE_WRITE, _CLOSE_NOWRITE = 0x20, 0x08, 0x10
_EVENT = struct.Struct("iIII")


class Openings:
    """Watches files. Raises OSError if the kernel does not tell."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(None, use_errno=True)
        self._fd: int = self._library.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), "inotify")
        self._watches: dict[int, Watch] = {}
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._fd, self.catch_up)

    def watch(self, path: str, on_left: Callable[[], None]) -> Watch:
        """Watch a file from now on. on_left: called when the last who opened it has closed it."""
        mask = _OPEN | _CLOSE_WRITE | _CLOSE_NOWRITE
        number: int = self._library.inotify_add_watch(self._fd, os.fsencode(path), mask)
        if number < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), path)
        watch = self._watches[number] = Watch(self, number, on_left)
        return watch

    def unwatch(self, number: int) -> None:
        """Undo `watch`."""
        self.catch_up()
        del self._watches[number]
        self._library.inotify_rm_watch(self._fd, number)

    def catch_up(self) -> None:
        """Take what the kernel has told by now."""
        try:
            while events := os.read(self._fd, 4096):
                self._take(events)
        except BlockingIOError:
            return

    def close(self) -> None:
        """Stop watching."""
        self._loop.remove_reader(self._fd)
        os.close(self._fd)

    def _take(self, events: bytes) -> None:
        at = 0
        while at < len(events):
            number, mask, _, name_bytes = _EVENT.unpack_from(events, at)
            at += _EVENT.size + name_bytes
            watch = self._watches.get(number)
            if watch is not None and mask & (_OPEN | _CLOSE_WRITE | _CLOSE_NOWRITE):
                watch.count += 1 if mask & _OPEN else -1
                if not watch.count:  # whoever asks may be in the middle of something
                    self._loop.call_soon(watch.on_left)


class Watch:
    """One file. count: of those who opened it since it is watched, as far as told."""

    def __init__(self, openings: Openings, number: int, on_left: Callable[[], None]) -> None:
        self._openings, self._number, self.on_left = openings, number, on_left
        self.count = 0

    @property
    def is_open(self) -> bool:
        """Does somebody have it open now?"""
        self._openings.catch_up()
        return self.count > 0

    def close(self) -> None:
        """Watch it no more."""
        self._openings.unwatch(self._number)
