"""A log computed anew from its entries, beside the hashes that were kept of it.

Each entry and each hash is read once, in order, and let go: a log may be longer than memory.
"""

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from sqlalchemy import LargeBinary, Row, Select, cast, select
from sqlalchemy.orm import Session

from fanal import merkle
from fanal.log import leaves_of
from fanal.log_findings import Findings
from fanal.log_record import Leaf
from fanal.schema import LogNodeRow

_AT_ONCE = 1000  # rows
_HEAD_BYTES = 8
_WIDEST_GAP = 1_000_000  # entries; a number beyond that is no place

_Learn = Callable[[int, bytes], None]
Levels = Mapping[int, Iterator[Row[int, bytes]]]


@dataclass(frozen=True)
class Tree:
    """What the entries of a log give. roots: of the first so many, for the sizes asked for."""

    log: str
    size: int
    root: bytes
    roots: dict[int, bytes] = field(repr=False)


def computed(
    session: Session, log: str, sizes: Iterable[int], found: Findings, learn: _Learn
) -> Tree:
    """Compute a log anew and compare what was kept of it. learn(number, content): every entry."""
    asked = leaves_of(log).execution_options(yield_per=_AT_ONCE)
    rows = (Leaf(*row) for row in session.execute(asked))
    levels = select(LogNodeRow.level).where(LogNodeRow.log == log).distinct()
    kept = {
        level: iter(session.execute(_level(log, level))) for level in session.scalars(levels).all()
    }
    return compared(log, rows, kept, sizes, found, learn)


def compared(
    log: str, rows: Iterable[Leaf], levels: Levels, sizes: Iterable[int], found: Findings,
    learn: _Learn,
) -> Tree:  # fmt: skip
    """As `computed`, wherever it is kept. rows: the entries, in the order of their numbers; levels:
    of each level of nodes that are kept (number, hash), in the order of their numbers."""
    frontier, kept = merkle.Frontier(), _Kept(levels, log, found)
    wanted, roots = set(sizes), {0: merkle.EMPTY_ROOT}
    heads = array("Q")
    for number, row in _numbered(rows, log, found):
        leaf = bytes(merkle.HASH_SIZE) if row is None else merkle.leaf_hash(row.content)
        is_bad = row is None or leaf != row.hash
        if is_bad:
            code, what = ("missing", "is missing") if row is None else ("edited", "was changed")
            found.add(code, f"Entry {number} {what}.", log, number)
        heads.append(int.from_bytes(leaf[:_HEAD_BYTES], "big"))
        kept.compare(frontier.append(leaf), is_bad=is_bad)
        if frontier.size in wanted:
            roots[frontier.size] = frontier.root()
        if row is not None:
            learn(number, row.content)
    kept.end(frontier.size)
    for first, again in _twice(heads):
        found.add("inserted", f"Entry {again} is entry {first} once more.", log, again)
    return Tree(log, frontier.size, frontier.root(), roots)


def _twice(heads: "array[int]") -> Iterator[tuple[int, int]]:
    """Give (number, number) of equal hashes: each entry has a salt of its own, so one was copied.

    heads: how the hash of each entry begins; 0 of one that is missing.
    """
    order = sorted(range(len(heads)), key=heads.__getitem__)
    for first, again in pairwise(order):
        if heads[first] == heads[again] != 0:
            yield first, again


def _numbered(rows: Iterable[Leaf], log: str, found: Findings) -> Iterator[tuple[int, Leaf | None]]:
    """Give (number, entry) from 0 on without a gap; None for one that is not there."""
    expected = 0
    for row in rows:
        if row.number < 0 or row.number > expected + _WIDEST_GAP:
            found.add("edited", f"An entry has the number {row.number}.", log)
            continue
        while expected < row.number:
            yield expected, None
            expected += 1
        yield row.number, row
        expected += 1


class _Kept:
    """The hashes over many entries as they were kept, each level read beside the others."""

    def __init__(self, levels: Levels, log: str, found: Findings) -> None:
        self._log, self._found = log, found
        self._spoiled: set[tuple[int, int]] = set()
        self._has_stray, self._has_more = False, False
        self._levels = levels
        self._next = {level: next(rows, None) for level, rows in self._levels.items()}

    def compare(self, nodes: Iterable[merkle.Node], *, is_bad: bool) -> None:
        """Compare what became whole when an entry joined; is_bad: that one was told already."""
        spoiled = self._spoiled
        for level, number, hash_ in nodes:
            if level == 0:
                is_spoiled = is_bad
            else:
                children = {(level - 1, 2 * number), (level - 1, 2 * number + 1)}
                is_spoiled = bool(children & spoiled)
                spoiled -= children
                if self._take(level, number) != hash_ and not is_spoiled:
                    is_spoiled = True
                    self._tell(level, number)
            if is_spoiled:
                spoiled.add((level, number))

    def end(self, size: int) -> None:
        """Say whether there are hashes of entries that are not there."""
        for level, row in self._next.items():
            if row is not None:
                self._has_more |= level > 0 <= row[0]
                self._has_stray |= not level > 0 <= row[0]
        if self._has_more and not self._has_stray:
            self._found.add("cut", f"Entries from {size} on were cut off.", self._log, size)
        elif self._has_more or self._has_stray:
            sentence = "There is a hash that belongs to no entry."
            self._found.add("nodes", sentence, self._log, size)

    def _take(self, level: int, number: int) -> bytes | None:
        """Return what was kept of a node; None if nothing was."""
        row = self._next.get(level)
        while row is not None and row[0] < number:
            self._has_stray = True
            row = self._next[level] = next(self._levels[level], None)
        if row is None or row[0] != number:
            return None
        self._next[level] = next(self._levels[level], None)
        return row[1]

    def _tell(self, level: int, number: int) -> None:
        first = number << level
        sentence = f"Entries {first} to {first + (1 << level) - 1} are not those that were written."
        self._found.add("nodes", sentence, self._log, first)


def _level(log: str, level: int) -> Select[int, bytes]:
    return (
        select(LogNodeRow.number, cast(LogNodeRow.hash, LargeBinary))
        .where(LogNodeRow.log == log, LogNodeRow.level == level)
        .order_by(LogNodeRow.number)
        .execution_options(yield_per=_AT_ONCE)
    )
