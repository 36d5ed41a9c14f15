"""Millions of identifiers in arrays: from the first four bytes of one to all that may have it.

An entry is four bytes of an identifier, its head, and a reference of 32 bits. In a run entries
are sorted by head; the upper bits of the head are the number of a bucket, and only the rest, the
mark, is stored: one byte in a large run, two in a small one. With the reference and the buckets
that is 5.2 to 6.3 bytes an entry. A head may be somebody else's too: whoever asks computes the
identifier and compares.

New entries gather in a table and go into a run of their own, and runs of like size into one, so
that an entry is moved a few times only. An entry that is out of date is left out then.
"""

from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt

Entries = npt.NDArray[np.uint64]  # head << 32 | reference
References = npt.NDArray[np.uint32]
Marks = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]

HEAD_BYTES = 4

_HEAD_BITS = 32
_LARGE = 40_000_000  # entries from which on a mark of one byte is enough
_PARTS_BITS = 6  # of the head: so much of a run is sorted at one time
_GATHERED = 1 << 16  # entries, before they become a run
_NONE: list[int] = []
_TIMES = 4  # a run joins new entries that are not fewer than so many times its size


class Run:
    """Entries that do not change any more. `probe` is what happens for each packet."""

    def __init__(self, bucket_bits: int, starts: References, marks: Marks, refs: References):
        """starts: 2**bucket_bits + 1, where each bucket begins; marks, refs: one an entry."""
        self.bucket_bits = bucket_bits
        self.starts, self.marks, self.refs = starts, marks, refs
        self._mark_bits = _HEAD_BITS - bucket_bits
        self._mark_mask = (1 << self._mark_bits) - 1
        # a memoryview gives one number five times as fast as an array
        self._starts: memoryview[int] = starts.data
        self._marks: memoryview[int] = marks.data
        self._refs: memoryview[int] = refs.data

    def __len__(self) -> int:
        return len(self.refs)

    @property
    def nbytes(self) -> int:
        """Bytes of its arrays."""
        return self.starts.nbytes + self.marks.nbytes + self.refs.nbytes

    def probe(self, head: int, found: list[int]) -> None:
        """Append the references of all entries with this head to `found`."""
        bucket = head >> self._mark_bits
        low, high = self._starts[bucket], self._starts[bucket + 1]
        if low == high:
            return
        mark = head & self._mark_mask
        if self._mark_bits <= 8:
            marks = self._marks[low:high].tobytes()
            at = marks.find(mark)
            while at >= 0:
                found.append(self._refs[low + at])
                at = marks.find(mark, at + 1)
        else:
            several = self._marks[low:high].tolist()
            if mark in several:
                found += [self._refs[low + at] for at, one in enumerate(several) if one == mark]

    def entries(self) -> Entries:
        """Return head and reference of every entry, sorted."""
        sizes = np.diff(self.starts)
        heads = np.repeat(np.arange(len(sizes), dtype=np.uint64) << self._mark_bits, sizes)
        heads |= self.marks
        heads <<= np.uint64(_HEAD_BITS)
        heads |= self.refs
        return heads


def mark_type(bucket_bits: int) -> np.dtype[np.uint8] | np.dtype[np.uint16]:
    """Return the type of a mark where there are 2**bucket_bits buckets."""
    return np.dtype(np.uint8) if bucket_bits >= _HEAD_BITS - 8 else np.dtype(np.uint16)


def run_of(parts: list[list[Entries]]) -> Run:
    """Return the run of entries that lie in 64 parts by the first bits of their heads.

    Empties `parts` as it goes, so that both are not there at one time.
    """
    size = sum(len(chunk) for part in parts for chunk in part)
    bits = 24 if size >= _LARGE else max(16, min(21, size.bit_length() - 4))
    mark_bits = _HEAD_BITS - bits
    starts = np.empty((1 << bits) + 1, np.uint32)
    marks: Marks = np.empty(size, mark_type(bits))
    refs = np.empty(size, np.uint32)
    at, buckets = 0, (1 << bits) // len(parts)
    for number, part in enumerate(parts):
        chunk = np.concatenate(part) if part else np.empty(0, np.uint64)
        part.clear()
        chunk.sort()
        heads = (chunk >> np.uint64(_HEAD_BITS)).astype(np.uint32)
        here = slice(at, at + len(chunk))
        refs[here] = chunk.astype(np.uint32)  # the lower half
        marks[here] = heads & np.uint32((1 << mark_bits) - 1)
        firsts = np.arange(number * buckets, (number + 1) * buckets, dtype=np.uint32) << mark_bits
        starts[number * buckets : (number + 1) * buckets] = at + np.searchsorted(heads, firsts)
        at += len(chunk)
    starts[-1] = at
    return Run(bits, starts, marks, refs)


class RidIndex:
    """Runs, and what is not in a run yet.

    alive: which of some references are still wanted. head_mask: the bits of a head that count;
    a test leaves few, so that all collide.
    """

    def __init__(
        self, alive: Callable[[References], npt.NDArray[np.bool_]], head_mask: int = 0xFFFF_FFFF
    ) -> None:
        self._alive = alive
        self.head_mask = self._head_mask = head_mask
        self._parts: list[list[Entries]] = _no_parts()
        self._in_parts = 0
        self._gathered: dict[int, list[int]] = {}
        self._in_gathered = 0
        self.runs: list[Run] = []

    def __len__(self) -> int:
        return sum(map(len, self.runs)) + self._in_parts + self._in_gathered

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays."""
        chunks = sum(chunk.nbytes for part in self._parts for chunk in part)
        return chunks + sum(run.nbytes for run in self.runs)

    def probe(self, rid: bytes) -> list[int]:
        """Return the references that may have this identifier, in order."""
        if self._in_parts:
            self.settle()
        head = int.from_bytes(rid[:HEAD_BYTES], "big") & self._head_mask
        found = self._gathered.get(head, _NONE)[:]
        for run in self.runs:
            run.probe(head, found)
        if len(found) > 1:
            found.sort()
        return found

    def enter(self, rids: Iterable[bytes], first_ref: int) -> None:
        """Enter identifiers whose references follow each other: for a few."""
        gathered, ref = self._gathered, first_ref
        for rid in rids:
            gathered.setdefault(int.from_bytes(rid[:HEAD_BYTES], "big") & self._head_mask,
                                []).append(ref)  # fmt: skip
            ref += 1
        self._in_gathered += ref - first_ref
        if self._in_gathered >= _GATHERED:
            self.settle()

    def enter_blocks(self, blocks: npt.NDArray[np.uint32], refs: npt.NDArray[np.uint64]) -> None:
        """Enter many at once. blocks: the head of each; refs: the reference of each."""
        entries = (blocks.astype(np.uint64) & np.uint64(self._head_mask)) << np.uint64(_HEAD_BITS)
        entries |= refs
        self._spread(entries)

    def settle(self) -> None:
        """Put all that is in no run yet into one."""
        if self._gathered:
            pairs = [head << _HEAD_BITS | ref for head, refs in self._gathered.items()
                     for ref in refs]  # fmt: skip
            self._gathered, self._in_gathered = {}, 0
            entries = np.array(pairs, np.uint64)
            self._spread(entries[self._alive(entries.astype(np.uint32))])
        while self.runs and len(self.runs[-1]) < _TIMES * self._in_parts:
            self._spread(self._wanted(self.runs.pop()))
        if self._in_parts:
            self.runs.append(run_of(self._parts))
            self._in_parts = 0

    def whole(self) -> Run:
        """Return one run of all; it may still hold what is out of date."""
        self.settle()
        if len(self.runs) != 1:
            self.compact()
        return self.runs[0]

    def compact(self) -> None:
        """Make one run of all, without what is out of date."""
        self.settle()
        for run in self.runs:
            self._spread(self._wanted(run))
        self.runs.clear()
        self.runs.append(run_of(self._parts))
        self._in_parts = 0

    def _wanted(self, run: Run) -> Entries:
        return run.entries()[self._alive(run.refs)]

    def _spread(self, entries: Entries) -> None:
        """Lay entries to the part that each belongs to."""
        entries.sort()
        firsts = np.arange(1, len(self._parts), dtype=np.uint64) << np.uint64(64 - _PARTS_BITS)
        for part, chunk in zip(
            self._parts, np.split(entries, np.searchsorted(entries, firsts)), strict=True
        ):
            if len(chunk):
                part.append(chunk)
        self._in_parts += len(entries)


def _no_parts() -> list[list[Entries]]:
    return [[] for _ in range(1 << _PARTS_BITS)]
