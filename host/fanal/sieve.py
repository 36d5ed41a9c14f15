"""Which of very many identifiers are among some that are looked for."""

from collections import defaultdict
from contextlib import suppress

from fanal_protocol.slot import RID_BYTES, SLOTS

from fanal.event_keys import BLOCK_BYTES, EVENT_BYTES

_SECOND_BITS = 20

Found = list[tuple[int, list[bytes]]]  # the number of an event, and its identifiers


class Sieve:
    """A set of identifiers, 8 bytes each. A look costs the same for one and for ten thousand."""

    def __init__(self) -> None:
        self._exact: set[bytes] = set()
        self._heads: _Heads | None = None
        with suppress(ImportError):  # a technician has few beacons, and may do without numpy
            self._heads = _Heads()

    def __len__(self) -> int:
        return len(self._exact)

    def add(self, rid: bytes) -> None:
        """Look for an identifier; it may be there already."""
        if rid not in self._exact:
            self._exact.add(rid)
            if self._heads is not None:
                self._heads.count(rid, 1)

    def discard(self, rid: bytes) -> None:
        """Look for an identifier no more."""
        if rid in self._exact:
            self._exact.remove(rid)
            if self._heads is not None:
                self._heads.count(rid, -1)

    def among(self, blocks: bytearray, events: int) -> Found:
        """Return the events of which an identifier is looked for. blocks: see `rid_blocks`."""
        if self._heads is None:
            return self._each(blocks, events)
        found: dict[int, list[bytes]] = defaultdict(list)
        for at in self._heads.likely(blocks, events):
            rid = bytes(blocks[BLOCK_BYTES * at : BLOCK_BYTES * at + RID_BYTES])
            if rid in self._exact:
                found[at // SLOTS].append(rid)
        return list(found.items())

    def _each(self, blocks: bytearray, events: int) -> Found:
        data, exact = bytes(blocks), self._exact
        found = []
        for number in range(events):
            begin = number * EVENT_BYTES
            rids = [data[at : at + RID_BYTES]
                    for at in range(begin, begin + EVENT_BYTES, BLOCK_BYTES)]  # fmt: skip
            if not exact.isdisjoint(rids):
                found.append((number, [rid for rid in rids if rid in exact]))
        return found


class _Heads:
    """How many identifiers begin how: by two bytes, small enough for a cache; then by 20 bits more.

    Raises ImportError without numpy.
    """

    def __init__(self) -> None:
        import numpy as np

        self._first = np.zeros(1 << 16, np.int32)
        self._second = np.zeros(1 << _SECOND_BITS, np.int32)

    def count(self, rid: bytes, by: int) -> None:
        self._first[int.from_bytes(rid[:2], "little")] += by
        self._second[int.from_bytes(rid[2:6], "little") >> 32 - _SECOND_BITS] += by

    def likely(self, blocks: bytearray, events: int) -> list[int]:
        """Return the numbers of the blocks that may begin with an identifier that was counted."""
        import numpy as np

        words = np.frombuffer(blocks, "<u2", events * EVENT_BYTES // 2)
        words = words.reshape(-1, BLOCK_BYTES // 2)
        likely = np.flatnonzero(self._first[words[:, 0]])
        low, high = words[likely, 1].astype(np.uint32), words[likely, 2].astype(np.uint32)
        second = (low | high << np.uint32(16)) >> np.uint32(32 - _SECOND_BITS)
        found: list[int] = likely[self._second[second] > 0].tolist()
        return found
