"""Is everything in the hub's log, and in the tables it speaks of, as it was when it was written?

As `log_verify` does it for a registry: everything is computed anew from the entries, compared with
the hashes that were kept, with incidents, timelines, accounts, listeners and sites, then with what
the log key signed, here and elsewhere. A tail that was cut off with its checkpoints, and an older
copy, are seen only by a checkpoint that lies elsewhere: an *anchor*.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import cast as as_type

from sqlalchemy import LargeBinary, Row, Table, cast, select, text
from sqlalchemy.orm import Session

from fanal import certificate, log_entry, log_shape
from fanal.checkpoint import Checkpoint, open_checkpoint, parse
from fanal.error import IntegrityError
from fanal.hub import hub_log
from fanal.hub.hub_log_checkpoint import epoch_in, epoch_of, kept, origin_of
from fanal.hub.hub_log_told import Told
from fanal.hub.store import Store
from fanal.hub.tables import (
    ActionRow,
    BeaconRow,
    FleetRow,
    IncidentRow,
    ListenerRow,
    LogCheckpointRow,
    LogLeafRow,
    LogNodeRow,
    MetaRow,
    SiteRow,
    StationRow,
    UserRow,
)
from fanal.log_epoch import NEVER_RESTORED, Epoch
from fanal.log_findings import Findings
from fanal.log_record import Leaf, LogState, Verified
from fanal.log_signed import covered, fits, lost, size_told
from fanal.log_tree import Tree, compared

_LOOKED_AT = (LogLeafRow, LogNodeRow, LogCheckpointRow, IncidentRow, ActionRow, UserRow,
              ListenerRow, SiteRow, FleetRow, StationRow, BeaconRow, MetaRow)  # fmt: skip
_AT_ONCE = 1000
_NAMES = [of.__tablename__ for of in _LOOKED_AT]
_OF_SQLITE = "SELECT type, name FROM sqlite_master WHERE type IN ('trigger', 'view')"
# a view is a relation with a rule
_OF_POSTGRESQL = """
SELECT kind, name FROM (
    SELECT 'trigger', tgname, tgrelid FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL SELECT 'rule', rulename, ev_class FROM pg_rewrite
    UNION ALL SELECT 'policy', polname, polrelid FROM pg_policy
) AS made (kind, name, of) JOIN pg_class ON pg_class.oid = of
WHERE relname = ANY(:tables) AND pg_table_is_visible(of) ORDER BY kind, name
"""

Kept = Callable[[str], Iterable[str]]


def verify(
    store: Store, log_key: bytes, anchors: Iterable[str] = (), outside: Kept = kept
) -> Verified:
    """Check the log of a hub, and what it speaks of.

    log_key: the hub's public one, 32 bytes, from its folder. anchors: signed checkpoints, as notes.
    outside: more of them, by the name of the log. Raises EnvironmentFault if the database cannot be
    read at all.
    """
    signed: list[str] = []

    def remembered(origin: str) -> Iterable[str]:
        signed.extend(outside(origin))
        return signed

    anchors = list(anchors)
    found = _examined(store, log_key, anchors, remembered)
    if found.findings and signed:
        # a hub that runs may have signed for more since the moment of which all was read
        found = _examined(store, log_key, anchors, lambda _: signed)
    return found


def _examined(store: Store, log_key: bytes, anchors: Iterable[str], outside: Kept) -> Verified:
    with store.reading() as session:
        if not store.is_sqlite:  # all that is read is of one moment
            session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        return _Examination(session, log_key, is_sqlite=store.is_sqlite).run(anchors, outside)


class _Examination:
    def __init__(self, session: Session, log_key: bytes, *, is_sqlite: bool) -> None:
        self.session, self.log_key, self.is_sqlite = session, log_key, is_sqlite
        self.found = Findings()
        self.remarks: list[str] = []
        self.told = Told()

    def run(self, anchors: Iterable[str], outside: Kept) -> Verified:
        if not self.is_comparable():
            return Verified((), tuple(self.found.first), (), 0)
        origin = self.origin()
        notes = list(dict.fromkeys([*anchors, *(outside(origin) if origin else ())]))
        tree = self.tree(notes)
        for entry, sentence in self.told.differences(self.session):
            self.found.add("table", sentence, entry=entry)
        if epoch_of(self.session) != max(self.told.restored, default=NEVER_RESTORED):
            self.found.add("table", "The log does not say how often the hub was restored.")
        signed = self.covered(tree)
        if signed < tree.size:
            count = f"{tree.size - signed} of {tree.size}"
            self.remarks.append(f"{count} entries of the hub's log are not signed yet.")
        for note in notes:
            self.anchor(tree, note, signed)
        state = LogState("", tree.size, tree.root, signed)
        return Verified((state,), tuple(self.found.first), tuple(self.remarks), len(notes))

    def is_comparable(self) -> bool:
        """Say whether everything can be read as what it is."""
        for sentence in log_shape.damages(self.session) if self.is_sqlite else ():
            self.found.add("file", sentence)
        for kind, name in self.strangers():
            self.found.add("file", f"There is a {kind} that Fanal did not make: {name!r}.")
        if self.is_sqlite and not self.found:
            tables = [as_type(Table, of.__table__) for of in _LOOKED_AT]
            for sentence in log_shape.strange_values(self.session, tables):
                self.found.add("table", sentence)
        if self.found:
            self.found.add("file", "What the database says of its log cannot be compared.")
        return not self.found

    def strangers(self) -> Iterable[tuple[str, str]]:
        """Give (kind, name) of what makes a program read, or write, something else."""
        if self.is_sqlite:
            found = self.session.execute(text(_OF_SQLITE))
        else:
            found = self.session.execute(text(_OF_POSTGRESQL), {"tables": _NAMES})
        return ((kind, name) for kind, name in found)

    def origin(self) -> str:
        """Return the name of the log, "" if there is no fleet, or not the one that should be."""
        self.fleet = self.session.get(FleetRow, 1)
        if self.fleet is None:
            return ""
        try:
            fleet = certificate.from_der(self.fleet.certificate)
            log = certificate.from_der(self.fleet.log_certificate)
            certificate.verify_log(log, fleet, self.log_key)
            return origin_of(self.fleet, epoch_of(self.session))
        except IntegrityError as problem:
            self.found.add("table", f"The fleet: {problem.sentence}")
            self.fleet = None
            return ""

    def tree(self, notes: Iterable[str]) -> Tree:
        """Compute the log anew, compare what was kept of it, and learn what it says."""

        def learn(number: int, content: bytes) -> None:
            try:
                self.told.take(number, log_entry.decode(content))
            except IntegrityError:
                self.found.add("unreadable", f"Entry {number} is unreadable.", entry=number)

        asked = hub_log.leaves_asked().execution_options(yield_per=_AT_ONCE)
        rows = (Leaf(*row) for row in self.session.execute(asked))
        levels = self.session.scalars(select(LogNodeRow.level).distinct()).all()
        sizes = {*self.session.scalars(select(LogCheckpointRow.size)), *map(size_told, notes)}
        nodes = {level: self.level(level) for level in levels}
        return compared("", rows, nodes, sizes, self.found, learn)

    def level(self, level: int) -> Iterator[Row[int, bytes]]:
        asked = select(LogNodeRow.number, cast(LogNodeRow.hash, LargeBinary))
        asked = asked.where(LogNodeRow.level == level).order_by(LogNodeRow.number)
        return iter(self.session.execute(asked.execution_options(yield_per=_AT_ONCE)))

    def covered(self, tree: Tree) -> int:
        """Check the checkpoints in the database; return how many entries a good one covers."""
        asked = select(LogCheckpointRow.origin, LogCheckpointRow.size, LogCheckpointRow.note)
        asked = asked.order_by(LogCheckpointRow.size).execution_options(yield_per=_AT_ONCE)
        return covered(self.found, tree, self.session.execute(asked),
                       lambda note: self.opened(note)[0])  # fmt: skip

    def opened(self, note: str) -> tuple[Checkpoint, Epoch]:
        """Return a checkpoint of this log, and of which epoch it is. Raises IntegrityError."""
        told = parse(note)
        if self.fleet is None:
            raise IntegrityError("This hub has no fleet that certified its log key.")
        epoch = epoch_in(told.origin, self.fleet)
        if epoch is None:
            raise IntegrityError("It is that of another hub.")
        opened = open_checkpoint(note, self.log_key)
        own = epoch_of(self.session)
        if epoch.number > own.number:
            raise IntegrityError("It was signed after a restore, and this database is of before.")
        if not epoch.leads_to(own):
            raise IntegrityError(
                f"It was signed in another restored copy ({told.origin}), which goes on beside this"
                " one."
            )
        return opened, epoch

    def anchor(self, tree: Tree, note: str, signed: int) -> None:
        """Check one checkpoint that was kept outside of the database."""
        try:
            told, epoch = self.opened(note)
        except IntegrityError as problem:
            self.found.add("anchor", f"A checkpoint kept elsewhere is not good: {problem.sentence}")
            return
        since = (at for of, at in self.told.restored.items() if not of.leads_to(epoch))
        begun = min(since, default=None)
        if begun is None or told.size <= begun:
            fits(self.found, tree, told, 0, "anchor")
        elif signed > begun:  # whoever holds the log key signed for what came after
            what = lost(told.size - begun)
            self.remarks.append(f"{what} when the hub went on from a backup (entry {begun}).")
        else:
            sentence = (
                f"The hub says that it went on from a backup (entry {begun}), and nobody signed"
                f" for that; {told.size - begun} entries of before are gone."
            )
            self.found.add("cut", sentence, entry=begun)
