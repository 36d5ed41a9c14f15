"""The SQLite file under the registry: its journal, its version, its transactions, its failures.

The journal is a rollback journal, not a write-ahead log: the fleet folder gets copied to USB
sticks and lies on network drives, and then one file must be the whole truth. Commits are
synced with the folder (`synchronous = EXTRA`), because a reservation has to outlive a cut of
power that follows it.
"""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from sqlalchemy import URL, Connection, Engine
from sqlalchemy.exc import DatabaseError
from sqlalchemy.exc import IntegrityError as ConstraintError
from sqlalchemy.orm import Session

from fanal.error import (
    EnvironmentFault,
    FanalError,
    IntegrityError,
    UsageError,
    damaged,
    no_fleet,
)
from fanal.schema import APPLICATION_ID, SCHEMA_VERSION, Base
from fanal.sqlite_engine import engine_of, for_writing

_BUSY_S = 5.0
_PRAGMAS = ("foreign_keys = ON", "journal_mode = DELETE", "synchronous = EXTRA")


class Clash(FanalError):
    """The registry holds something that contradicts what was asked of it."""

    code = "clash"


class Database:
    """An open registry file. Times come from `now_ms`, Unix milliseconds."""

    def __init__(self, path: Path, now_ms: Callable[[], int] | None = None) -> None:
        """Open `path`, and bring it to this program's version if it is older.

        Raises FanalError: not there, not ours, damaged, newer than this program.
        """
        if not path.exists():
            raise no_fleet(path)
        self.path = path
        self._now_ms = now_ms or (lambda: time.time_ns() // 1_000_000)
        self._engine = _engine(path)
        try:
            self._check_version()
        except BaseException:
            self.close()
            raise

    @staticmethod
    def make_file(path: Path) -> None:
        """Make a registry's file, with all tables and nothing in them. Raises UsageError."""
        if path.exists():
            raise UsageError(f"There is a registry in {path.parent} already.")
        path.touch(mode=0o600)
        engine = _engine(path)
        with _translated(path), engine.connect() as connection:
            connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.exec_driver_sql(f"PRAGMA user_version = {SCHEMA_VERSION}")
            Base.metadata.create_all(connection)
            connection.commit()
        engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._engine.dispose()

    @contextmanager
    def snapshot(self) -> Iterator[Session]:
        """Give one state of the whole file, whatever others write meanwhile. For reading."""
        with self._reading() as session:
            yield session

    @contextmanager
    def change(self) -> Iterator[Session]:
        """Give one change of the file, all or nothing, that no other command comes between."""
        with self._writing() as session:
            yield session

    def now_ms(self) -> int:
        """Return the time, Unix milliseconds."""
        return self._now_ms()

    @contextmanager
    def _reading(self) -> Iterator[Session]:
        with _translated(self.path), Session(self._engine) as session:
            yield session

    @contextmanager
    def _writing(self) -> Iterator[Session]:
        with _translated(self.path), Session(for_writing(self._engine)) as session, session.begin():
            yield session

    def _check_version(self) -> None:
        with _translated(self.path), self._engine.connect() as connection:
            application = _pragma(connection, "application_id")
            version = _pragma(connection, "user_version")
        if application != APPLICATION_ID or version < 1:
            raise IntegrityError(
                f"{self.path} is not a registry of Fanal.",
                "Check --fleet, or take the file from your backup.",
            )
        if version > SCHEMA_VERSION:
            raise EnvironmentFault(
                f"{self.path} was written by a newer Fanal (schema {version}).",
                "Update Fanal on this computer; nothing was changed.",
                code="newer",
            )
        if version < SCHEMA_VERSION:
            self._upgrade()

    def _upgrade(self) -> None:
        """Bring an older file to this version, in one transaction: it is whole before and after."""
        from fanal.upgrade import upgrade  # only an old file costs the time to import Alembic

        try:
            with _translated(self.path), for_writing(self._engine).begin() as connection:
                # asked again: another command may have been quicker
                version = _pragma(connection, "user_version")
                upgrade(connection, version, SCHEMA_VERSION, self._now_ms())
        except EnvironmentFault as problem:
            if problem.code != "read_only":
                raise
            raise EnvironmentFault(
                f"{self.path} is of an older Fanal, and cannot be written to bring it to this one.",
                "Copy its folder to a disk that can be written, and use the copy (--fleet).",
                code="read_only",
            ) from None


def _pragma(connection: Connection, name: str) -> int:
    return int(connection.exec_driver_sql(f"PRAGMA {name}").scalar_one())


def _engine(path: Path) -> Engine:
    return engine_of(URL.create("sqlite", database=str(path)), _BUSY_S, _PRAGMAS)


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    """Turn SQLite's failures into sentences."""
    try:
        yield
    except ConstraintError as problem:
        raise Clash(
            "The registry refused two entries that contradict each other.",
            "Another command may have been quicker: run this one again.",
        ) from problem
    except (DatabaseError, sqlite3.DatabaseError) as problem:
        raise _sentence(path, getattr(problem, "orig", problem)) from problem
    except UnicodeDecodeError as problem:  # of SQLite's own words, which quote a damaged schema
        raise damaged(path) from problem


def _sentence(path: Path, problem: object) -> FanalError:
    name = getattr(problem, "sqlite_errorname", "")
    if name.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")):
        return damaged(path)
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return EnvironmentFault(
            f"{path} is in use by another command.", "Try again in a moment.", code="busy"
        )
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
        return EnvironmentFault(
            f"{path} cannot be written.", "Check that the folder and the file are yours.",
            code="read_only",
        )  # fmt: skip
    if name.startswith("SQLITE_FULL"):
        return EnvironmentFault(
            f"{path} cannot be written: the disk is full.", "Make room and try again."
        )
    return EnvironmentFault(
        f"{path} cannot be used ({name or type(problem).__name__}).",
        "Is its disk still there, and whole? Try again, or take the file from your backup.",
    )
