"""The file of an outbox: opened for one program alone, made, or put aside when it is damaged."""

import os
import sqlite3
import time
from contextlib import suppress
from pathlib import Path

from fanal.error import EnvironmentFault

_VERSION = 1
_TABLES = """
CREATE TABLE waiting (id INTEGER PRIMARY KEY, sealed BLOB NOT NULL);
CREATE TABLE refused (id INTEGER PRIMARY KEY, sealed BLOB NOT NULL);
"""


def open_database(path: Path) -> sqlite3.Connection:
    """Return the database, made if it is not there, and locked against every other program.

    Raises sqlite3.Error, EnvironmentFault (`newer`).
    """
    os.close(private(path, os.O_WRONLY | os.O_CREAT))
    # for one that is there already this would write, and its disk may be full
    vacuum = [] if path.stat().st_size else ["auto_vacuum = INCREMENTAL"]
    database = sqlite3.connect(path, isolation_level=None, timeout=0)
    try:
        for pragma in (
            "locking_mode = EXCLUSIVE",  # the first: without it there would be a third file
            *vacuum,
            "journal_mode = WAL",
            "synchronous = FULL",
            "secure_delete = ON",
            "journal_size_limit = 4000000",
        ):
            database.execute(f"PRAGMA {pragma}").fetchall()
        database.execute("BEGIN EXCLUSIVE")
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version > _VERSION:
            raise EnvironmentFault(
                f"{path} was written by a newer Fanal.", "Update Fanal and try again.", code="newer"
            )
        if version == 0:
            for statement in _TABLES.split(";"):
                database.execute(statement)
            database.execute(f"PRAGMA user_version = {_VERSION}")
        for table in ("waiting", "refused"):
            # reads every page, so that damage shows now; and writes none, as to sort them would
            database.execute(f"SELECT max(substr(sealed, -1)) FROM {table}").fetchall()
        database.execute("COMMIT")
    except BaseException:
        database.close()
        raise
    return database


def private(path: str | Path, flags: int) -> int:
    """Open a file that only its owner may read; an opener for `open`."""
    return os.open(path, flags, 0o600)


def put_aside(path: Path) -> None:
    """Rename what is no outbox, and never another one that was put aside."""
    aside = path.with_name(f"{path.name}.damaged")
    if aside.exists():
        aside = path.with_name(f"{path.name}.{time.time_ns()}.damaged")
    path.rename(aside)
    for more in ("-wal", "-shm", "-journal"):
        with suppress(OSError):
            Path(f"{path}{more}").unlink()
