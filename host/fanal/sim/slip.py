"""SLIP (RFC 1055), the framing of the serial ROM: frames to bytes and back."""

from __future__ import annotations

END, ESC, ESC_END, ESC_ESC = 0xC0, 0xDB, 0xDC, 0xDD

# the largest that a loader takes: a block of 16 KB, its header, and room
MOST_BYTES = 0x4000 + 0x800


def encode(frame: bytes) -> bytes:
    """Return the frame as it goes over the line, delimiters included."""
    return b"\xc0" + frame.replace(b"\xdb", b"\xdb\xdd").replace(b"\xc0", b"\xdb\xdc") + b"\xc0"


class Decoder:
    """Cuts a stream into frames. What is no frame is dropped, as a receiver in ROM does.

    A frame with a bad escape, or longer than MOST_BYTES, is dropped whole; the next delimiter
    starts anew. Empty frames (two delimiters in a row) are none.
    """

    def __init__(self) -> None:
        self._raw = bytearray()
        self._is_inside = False

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes in any pieces; return the frames that they complete."""
        frames: list[bytes] = []
        *ended, rest = data.split(b"\xc0")
        for part in ended:
            if self._is_inside:
                self._raw += part
            frame = _unescaped(bytes(self._raw))
            self._raw.clear()
            # a delimiter that ends a frame also begins the next: some senders share it
            if frame:
                frames.append(frame)
            self._is_inside = True
        if self._is_inside:
            self._raw += rest
            if len(self._raw) > 2 * MOST_BYTES:
                self._raw.clear()
                self._is_inside = False
        return frames


def _unescaped(raw: bytes) -> bytes:
    """Return the frame, or nothing if it is none."""
    if b"\xdb" in raw:
        pieces = raw.split(b"\xdb")
        if any(piece[:1] not in (b"\xdc", b"\xdd") for piece in pieces[1:]):
            return b""
        raw = pieces[0] + b"".join(
            (b"\xc0" if piece[0] == ESC_END else b"\xdb") + piece[1:] for piece in pieces[1:]
        )
    return raw if len(raw) <= MOST_BYTES else b""
