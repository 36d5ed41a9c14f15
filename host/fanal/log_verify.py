"""Is everything in the log, and in the tables it speaks of, as it was when it was written down?

Everything is computed anew from the entries themselves. What that finds by itself: an entry that
was changed, taken out, put in or moved, unless whoever did it also made all hashes anew; and a
beacon, a station or a line of a history that is not as the log tells. Checkpoints find the rest, up
to their size, since nobody else can sign one. A tail that was cut off with its checkpoints, or a
whole older copy of the file, is seen only by a checkpoint kept elsewhere: an *anchor*.
"""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.exc import DatabaseError
from sqlalchemy.orm import Session

from fanal import log_entry, log_shape
from fanal.error import IntegrityError
from fanal.log import OWN, Log, epoch_of, leaves_of, origin_of
from fanal.log_findings import MOST_FINDINGS, Findings
from fanal.log_record import Finding, LogState, Verified
from fanal.log_signed import Signatures, size_told, station_of
from fanal.log_tables import Told
from fanal.log_tree import Tree, computed
from fanal.schema import FleetRow, LogCheckpointRow, LogLeafRow, LogNodeRow

__all__ = ["MOST_FINDINGS", "Finding", "LogState", "Verified", "verify"]

_OF_THE_COMPUTER = ("BUSY", "LOCKED", "READONLY", "CANTOPEN", "PERM", "FULL", "IOERR", "NOMEM")


def verify(
    registry: Log,
    anchors: Iterable[str] = (),
    kept: Callable[[str], Iterable[str]] = lambda _: (),
) -> Verified:
    """Check a whole registry. anchors: signed checkpoints, as notes, kept outside of it.

    kept: more of them, by the name of the log, which is not believed before the file was looked at.
    Raises FanalError if the file cannot be read at all.
    """
    with registry.snapshot() as session:
        examination = _Examination(session)
        try:
            return examination.run(list(anchors), kept)
        except DatabaseError as problem:
            name = getattr(problem.orig, "sqlite_errorname", "")
            if name.removeprefix("SQLITE_").startswith(_OF_THE_COMPUTER):
                raise
            examination.found.add("file", "The file is damaged: not all of it can be read.")
            return examination.outcome()


class _Examination:
    def __init__(self, session: Session) -> None:
        self.session = session
        self.found = Findings()
        self.states: list[LogState] = []
        self.remarks: list[str] = []
        self.anchors: list[str] = []

    def outcome(self) -> Verified:
        return Verified(
            tuple(self.states), tuple(self.found.first), tuple(self.remarks), len(self.anchors)
        )

    def run(self, anchors: list[str], kept: Callable[[str], Iterable[str]]) -> Verified:
        fleet = self.comparable()
        if fleet is None:
            self.found.add("file", "What the registry says of its log cannot be compared.")
            return self.outcome()
        own = origin_of(fleet.certificate, fleet.station, epoch_of(fleet))
        self.anchors = list(dict.fromkeys([*anchors, *kept(own)]))
        told = Told(self.session)
        trees = {log: self.tree(log, told) for log in self.logs()}
        for sentence in log_shape.texts_for_bytes(self.session):
            self.found.add("table", sentence)
        for entry, sentence in told.differences():
            self.found.add("table", sentence, OWN, entry)
        self.require_merged(trees, told, fleet)
        signatures = Signatures(self.session, fleet, self.found)
        signed = {log: signatures.covered(tree) for log, tree in trees.items()}
        self.states = [self.state(tree, signed[log]) for log, tree in trees.items()]
        for note in self.anchors:
            if remark := signatures.anchor(note, trees, signed, told.restored):
                self.remarks.append(remark)
        return self.outcome()

    def comparable(self) -> FleetRow | None:
        """Return the fleet's row if everything else can be read as what it is."""
        for sentence in log_shape.damages(self.session):
            self.found.add("file", sentence)
        for sentence in log_shape.strange_objects(self.session):
            self.found.add("file", sentence)
        if self.found:
            return None  # who knows what a question would be answered with
        for sentence in log_shape.strange_values(self.session):
            self.found.add("table", sentence)
        fleet = None if self.found else self.session.get(FleetRow, 1)
        if fleet is None:
            return None
        try:
            origin_of(fleet.certificate, fleet.station, epoch_of(fleet))
        except IntegrityError as problem:
            self.found.add("table", f"The fleet: {problem.sentence}")
            return None
        return fleet

    def logs(self) -> list[str]:
        """Return the names of all logs of which there is anything; OWN comes first."""
        tables = (LogLeafRow.log, LogNodeRow.log, LogCheckpointRow.log)
        return sorted({OWN}.union(*(self.session.scalars(select(of).distinct()) for of in tables)))

    def tree(self, log: str, told: Told) -> Tree:
        """Compute a log anew, compare what was kept of it, and learn what it says of the tables."""

        def learn(number: int, content: bytes) -> None:
            try:
                fields = log_entry.decode(content)
                for entry, sentence in told.take(number, fields) if log == OWN else ():
                    self.found.add("table", sentence, OWN, entry)
            except IntegrityError:
                self.found.add("unreadable", f"Entry {number} is unreadable.", log, number)

        asked = select(LogCheckpointRow.size).where(LogCheckpointRow.log == log)
        sizes = {*self.session.scalars(asked), *map(size_told, self.anchors)}
        return computed(self.session, log, sizes, self.found, learn)

    def require_merged(self, trees: dict[str, Tree], told: Told, fleet: FleetRow) -> None:
        """Say which logs of stations are not those that were brought in."""
        for log in sorted((trees.keys() | told.merged.keys()) - {OWN}):
            number, epoch = station_of(log)
            if number is None or log != origin_of(fleet.certificate, number, epoch):
                self.found.add("table", "This is a log of no station of this fleet.", log)
            entry, size, root = told.merged.get(log, (None, 0, ""))
            tree = trees.get(log)
            if entry is None:
                self.found.add("table", "No entry says that this log was brought in.", log)
            elif tree is None or tree.size < size:
                sentence = f"Entry {entry} brought in {size} entries of a log that are not here."
                self.found.add("cut", sentence, log, None if tree is None else tree.size)
            elif tree.root.hex() != root and not self.found.begins_before(log, tree.size):
                sentence = f"The log is not the one that entry {entry} brought in."
                self.found.add("table", sentence, log)

    def state(self, tree: Tree, signed: int) -> LogState:
        if signed >= tree.size:
            return LogState(tree.log, tree.size, tree.root, signed)
        since = self.written_ms(tree.log, signed)
        what = "this file's log" if tree.log == OWN else tree.log
        self.remarks.append(
            f"{tree.size - signed} of {tree.size} entries of {what} are not signed yet"
            f"{'' if since is None else f', the first of {_utc(since)}'}."
        )
        return LogState(tree.log, tree.size, tree.root, signed, since)

    def written_ms(self, log: str, number: int) -> int | None:
        """Return when an entry was written, by its own word; None if it cannot be read."""
        row = self.session.execute(leaves_of(log).where(LogLeafRow.number == number)).first()
        return None if row is None else log_entry.written_ms(row[1])


def _utc(at_ms: int) -> str:
    try:
        return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (ValueError, OverflowError, OSError):
        return f"{at_ms} ms"
