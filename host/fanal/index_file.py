"""The table of a wide watch as a file: sealed, checked whole, there at once.

It tells which beacon the identifiers of the near future belong to, so it is sealed under the hub's
storage key, 0600, and stays where that hub is. It holds no key of an event: the hub lets go of
those, and removes the file then, and one that was forgotten must not bring them back. Whatever is
wrong with it, nothing is lost: the table is made anew.

`header(64) chunk chunk ...`. Header: magic(16) version(4) chunk bytes(4) plain bytes(8) salt(32),
little-endian. File key = HMAC-SHA256(storage key, "fanal/1 rid index" || salt). A chunk is 256 KiB
of the plain text, the last one what is left, by AES-256-GCM under the file key, its number as
the nonce, 12 bytes, and the header as associated data. Plain text: `_NUMBERS`, for each run
`_OF_RUN`, the rows, and of each run starts, marks and references, each begun at a multiple of 64.
"""

import hmac
import os
import secrets
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fanal.private_file import replacing
from fanal.rid_index import Run, mark_type, room

MAGIC = b"fanal rid index\n"
VERSION = 1

# check: an event key folded to 8 bytes, so that another one is noticed and this one is not told
SAVED_ROW = np.dtype([
    ("id", "S8"), ("public_key", "u1", 32), ("check", "<u8"), ("anchor", "<u4"), ("newest", "<u4"),
])  # fmt: skip

_HEADER = struct.Struct("<16sIIQ32s")
_NUMBERS = struct.Struct("<5Q24x")  # window, behind, head mask, beacons, runs
_OF_RUN = struct.Struct("<2Q48x")  # bits of buckets, entries
_CHUNK_BYTES = 1 << 18  # small enough to stay in the cache between disk, AES and memory
_TAG_BYTES = 16
_MOST_BYTES = 1 << 36
_ALIGNED = 64
_ALIVE_EVERY = 256  # chunks: 64 MiB
_MOST_BUCKET_BITS = 24
_MOST_MASK_BITS = 32


class Unusable(Exception):
    """The file is not there, damaged, of another version or of another hub; says which."""


class Saved:
    """A table as it was saved: how it was made, its rows, and its runs of entries."""

    def __init__(
        self, window: int, behind: int, head_mask: int, rows: npt.NDArray[np.void],
        runs: list[Run],
    ) -> None:  # fmt: skip
        self.window, self.behind, self.head_mask = window, behind, head_mask
        self.rows = rows
        self.runs = runs


def save(
    path: Path, storage: bytes, saved: Saved, alive: Callable[[], object] = lambda: None
) -> None:
    """Write the file whole or not at all. storage: 32 bytes. Raises OSError.

    alive: called now and then.
    """
    numbers = _NUMBERS.pack(saved.window, saved.behind, saved.head_mask, len(saved.rows),
                            len(saved.runs))  # fmt: skip
    parts: list[npt.NDArray[Any]] = [saved.rows]
    for run in saved.runs:
        numbers += _OF_RUN.pack(run.bucket_bits, len(run))
        parts += [run.starts, run.marks, run.refs]
    size = len(numbers) + sum(_aligned(part.nbytes) for part in parts)
    header = _HEADER.pack(MAGIC, VERSION, _CHUNK_BYTES, size, secrets.token_bytes(32))
    cipher = _cipher(storage, header)
    with replacing(path) as (handle, _), os.fdopen(handle, "wb", closefd=False) as file:
        file.write(header)
        for number, chunk in enumerate(_chunks(numbers, parts)):
            if number % _ALIVE_EVERY == 0:
                alive()
            file.write(cipher.encrypt(_nonce(number), chunk, header))
        file.flush()
        alive()
        os.fsync(handle)


def load(path: Path, storage: bytes, alive: Callable[[], object] = lambda: None) -> Saved:
    """Return what is in the file. storage: 32 bytes. Raises Unusable.

    alive: called now and then.
    """
    try:
        with path.open("rb") as file:
            plain = _opened(file, storage, alive)
    except FileNotFoundError:
        raise Unusable("missing") from None
    except (OSError, MemoryError):
        raise Unusable("unreadable") from None
    return _parsed(plain)


def _opened(file: BinaryIO, storage: bytes, alive: Callable[[], object]) -> npt.NDArray[np.uint8]:
    header = file.read(_HEADER.size)
    if len(header) != _HEADER.size:
        raise Unusable("damaged")
    magic, version, chunk_bytes, size, _ = _HEADER.unpack(header)
    if magic != MAGIC or version != VERSION:
        raise Unusable("version")
    chunks = -(-size // _CHUNK_BYTES)
    expected = _HEADER.size + size + chunks * _TAG_BYTES
    # nothing is made room for that is not there
    if (
        chunk_bytes != _CHUNK_BYTES or not _NUMBERS.size <= size <= _MOST_BYTES
        or os.fstat(file.fileno()).st_size != expected
    ):  # fmt: skip
        raise Unusable("damaged")
    cipher, plain, at = _cipher(storage, header), room(size, np.uint8), 0
    for number in range(chunks):
        if number % _ALIVE_EVERY == 0:
            alive()
        try:
            chunk = cipher.decrypt(_nonce(number), file.read(_CHUNK_BYTES + _TAG_BYTES), header)
        except (InvalidTag, ValueError):
            raise Unusable("damaged") from None
        plain[at : at + len(chunk)] = np.frombuffer(chunk, np.uint8)
        at += len(chunk)
    if at != size:
        raise Unusable("damaged")
    return plain


def _parsed(plain: npt.NDArray[np.uint8]) -> Saved:
    """Return what the plain text, which is ours and whole, says. Raises Unusable all the same."""
    window, behind, mask, beacons, runs = _NUMBERS.unpack(plain[: _NUMBERS.size].tobytes())
    at = _NUMBERS.size + runs * _OF_RUN.size
    if at > len(plain) or mask >> _MOST_MASK_BITS:
        raise Unusable("damaged")
    sizes = list(_OF_RUN.iter_unpack(plain[_NUMBERS.size : at].tobytes()))

    def part(kind: Any, count: int) -> npt.NDArray[Any]:
        nonlocal at
        begin, end = at, at + np.dtype(kind).itemsize * count
        if end > len(plain):
            raise Unusable("damaged")
        at += _aligned(end - begin)
        return plain[begin:end].view(kind)

    rows = part(SAVED_ROW, beacons)
    found = []
    for bits, entries in sizes:
        if not 16 <= bits <= _MOST_BUCKET_BITS:
            raise Unusable("damaged")
        starts = part(np.uint32, (1 << bits) + 1)
        if starts[0] != 0 or starts[-1] != entries or (starts[1:] < starts[:-1]).any():
            raise Unusable("damaged")
        found.append(Run(bits, starts, part(mark_type(bits), entries), part(np.uint32, entries)))
    return Saved(window, behind, mask, rows, found)


def _chunks(numbers: bytes, parts: list[npt.NDArray[Any]]) -> Iterator[bytes]:
    """Yield the plain text in pieces of _CHUNK_BYTES."""
    rest = bytearray(numbers)
    for part in parts:
        data = part.view(np.uint8).reshape(-1).data
        at = 0
        while at < len(data):
            take = min(_CHUNK_BYTES - len(rest), len(data) - at)
            rest += data[at : at + take]
            at += take
            if len(rest) == _CHUNK_BYTES:
                yield bytes(rest)
                rest = bytearray()
        rest += bytes(_aligned(len(data)) - len(data))
        if len(rest) == _CHUNK_BYTES:
            yield bytes(rest)
            rest = bytearray()
    if rest:
        yield bytes(rest)


def _cipher(storage: bytes, header: bytes) -> AESGCM:
    salt = header[-32:]
    return AESGCM(hmac.digest(storage, b"fanal/1 rid index" + salt, "sha256"))


def _nonce(number: int) -> bytes:
    return number.to_bytes(12, "little")


def _aligned(size: int) -> int:
    return -(-size // _ALIGNED) * _ALIGNED
