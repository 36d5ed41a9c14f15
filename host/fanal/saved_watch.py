"""A wide watch kept over a restart: what was saved, brought to what is enrolled now.

The rows of the file are held against those of the enrolment, which alone has the keys. Beacons that
were added, or whose window moved, are entered; if anything else differs, or too much, the table is
made anew.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fanal.beacon_rows import BeaconRows, rows_of
from fanal.event_keys import EventKeys
from fanal.index_file import SAVED_ROW, Saved, Unusable, load, save
from fanal.watch import Past
from fanal.wide_watch import WideWatch

_ANYWAY = 1000  # rows that may have moved
_SHARE = 16  # and of many one in so many: beyond that nothing is gained


def keep(watch: WideWatch, path: Path, storage: bytes, alive: Callable[[], object]) -> None:
    """Save a table. storage: the key to seal it under, 32 bytes. Raises OSError."""
    watch.index.settle(alive)
    rows = _saved_rows(watch.rows.rows)
    whole = Saved(watch.window, watch.behind, watch.index.head_mask, rows, watch.index.runs)
    save(path, storage, whole, alive)


def restored(
    path: Path, storage: bytes, anchors: Sequence[EventKeys], past: Past, window: int, behind: int,
    alive: Callable[[], object],
) -> WideWatch:  # fmt: skip
    """Return a table of these beacons from a file. alive: called now and then. Raises Unusable."""
    saved = load(path, storage, alive)
    if (saved.window, saved.behind) != (window, behind):
        raise Unusable("window")
    alive()
    now = rows_of(anchors, [past.newest_of(anchor) for anchor in anchors])
    alive()
    mine = _matched(saved.rows["id"], now["id"])
    alive()
    rows = now[mine]
    moved = _moved(saved.rows, _saved_rows(rows))
    watch = WideWatch(window, behind, saved.head_mask)
    watch.rows = BeaconRows(rows)
    watch.index.runs += saved.runs
    watch.enter_again(moved)
    is_new = np.ones(len(now), np.bool_)
    is_new[mine] = False
    watch.add([anchors[at] for at in np.flatnonzero(is_new).tolist()], past, frozenset())
    for beacon_id in past.lines.keys() | past.hearsay.keys():
        for place in watch.rows.places_of(beacon_id):
            watch.take_over(place, past)
    return watch


def _saved_rows(rows: npt.NDArray[np.void]) -> npt.NDArray[np.void]:
    """Return the rows without their keys."""
    saved = np.empty(len(rows), SAVED_ROW)
    for name in ("id", "public_key", "anchor", "newest"):
        saved[name] = rows[name]
    quarters = np.ascontiguousarray(rows["key"]).view("<u8")
    saved["check"] = np.bitwise_xor.reduce(quarters, axis=1)
    return saved


def _matched(saved: npt.NDArray[np.bytes_], now: npt.NDArray[np.bytes_]) -> npt.NDArray[np.intp]:
    """Return where each saved id is now. Raises Unusable if one is not, or not once."""
    wanted, present = _numbers(saved), _numbers(now)
    order = np.argsort(present, kind="stable")
    present = present[order]
    found = np.searchsorted(present, wanted)
    if (found >= len(present)).any() or (present[found] != wanted).any():
        raise Unusable("enrolment")
    if (present[1:] == present[:-1]).any():
        raise Unusable("enrolment")
    matched: npt.NDArray[np.intp] = order[found]
    return matched


def _numbers(ids: npt.NDArray[np.bytes_]) -> npt.NDArray[np.uint64]:
    """Return ids as numbers, which are sorted in a fifth of the time."""
    return np.ascontiguousarray(ids).view(np.uint64)


def _moved(saved: npt.NDArray[np.void], now: npt.NDArray[np.void]) -> list[int]:
    """Return the places of beacons whose window moved. Raises Unusable if that is not all."""
    if (saved["public_key"] != now["public_key"]).any():
        raise Unusable("enrolment")
    if (now["anchor"] < saved["anchor"]).any() or (now["newest"] < saved["newest"]).any():
        raise Unusable("enrolment")  # the database is older than the file
    differs = (saved["anchor"] != now["anchor"]) | (saved["newest"] != now["newest"])
    if ((saved["check"] != now["check"]) & (saved["anchor"] == now["anchor"])).any():
        raise Unusable("enrolment")
    moved: list[int] = np.flatnonzero(differs).tolist()
    if len(moved) > max(_ANYWAY, len(saved) // _SHARE):
        raise Unusable("out of date")
    return moved
