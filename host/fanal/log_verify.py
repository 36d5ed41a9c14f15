"""Is everything in the log, and in the tables it speaks of, as it was when it was written down?

Everything is computed anew from the entries themselves. What that finds by itself: an entry that
was changed, taken out, put in or moved, unless whoever did it also made all hashes anew; and a
beacon, a station or a line of a history that is not as the log tells. Checkpoints find the rest, up
to their size, since nobody else can sign one. A tail that was cut off with its checkpoints, or a
whole older copy of the file, is seen only by a checkpoint kept elsewhere: an *anchor*.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import LargeBinary, cast, select, text
from sqlalchemy.orm import Session

from fanal import certificate, log_entry, merkle
from fanal.checkpoint import Checkpoint, open_checkpoint, parse
from fanal.error import IntegrityError
from fanal.log import OWN, Log, leaves_of, origin_of
from fanal.log_record import Leaf
from fanal.log_tables import Told, differences, strange
from fanal.schema import FleetRow, LogCheckpointRow, LogLeafRow, LogNodeRow, StationRow

MOST_FINDINGS = 200


@dataclass(frozen=True)
class Finding:
    """Something that is not as it was. entry: where, None if it cannot be told so closely.

    code: edited, missing, unreadable, nodes, cut, checkpoint, table, anchor, file.
    """

    code: str
    sentence: str
    log: str = OWN
    entry: int | None = None


@dataclass(frozen=True)
class LogState:
    """One log. signed: how many of its entries a good checkpoint covers. root: 32 bytes."""

    log: str
    size: int
    root: bytes
    signed: int


@dataclass(frozen=True)
class Verified:
    """The outcome: it is as it was if there are no findings. anchors: how many were checked."""

    logs: tuple[LogState, ...]
    findings: tuple[Finding, ...]
    remarks: tuple[str, ...]
    anchors: int


@dataclass
class _Tree:
    """A log, computed anew."""

    log: str
    size: int = 0
    nodes: dict[tuple[int, int], bytes] = field(default_factory=dict)
    bad: list[int] = field(default_factory=list)  # entries that were found already
    restored: dict[int, int] = field(default_factory=dict)  # epoch -> the entry that began it

    def read(self, level: int, number: int) -> bytes:
        return self.nodes[level, number]

    def root(self, size: int) -> bytes:
        return merkle.root(size, self.read)


def verify(registry: Log, anchors: Iterable[str] = ()) -> Verified:
    """Check a whole registry. anchors: signed checkpoints, as notes, kept outside of it.

    Raises FanalError if the file cannot be read at all.
    """
    with registry.snapshot() as session:
        return _Examination(session).run(list(anchors))


class _Examination:
    def __init__(self, session: Session) -> None:
        self.session = session
        self.findings: list[Finding] = []
        self.remarks: list[str] = []

    def run(self, anchors: list[str]) -> Verified:
        problem = self.session.scalar(text("PRAGMA integrity_check"))
        if problem != "ok":
            self.find("file", f"The file is damaged: {problem}.")
        for sentence in strange(self.session):
            self.find("table", sentence)
        if self.findings or self.session.get(FleetRow, 1) is None:
            self.find("file", "What the registry says of its log cannot be compared.")
            return Verified((), tuple(self.findings), (), 0)
        self.fleet = self.session.get_one(FleetRow, 1)
        logs = {OWN, *self.session.scalars(select(LogLeafRow.log).distinct()),
                *self.session.scalars(select(LogCheckpointRow.log).distinct())}  # fmt: skip
        trees = {log: self.tree(log) for log in sorted(logs)}
        states = tuple(self.state(tree) for tree in trees.values())
        for note in anchors:
            self.anchor(note, trees, states)
        return Verified(
            states, tuple(self.findings[:MOST_FINDINGS]), tuple(self.remarks), len(anchors)
        )

    def find(self, code: str, sentence: str, log: str = OWN, entry: int | None = None) -> None:
        self.findings.append(Finding(code, sentence, log, entry))

    # -- the entries

    def tree(self, log: str) -> _Tree:
        """Compute a log anew from its entries, and compare what was kept of it."""
        tree, told = _Tree(log), Told()
        for number, row in self.rows(log):
            if row is None:
                self.find("missing", f"Entry {number} is missing.", log, number)
                tree.bad.append(number)
                self.grow(tree, bytes(merkle.HASH_SIZE))
                continue
            leaf = merkle.leaf_hash(row.content)
            if leaf != row.hash:
                self.find("edited", f"Entry {number} was changed.", log, number)
                tree.bad.append(number)
            self.grow(tree, leaf)
            self.learn(tree, told, number, row.content)
        self.compare_nodes(tree)
        if log == OWN:
            self.compare_tables(told)
        return tree

    def compare_tables(self, told: Told) -> None:
        for entry, sentence in differences(self.session, told):
            self.find("table", sentence, OWN, entry)

    def rows(self, log: str) -> Iterator[tuple[int, Leaf | None]]:
        """Give (number, entry) from 0 on without a gap; None for one that is not there."""
        asked = leaves_of(log).execution_options(yield_per=1000)
        expected = 0
        for row in (Leaf(*row) for row in self.session.execute(asked)):
            if row.number < 0 or row.number > expected + 1_000_000:
                self.find("edited", f"An entry has the number {row.number}.", log)
                continue
            while expected < row.number:
                yield expected, None
                expected += 1
            yield row.number, row
            expected += 1

    def grow(self, tree: _Tree, leaf: bytes) -> None:
        for level, number, found in merkle.appended(tree.size, leaf, tree.read):
            tree.nodes[level, number] = found
        tree.size += 1

    def learn(self, tree: _Tree, told: Told, number: int, content: bytes) -> None:
        try:
            fields = log_entry.decode(content)
        except IntegrityError:
            self.find("unreadable", f"Entry {number} is unreadable.", tree.log, number)
            return
        told.take(number, fields)
        epoch = fields.get("row", {}).get("epoch")
        if isinstance(epoch, int):
            tree.restored.setdefault(epoch, number)

    def compare_nodes(self, tree: _Tree) -> None:
        """Say where the hashes that were kept are not those of the entries."""
        spoiled = {(0, number) for number in tree.bad}
        asked = select(
            LogNodeRow.level, LogNodeRow.number, cast(LogNodeRow.hash, LargeBinary)
        ).where(LogNodeRow.log == tree.log)
        kept = {(level, number): found for level, number, found in self.session.execute(asked)}
        for (level, number), found in sorted(tree.nodes.items()):
            if level == 0:
                continue
            children = {(level - 1, 2 * number), (level - 1, 2 * number + 1)}
            if children & spoiled:
                spoiled.add((level, number))
            elif kept.get((level, number)) != found:
                spoiled.add((level, number))
                first = number << level
                span = f"Entries {first} to {first + (1 << level) - 1}"
                self.find("nodes", f"{span} are not those that were written.", tree.log, first)
        if left := kept.keys() - tree.nodes.keys():
            is_beyond = all(level > 0 <= number for level, number in left)
            sentence = f"Entries from {tree.size} on were cut off."
            if not is_beyond:
                sentence = "There is a hash that belongs to no entry."
            self.find("cut" if is_beyond else "nodes", sentence, tree.log, tree.size)

    # -- the checkpoints

    def state(self, tree: _Tree) -> LogState:
        """Check the checkpoints that the file itself keeps of a log."""
        asked = select(LogCheckpointRow).where(LogCheckpointRow.log == tree.log)
        signed = 0
        for row in self.session.scalars(asked.order_by(LogCheckpointRow.size)):
            try:
                told = self.opened(row.note)
                if (told.origin, told.size) != (row.origin, row.size):
                    raise IntegrityError("It is kept as another one.")
                self.require_of(tree, told)
            except IntegrityError as problem:
                what = f"The checkpoint of size {row.size} is not good: {problem.sentence}"
                self.find("checkpoint", what, tree.log)
                continue
            if self.fits(tree, told, signed, "checkpoint"):
                signed = told.size
        if signed < tree.size:
            what = "this file's log" if tree.log == OWN else tree.log
            self.remarks.append(
                f"{tree.size - signed} of {tree.size} entries of {what} are not signed yet."
            )
        return LogState(tree.log, tree.size, tree.root(tree.size), signed)

    def opened(self, note: str) -> Checkpoint:
        """Return a checkpoint that a station of this fleet signed. Raises IntegrityError."""
        told = parse(note)
        number, _ = _station_of(told.origin)
        row = None if number is None else self.session.get(StationRow, number)
        if number is None or row is None:
            raise IntegrityError("It is by no station of this registry.")
        station = certificate.from_der(row.certificate)
        certificate.verify_station(number, station, certificate.from_der(self.fleet.certificate))
        return open_checkpoint(note, certificate.public_key_of(station))

    def require_of(self, tree: _Tree, told: Checkpoint) -> None:
        """Raise IntegrityError unless a checkpoint is one of that log."""
        number, epoch = _station_of(told.origin)
        if tree.log != OWN:
            is_of = told.origin == tree.log
        else:
            is_of = number == self.fleet.station and epoch <= self.fleet.epoch
        if number is None or not is_of:
            raise IntegrityError("It is that of another log.")
        if told.origin != origin_of(self.fleet.certificate, number, epoch):
            raise IntegrityError("It is that of another fleet.")

    def fits(self, tree: _Tree, told: Checkpoint, after: int, code: str) -> bool:
        """Say whether the log still begins with what was signed, and write it down if not."""
        whose = "a checkpoint" if code == "checkpoint" else "a checkpoint kept elsewhere"
        if told.size > tree.size:
            sentence = (
                f"The log was cut off, or is an older copy: {whose} covers {told.size} entries,"
                f" here are {tree.size}."
            )
            self.find("cut", sentence, tree.log, tree.size)
            return False
        if told.root == tree.root(told.size):
            return True
        if not any(number < told.size for number in self.places(tree.log)):
            sentence = (
                f"Somewhere from entry {min(after, told.size)} to {told.size - 1} the log is not"
                f" what {whose} says of it."
            )
            self.find(code, sentence, tree.log)
        return False

    def places(self, log: str) -> list[int]:
        located = ("edited", "missing", "nodes")
        return [f.entry for f in self.findings
                if f.log == log and f.code in located and f.entry is not None]  # fmt: skip

    def anchor(self, note: str, trees: dict[str, _Tree], states: tuple[LogState, ...]) -> None:
        """Check one checkpoint that was kept outside of the file."""
        try:
            told = self.opened(note)
            tree = trees.get(told.origin) or trees[OWN]
            self.require_of(tree, told)
        except IntegrityError as problem:
            sentence = f"A checkpoint kept elsewhere is not good: {problem.sentence}"
            self.find("anchor", sentence)
            return
        signed = next(state.signed for state in states if state.log == tree.log)
        begun = tree.restored.get(_station_of(told.origin)[1] + 1) if tree.log == OWN else None
        if begun is None or told.size <= begun:
            self.fits(tree, told, 0, "anchor")
        elif signed > begun:
            # whoever holds the station's key signed for what came after
            self.remarks.append(
                f"{told.size - begun} entries were lost when the registry was restored from a"
                f" backup (entry {begun})."
            )
        else:
            sentence = (
                f"The registry says that it was restored (entry {begun}), and nobody signed for"
                f" that; {told.size - begun} entries of before are gone."
            )
            self.find("cut", sentence, OWN, begun)


def _station_of(origin: str) -> tuple[int | None, int]:
    """Return (station, epoch) of the origin of a station's log; None if it is none."""
    parts = origin.split("/")
    found: list[Any] = []
    for part, prefix in zip(parts[2:], ("station-", "epoch-"), strict=False):
        number = part.removeprefix(prefix)
        if not part.startswith(prefix) or not number.isascii() or not number.isdigit():
            return None, 0
        found.append(int(number))
    if parts[0] != "fanal" or not found or len(parts) > 4:
        return None, 0
    return found[0], (found[1] if len(found) > 1 else 0)
