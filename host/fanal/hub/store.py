"""The hub's database: SQLite in its folder, or PostgreSQL by its URL; one code for both.

SQLite: a write-ahead log, synced at each commit. The hub is one machine's, and readers of the
page must not wait for what comes in. Times come from `now_ms`.
"""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Self

from sqlalchemy import URL, Connection, Engine, create_engine, inspect, make_url, select, update
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError
from sqlalchemy.orm import Session
from sqlalchemy.schema import CreateColumn

from fanal.error import EnvironmentFault, UsageError
from fanal.hub import hub_log
from fanal.hub.tables import SCHEMA_VERSION, Base, MetaRow, TurnRow
from fanal.printable import printable
from fanal.sqlite_engine import engine_of, for_writing

_BUSY_S = 30.0
_PRAGMAS = (
    "foreign_keys = ON", "journal_mode = WAL", "synchronous = FULL", "secure_delete = ON",
)  # fmt: skip
AHEAD_MS = 60_000  # more than the clocks of two workers may differ by
BEACONS = "beacons"  # a key of `MetaRow`: whoever watches beacons reads them again when it moves
_CHANGE = "change"
_SCHEMA = "schema"
_SHOWS = "fanal_shows"  # in `Session.info`


class Store:
    """An open database of a hub. Safe to share between threads."""

    def __init__(self, url: str | URL, now_ms: Callable[[], int] | None = None) -> None:
        """Open it, and make the tables if it is empty. Raises UsageError, EnvironmentFault."""
        self.now_ms = now_ms or (lambda: time.time_ns() // 1_000_000)
        self.engine = _engine(url)
        self.is_sqlite = self.engine.dialect.name == "sqlite"
        try:
            self._prepare()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Give a session to read by; raises EnvironmentFault if the database fails."""
        with translated(), Session(self.engine) as session:
            yield session

    @contextmanager
    def writing(self, *, shows: bool = False) -> Iterator[Session]:
        """Give a session whose work is one transaction: committed whole, or not at all.

        shows: whether people who look at the page should see it at once. Raises EnvironmentFault.
        """
        with translated(), Session(for_writing(self.engine)) as session, session.begin():
            yield session
            # in this order, and last: so no two transactions wait for each other in a circle
            hub_log.write_down(session)
            if shows or session.info.pop(_SHOWS, False):
                session.flush()
                session.execute(
                    update(MetaRow).where(MetaRow.key == _CHANGE).values(value=MetaRow.value + 1)
                )

    def change(self) -> int:
        """Return a number that goes up with every commit that shows."""
        with self.reading() as session:
            return session.get_one(MetaRow, _CHANGE).value

    def _prepare(self) -> None:
        with self.writing() as session:
            connection = session.connection()
            if not self.is_sqlite:
                # two workers that start at once must not both make the tables
                connection.exec_driver_sql("SELECT pg_advisory_xact_lock(4604)")
            Base.metadata.create_all(connection)
            _add_columns(connection)
            known = session.get(MetaRow, _SCHEMA)
            if known is None:
                session.add_all([MetaRow(key=_SCHEMA, value=SCHEMA_VERSION),
                                 MetaRow(key=_CHANGE, value=0), MetaRow(key=BEACONS, value=0),
                                 TurnRow(id=1, worker="", at_ms=0)])  # fmt: skip
            elif known.value > SCHEMA_VERSION:
                raise EnvironmentFault(
                    f"The hub's database was written by a newer Fanal (schema {known.value}).",
                    "Update Fanal on this computer; nothing was changed.",
                    code="newer",
                )
            hub_log.begin(session, self.now_ms())


def touch(session: Session) -> None:
    """Tell whoever looks at the page that something changed, when this transaction commits."""
    session.info[_SHOWS] = True


def take_turn(session: Session, worker: str, now_ms: int, patience_ms: int) -> str | None:
    """Return which worker resolved last if `worker` may resolve in this transaction, else None.

    The row stays locked until it ends, so no two resolve at once. A worker takes over when the
    other has not resolved for `patience_ms`; if the answer is another name than its own, all that
    it remembers of lines and windows is stale.
    """
    turn = session.scalars(
        select(TurnRow).where(TurnRow.id == 1).with_for_update(skip_locked=True)
    ).one_or_none()
    # a clock that was set, here or there, must not keep the turn with a worker that is gone
    if turn is None or (turn.worker not in ("", worker) and abs(now_ms - turn.at_ms) < patience_ms):
        return None
    before, turn.worker, turn.at_ms = turn.worker, worker, now_ms
    return before


def _add_columns(connection: Connection) -> None:
    """Give tables of before the columns that came since: all of them may be empty.

    A Fanal of before goes on with them as it did, so the schema's number stays.
    """
    present = inspect(connection)
    for table in Base.metadata.sorted_tables:
        known = {column["name"] for column in present.get_columns(table.name)}
        for column in table.columns:
            if column.name not in known:
                made = CreateColumn(column).compile(dialect=connection.dialect)
                name = connection.dialect.identifier_preparer.format_table(table)
                connection.exec_driver_sql(f"ALTER TABLE {name} ADD COLUMN {made}")


def _engine(url: str | URL) -> Engine:
    try:
        parsed = make_url(url)
        if parsed.drivername == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg")
        if parsed.get_backend_name() not in ("sqlite", "postgresql"):
            raise ArgumentError
        if parsed.get_backend_name() == "postgresql":
            return create_engine(parsed, pool_pre_ping=True, hide_parameters=True)
    except (ArgumentError, NoSuchModuleError):
        # the URL may hold a password: it is not quoted
        raise UsageError(
            "The database's URL is not one that a hub can use.",
            "Write it as postgresql://user@host/name, or leave it out for a file in the folder.",
        ) from None
    return engine_of(parsed, _BUSY_S, _PRAGMAS)


@contextmanager
def translated() -> Iterator[None]:
    """Turn a database's failures into one sentence."""
    try:
        yield
    except (DBAPIError, sqlite3.DatabaseError) as problem:
        # the text of a driver's error may quote what was to be written
        raise EnvironmentFault(
            f"The hub's database cannot be used ({_unreached(problem) or _name(problem)}).",
            "Check that it runs, that its disk has room, and that the hub may write to it.",
            code="database",
        ) from problem


def _unreached(problem: BaseException) -> str:
    """Return why no connection was made, "" if there was one: until then nothing of ours is in
    the text, and libpq never quotes a password."""
    if not isinstance(problem, OperationalError) or problem.statement is not None:
        return ""
    if getattr(problem.orig, "sqlite_errorname", None) is not None:
        return ""
    line = str(problem.orig).split("\n")[0].rstrip(".")
    return printable(line)[:200]


def _name(problem: BaseException) -> str:
    origin = getattr(problem, "orig", None) or problem
    return getattr(origin, "sqlite_errorname", None) or type(origin).__name__
