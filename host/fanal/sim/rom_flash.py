"""What the serial loader does to the flash: downloads, erasing, reading, with its error codes.

The ROM erases when a download begins and reads back what it wrote; the stub erases as it goes and
leaves the proof to the MD5. Addresses count from the start of the flash.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Callable
from typing import Any

from fanal.sim.flash import SECTOR, SIZE, Flash

# of the ROM: the second byte of a status
INVALID, FAILED, WRONG_CHECKSUM = 0x05, 0x06, 0x07
WRITE_ERROR, READ_ERROR, READ_LENGTH, INFLATE_ERROR = 0x08, 0x09, 0x0A, 0x0B
# of the stub: the first
STUB_LENGTH, STUB_CHECKSUM, STUB_BLOCK_SIZE, STUB_UNKNOWN = 0xC0, 0xC1, 0xC2, 0xC3
STUB_FAILED, STUB_NO_SESSION, STUB_INFLATE = 0xC4, 0xC6, 0xC7
STUB_TOO_LITTLE, STUB_TOO_MUCH = 0xC8, 0xC9

_SIZE_OF_ROM = 2 << 20  # what the ROM takes the flash for until it is told
_SLOW_BYTES = 64
_MOST_BLOCK = 0x4000


class Refused(Exception):
    """The loader says no. code: as it goes into the status."""

    def __init__(self, code: int) -> None:
        super().__init__(f"0x{code:02x}")
        self.code = code


class FlashSession:
    """The flash as one loader sees it, and the download or reading that goes on."""

    def __init__(self, flash: Flash, send: Callable[[bytes], None]) -> None:
        self._flash, self._send = flash, send
        self._size = _SIZE_OF_ROM
        self.is_stub = False
        self.is_attached = False
        self._is_open = False
        self._inflator: Any = None
        self._at = self._left = self._block_size = 0
        self._erased_to = 0
        self._reading: _Reading | None = None

    # --- downloads ---

    def set_size(self, size: int) -> None:
        """Believe what the host says of the size of the flash."""
        self._size = size

    def begin(self, address: int, size: int, block_size: int, is_deflated: bool) -> None:
        """Open a download of `size` bytes. The ROM erases now. Raises Refused."""
        if size:
            self._require(address, size, FAILED)
        if not 0 < block_size <= _MOST_BLOCK:
            raise Refused(STUB_BLOCK_SIZE if self.is_stub else INVALID)
        start = address - address % SECTOR
        self._erased_to = start
        self._at, self._left, self._block_size = address, size, block_size
        self._inflator = zlib.decompressobj() if is_deflated else None
        self._is_open = True
        if not self.is_stub and size:
            self._erase_up_to(address + size)

    def write(self, block: bytes, is_deflated: bool) -> None:
        """Take one block of the open download. Raises Refused, PowerCut."""
        if not self._is_open or (self._inflator is not None) != is_deflated:
            raise Refused(STUB_NO_SESSION if self.is_stub else FAILED)
        if len(block) > self._block_size:
            raise Refused(STUB_BLOCK_SIZE if self.is_stub else INVALID)
        if self._inflator is None:
            self._put(block[: self._left])  # the last block is filled up
            return
        try:
            plain = self._inflator.decompress(block, self._left + 1)
        except zlib.error:
            raise Refused(STUB_INFLATE if self.is_stub else INFLATE_ERROR) from None
        is_too_much = len(plain) > self._left
        self._put(plain[: self._left])
        if is_too_much:
            raise Refused(STUB_TOO_MUCH if self.is_stub else INFLATE_ERROR)
        if self._inflator.eof and self._left and self.is_stub:
            raise Refused(STUB_TOO_LITTLE)

    def end(self) -> None:
        """Close the download. Raises Refused if there is none."""
        if not self._is_open:
            raise Refused(STUB_NO_SESSION if self.is_stub else FAILED)
        self._is_open = False

    def _put(self, data: bytes) -> None:
        """Write at the current place, sector by sector."""
        if self.is_stub:
            self._erase_up_to(self._at + len(data))
        while data:
            piece = data[: SECTOR - self._at % SECTOR]
            self._flash.program(self._at, piece)
            if not self.is_stub and self._flash.read(self._at, len(piece)) != piece:
                raise Refused(WRITE_ERROR)
            self._at += len(piece)
            self._left -= len(piece)
            data = data[len(piece) :]

    def _erase_up_to(self, end: int) -> None:
        while self._erased_to < end:
            self._flash.erase(self._erased_to, SECTOR)
            self._erased_to += SECTOR

    # --- erasing ---

    def erase(self, address: int, size: int) -> None:
        """Erase whole sectors. Raises Refused, PowerCut."""
        if address % SECTOR or size % SECTOR or not 0 < size <= SIZE - address:
            raise Refused(STUB_LENGTH)
        self._flash.erase(address, size)

    def erase_all(self) -> None:
        """Erase the whole flash. Raises PowerCut."""
        self._flash.erase(0, SIZE)

    # --- reading ---

    def md5(self, address: int, size: int) -> bytes:
        """Return the MD5 of a region, 16 bytes. Raises Refused."""
        self._require(address, size, READ_ERROR)
        return hashlib.md5(self._flash.read(address, size), usedforsecurity=False).digest()

    def read_slowly(self, address: int, size: int) -> bytes:
        """Return 64 bytes, `size` of them from `address` on: the ROM's way. Raises Refused."""
        if not 0 < size <= _SLOW_BYTES:
            raise Refused(READ_LENGTH)
        self._require(address, size, READ_ERROR)
        return self._flash.read(address, size).ljust(_SLOW_BYTES, b"\0")

    def check_read(self, address: int, size: int, block_size: int, most_ahead: int) -> None:
        """Raise Refused unless the stub could send this."""
        self._require(address, size, READ_ERROR)
        if not 0 < block_size <= _MOST_BLOCK or not most_ahead:
            raise Refused(STUB_BLOCK_SIZE)

    def start_reading(self, address: int, size: int, block_size: int, most_ahead: int) -> None:
        """Send a region in blocks, never more than `most_ahead` beyond what was acknowledged."""
        content = self._flash.read(address, size)
        self._reading = _Reading(content, block_size, most_ahead)
        self._continue_reading()

    @property
    def is_reading(self) -> bool:
        """Are the next frames acknowledgements, and no commands?"""
        return self._reading is not None

    def acknowledged(self, frame: bytes) -> None:
        """Take the host's word for how many bytes it has; anything else ends the reading."""
        if self._reading is None or len(frame) != 4:
            self._reading = None
            return
        (self._reading.acknowledged,) = struct.unpack("<I", frame)
        self._continue_reading()

    def _continue_reading(self) -> None:
        reading = self._reading
        assert reading is not None
        for block in reading.next_blocks():
            self._send(block)
        if reading.acknowledged >= len(reading.content):
            self._send(hashlib.md5(reading.content, usedforsecurity=False).digest())
            self._reading = None

    def _require(self, address: int, size: int, code: int) -> None:
        """Raise Refused unless the region lies in the flash, as far as the loader knows it."""
        limit = SIZE if self.is_stub else min(self._size, SIZE)
        is_there = self.is_stub or self.is_attached
        if not is_there or address + size > limit:
            raise Refused(STUB_FAILED if self.is_stub else code)


class _Reading:
    """A region on its way to the host."""

    def __init__(self, content: bytes, block_size: int, most_ahead: int) -> None:
        self.content, self._block_size, self._most_ahead = content, block_size, most_ahead
        self.sent = self.acknowledged = 0

    def next_blocks(self) -> list[bytes]:
        """Return the blocks that may go now."""
        blocks = []
        while (
            self.sent < len(self.content)
            and self.sent - self.acknowledged < self._block_size * self._most_ahead
        ):
            blocks.append(self.content[self.sent : self.sent + self._block_size])
            self.sent += self._block_size
        return blocks
