"""The beacons of a wide watch, a row each: 84 bytes instead of objects."""

import struct
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from fanal.event_keys import EventKeys

KEY_BYTES = 32
ID_BYTES = 8

ROW = np.dtype([
    ("id", f"S{ID_BYTES}"), ("public_key", "u1", KEY_BYTES), ("key", "u1", KEY_BYTES),
    ("anchor", "<u4"), ("newest", "<u4"),
])  # fmt: skip


_ROW = struct.Struct("<8s32s32sII")


class BeaconRows:
    """Id, public key, anchor event, its key, and the newest event seen, of each beacon."""

    def __init__(self, rows: npt.NDArray[np.void] | None = None) -> None:
        self._rows = np.empty(0, ROW) if rows is None else rows
        self._count = len(self._rows)
        self._order: npt.NDArray[np.uint32] | None = None
        self._view()

    def _view(self) -> None:
        self.anchor: npt.NDArray[np.uint32] = self._rows["anchor"]
        self.newest: npt.NDArray[np.uint32] = self._rows["newest"]
        # to look at one row an array takes ten times as long
        self._bytes = self._rows.view(np.uint8).data
        self._newest = self.newest.data

    def __len__(self) -> int:
        return self._count

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays."""
        return self._rows.nbytes + (0 if self._order is None else self._order.nbytes)

    @property
    def rows(self) -> npt.NDArray[np.void]:
        """Return the rows, not a copy."""
        return self._rows[: self._count]

    def add(self, anchors: Sequence[EventKeys], newest: Sequence[int]) -> None:
        """Add a row for each. Raises ValueError if an id is not 8 ASCII letters."""
        more = rows_of(anchors, newest)
        end = self._count + len(more)
        if end > len(self._rows):
            grown = np.zeros(max(end, self._count + self._count // 4), ROW)
            grown[: self._count] = self._rows[: self._count]
            self._rows = grown
            self._view()
        self._rows[self._count : end] = more
        self._count = end
        self._order = None

    def key_of(self, place: int) -> bytes:
        """Return the event key of the anchor, 32 bytes."""
        key: bytes = _ROW.unpack_from(self._bytes, place * _ROW.size)[2]
        return key

    def keys(self, place: int) -> EventKeys:
        """Return the keys of the anchor."""
        name, public_key, key, anchor, _ = _ROW.unpack_from(self._bytes, place * _ROW.size)
        return EventKeys(name.rstrip(b"\0").decode(), public_key, anchor, key)

    def newest_of(self, place: int) -> int:
        """Return the newest event seen."""
        newest: int = self._newest[place]
        return newest

    def set_anchor(self, place: int, anchor: EventKeys) -> None:
        """Move the anchor of a beacon."""
        self._rows["key"][place] = np.frombuffer(anchor.event_key, np.uint8)
        self.anchor[place] = anchor.event

    def places_of(self, beacon_id: str) -> list[int]:
        """Return the places of a beacon, in order: one, unless it was added twice."""
        ids = self.rows["id"]
        if self._order is None:
            self._order = np.argsort(ids, kind="stable").astype(np.uint32)
        name = np.bytes_(beacon_id.encode("ascii", "replace"))
        low = int(np.searchsorted(ids, name, "left", sorter=self._order))
        high = int(np.searchsorted(ids, name, "right", sorter=self._order))
        return [int(place) for place in self._order[low:high]]


def rows_of(anchors: Sequence[EventKeys], newest: Sequence[int]) -> npt.NDArray[np.void]:
    """Return a row for each. Raises ValueError."""
    if not all(len(one.beacon_id) == ID_BYTES for one in anchors):
        raise ValueError("a beacon id has 8 letters")
    rows = np.zeros(len(anchors), ROW)
    rows["id"] = [one.beacon_id.encode("ascii") for one in anchors]
    rows["public_key"] = _keys([one.public_key for one in anchors])
    rows["key"] = _keys([one.event_key for one in anchors])
    rows["anchor"] = [one.event for one in anchors]
    rows["newest"] = newest
    return rows


def _keys(keys: Sequence[bytes]) -> npt.NDArray[np.uint8]:
    joined = b"".join(keys)
    if len(joined) != KEY_BYTES * len(keys):
        raise ValueError("a key has 32 bytes")
    return np.frombuffer(joined, np.uint8).reshape(len(keys), KEY_BYTES)
