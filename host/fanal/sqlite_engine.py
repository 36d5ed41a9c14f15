"""SQLite under SQLAlchemy, with transactions that begin as we say and not as the driver guesses."""

import sqlite3
from collections.abc import Iterable

from sqlalchemy import URL, Connection, Engine, create_engine, event

_BEGIN = "fanal_begin"


def engine_of(url: URL, busy_s: float, pragmas: Iterable[str]) -> Engine:
    """Return an engine for the file that `url` names. Its parameters stay out of its errors.

    busy_s: how long a connection waits for others; pragmas: such as "foreign_keys = ON".
    """
    engine = create_engine(url, connect_args={"timeout": busy_s}, hide_parameters=True)
    wanted = tuple(pragmas)

    def prepare(connection: sqlite3.Connection, _: object) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves
        for pragma in wanted:
            connection.execute(f"PRAGMA {pragma}")

    def begin(connection: Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get(_BEGIN, "BEGIN"))

    event.listen(engine, "connect", prepare)
    event.listen(engine, "begin", begin)
    return engine


def for_writing(engine: Engine) -> Engine:
    """Return the engine for transactions that write: what they read stays so until they do.

    Two that check first and write then must not both pass the check. Other databases ignore it.
    """
    return engine.execution_options(**{_BEGIN: "BEGIN IMMEDIATE"})
