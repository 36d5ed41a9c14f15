"""Millions of identifiers in arrays: from the first four bytes of one to all that may have it.

An entry is four bytes of an identifier, its head, and a reference of 32 bits. In a run entries
are sorted by head; the upper bits of the head are the number of a bucket, and only the rest, the
mark, is stored: one byte in a large run, two in a small one. With the reference and the buckets
that is 5.2 to 6.3 bytes an entry. A head may be somebody else's too: whoever asks computes the
identifier and compares.

New entries gather in a table and go into a run of their own, and runs of like size into one, so
that an entry is moved a few times only. An entry that is out of date is left out then.
"""

import mmap
import struct
from collections.abc import Callable
from contextlib import suppress
from itertools import chain, pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from fanal_protocol.slot import SLOTS

Entries = npt.NDArray[np.uint64]  # head << 32 | reference
References = npt.NDArray[np.uint32]
Marks = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]

HEAD_BYTES = 4

_HEAD_BITS = 32
_ALL_BITS = (1 << _HEAD_BITS) - 1
_HEADS = struct.Struct(f">{'I12x' * SLOTS}")
_LARGE = 40_000_000  # entries from which on a mark of one byte is enough
_PARTS_BITS = 6  # of the head: so much of a run is sorted at one time
_GATHERED = 1 << 16  # entries, before they become a run
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


def room(size: int, kind: Any) -> npt.NDArray[Any]:
    """Return an array that is not filled, in pages of its own.

    They go back to the system as soon as it is given up. In large pages where the system has
    them: a table of gigabytes is there in a fifth of the time, and a probe finds its way faster.
    """
    kind = np.dtype(kind)
    pages = mmap.mmap(-1, max(1, size) * kind.itemsize)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):  # a kernel without them
            pages.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(pages, kind, size)


class Parts:
    """Entries laid out by the first bits of their heads, to be sorted part by part."""

    def __init__(self) -> None:
        self._parts: list[Entries | None] = [None] * (1 << _PARTS_BITS)
        self._sizes = [0] * len(self._parts)
        self.size = 0

    def __len__(self) -> int:
        return len(self._parts)

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays."""
        return sum(part.nbytes for part in self._parts if part is not None)

    def lay(self, entries: Entries) -> None:
        """Take entries, which are sorted for that."""
        entries.sort()
        firsts = np.arange(1, len(self), dtype=np.uint64) << np.uint64(64 - _PARTS_BITS)
        bounds = [0, *np.searchsorted(entries, firsts).tolist(), len(entries)]
        for number, (begin, end) in enumerate(pairwise(bounds)):
            if begin < end:
                self._append(number, entries[begin:end])
        self.size += len(entries)

    def _append(self, number: int, chunk: Entries) -> None:
        part, size = self._parts[number], self._sizes[number]
        end = size + len(chunk)
        if part is None or end > len(part):
            grown = room(end + end // 4, np.uint64)
            if part is not None:
                grown[:size] = part[:size]
            self._parts[number] = part = grown
        part[size:end] = chunk
        self._sizes[number] = end

    def take(self, number: int) -> Entries:
        """Return the entries of a part, sorted, and forget them."""
        part, size = self._parts[number], self._sizes[number]
        self._parts[number], self._sizes[number] = None, 0
        self.size -= size
        if part is None:
            return np.empty(0, np.uint64)
        entries = part[:size]
        entries.sort()
        return entries


def run_of(parts: Parts, alive: Callable[[], object]) -> Run:
    """Return the run of all entries in `parts`, which is empty then.

    A part is given up as it goes in, so that both are not there at one time. alive: called for
    each part; sorting one of six million entries takes a third of a second.
    """
    size = parts.size
    bits = 24 if size >= _LARGE else max(16, min(21, size.bit_length() - 5))
    mark_bits = _HEAD_BITS - bits
    starts = room((1 << bits) + 1, np.uint32)
    marks: Marks = room(size, mark_type(bits))
    refs = room(size, np.uint32)
    at, buckets = 0, (1 << bits) // len(parts)
    for number in range(len(parts)):
        alive()
        chunk = parts.take(number)
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
        self, alive: Callable[[References], npt.NDArray[np.bool_]], head_mask: int = _ALL_BITS
    ) -> None:
        self._alive = alive
        self.head_mask = head_mask
        self._parts = Parts()
        self._gathered: dict[int, int] = {}
        self._clashing: dict[int, list[int]] = {}  # more references of heads that are gathered
        self.runs: list[Run] = []

    def __len__(self) -> int:
        clashing = sum(map(len, self._clashing.values()))
        return sum(map(len, self.runs)) + self._parts.size + len(self._gathered) + clashing

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays."""
        return self._parts.nbytes + sum(run.nbytes for run in self.runs)

    def probe(self, rid: bytes) -> list[int]:
        """Return the references that may have this identifier, in order."""
        if self._parts.size:
            self.settle()
        head = int.from_bytes(rid[:HEAD_BYTES], "big") & self.head_mask
        found = []
        if head in self._gathered:
            found += [self._gathered[head], *self._clashing.get(head, ())]
        for run in self.runs:
            run.probe(head, found)
        if len(found) > 1:
            found.sort()
        return found

    def enter(self, blocks: bytes, first_ref: int) -> None:
        """Enter the identifiers of one event, whose references follow each other.

        blocks: 96 of 16 bytes, each beginning with one.
        """
        heads = _HEADS.unpack(blocks)
        refs = range(first_ref, first_ref + len(heads))
        if self.head_mask == _ALL_BITS and self._gathered.keys().isdisjoint(heads):
            before = len(self._gathered)
            self._gathered.update(zip(heads, refs, strict=True))
            if len(self._gathered) - before == len(heads):
                heads = ()
        for head, ref in zip(heads, refs, strict=False):
            known = self._gathered.setdefault(head & self.head_mask, ref)
            if known != ref:
                self._clashing.setdefault(head & self.head_mask, []).append(ref)
        if len(self._gathered) >= _GATHERED:
            self.settle()

    def enter_blocks(self, blocks: npt.NDArray[np.uint32], refs: npt.NDArray[np.uint64]) -> None:
        """Enter many at once. blocks: the head of each; refs: the reference of each."""
        entries = (blocks.astype(np.uint64) & np.uint64(self.head_mask)) << np.uint64(_HEAD_BITS)
        entries |= refs
        self._parts.lay(entries)

    def settle(self, alive: Callable[[], object] = lambda: None) -> None:
        """Put all that is in no run yet into one. alive: called now and then."""
        if self._gathered:
            heads = [*self._gathered, *(h for h, refs in self._clashing.items() for _ in refs)]
            refs = [*self._gathered.values(), *chain(*self._clashing.values())]
            self._gathered, self._clashing = {}, {}
            entries = np.array(heads, np.uint64) << np.uint64(_HEAD_BITS)
            entries |= np.array(refs, np.uint64)
            self._parts.lay(entries[self._alive(entries.astype(np.uint32))])
        while self.runs and len(self.runs[-1]) < _TIMES * self._parts.size:
            self._parts.lay(self._wanted(self.runs.pop()))
        if self._parts.size:
            self.runs.append(run_of(self._parts, alive))

    def compact(self) -> None:
        """Make one run of all, without what is out of date."""
        self.settle()
        while self.runs:
            self._parts.lay(self._wanted(self.runs.pop()))
        self.runs.append(run_of(self._parts, lambda: None))

    def _wanted(self, run: Run) -> Entries:
        return run.entries()[self._alive(run.refs)]
