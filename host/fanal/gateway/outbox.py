"""Sealed groups on disk, from when they are heard until the hub has taken them.

SQLite in a file of mode 0600. A group is on the disk when `add` returns, and survives a cut of
power. There is nothing to read in it: sealed bytes, in order; no time, no text. Removed ones are
overwritten. One program at a time has it: the others are refused for as long as it runs.
"""

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from fanal.error import EnvironmentFault
from fanal.gateway.outbox_file import open_database, private, put_aside

OUTBOX_FILE = "outbox.db"
SPARE_FILE = "outbox.spare"
MOST_BYTES = 200_000_000
MOST_REFUSED = 64

Item = tuple[int, bytes]

_SPARE_BYTES = 1 << 20


class OutboxFull(EnvironmentFault):
    """There is no room for one more group, or the disk fails. code: outbox_full, disk_full."""

    code = "disk_full"


class OutboxInUse(EnvironmentFault):
    """Another program has this outbox open."""

    code = "in_use"


class Outbox:
    """The outbox at a path; made if it is not there.

    What is removed may stay in the file while the disk is full, since to remove something takes
    room too. It is not given out again until a restart; then the hub finds that it knows it.
    """

    def __init__(self, path: Path, most_bytes: int = MOST_BYTES) -> None:
        """Open it. Raises OutboxInUse, EnvironmentFault. most_bytes: of all that waits.

        was_damaged: what was here could not be read and lies beside it now, with ".damaged" added
        to its name.
        """
        self._path = path
        self._most_bytes = most_bytes
        self._gone: set[int] = set()  # taken by the hub, and still in the file
        self.was_damaged = False
        try:
            self._database = open_database(path)
        except sqlite3.OperationalError as problem:
            raise _unusable(path, problem) from None
        except sqlite3.DatabaseError:
            put_aside(path)
            self.was_damaged = True
            self._database = open_database(path)
        row = self._database.execute("SELECT count(*), total(length(sealed)) FROM waiting")
        self._rows, self._bytes = map(int, row.fetchone())
        self._keep_spare()

    def __len__(self) -> int:
        """Return how many groups wait."""
        return self._rows - len(self._gone)

    def close(self) -> None:
        """Close the file. What waits stays."""
        self._database.close()

    def add(self, sealed: bytes) -> int:
        """Put a group on the disk and return its number. Raises OutboxFull."""
        if self._bytes + len(sealed) > self._most_bytes:
            raise OutboxFull("The outbox has reached its bound.", code="outbox_full")
        try:
            with self._transaction() as database:
                row = database.execute("INSERT INTO waiting (sealed) VALUES (?)", (sealed,))
        except sqlite3.Error:
            raise OutboxFull("The disk takes nothing more.") from None
        self._rows += 1
        self._bytes += len(sealed)
        assert row.lastrowid is not None
        return row.lastrowid

    def next(self, most_bytes: int, most: int) -> list[Item]:
        """Return the groups that wait longest, as many as fit, at least one if there is any.

        Raises EnvironmentFault if the disk fails.
        """
        found: list[Item] = []
        size = 0
        with _translated(), closing(self._database.execute(
            "SELECT id, sealed FROM waiting ORDER BY id"
        )) as rows:  # fmt: skip
            for number, sealed in rows:
                if number in self._gone:
                    continue
                size += len(sealed)
                if found and (size > most_bytes or len(found) >= most):
                    break
                found.append((number, sealed))
        return found

    def get(self, numbers: Sequence[int]) -> list[Item]:
        """Return those of these groups that still wait. Raises EnvironmentFault."""
        wanted = [number for number in numbers if number not in self._gone]
        marks = ",".join("?" * len(wanted))
        with _translated():
            rows = self._database.execute(
                f"SELECT id, sealed FROM waiting WHERE id IN ({marks}) ORDER BY id", wanted
            )
            return list(rows)

    def remove(self, numbers: Iterable[int]) -> None:
        """Remove groups, at once or as soon as the disk has room for it. Never raises."""
        self._gone.update(numbers)
        if not self._swept():
            # to remove takes room: what was kept for that goes
            with suppress(OSError):
                self._spare.unlink()
            self._swept()
        self._keep_spare()

    def refuse(self, numbers: Iterable[int]) -> None:
        """Remove groups that the hub will never take; the newest 64 of those are kept apart."""
        numbers = list(numbers)
        with suppress(EnvironmentFault, sqlite3.Error), self._transaction() as database:
            for _, sealed in self.get(numbers):
                database.execute("INSERT INTO refused (sealed) VALUES (?)", (sealed,))
            database.execute(
                "DELETE FROM refused WHERE id <= (SELECT max(id) FROM refused) - ?", (MOST_REFUSED,)
            )
        self.remove(numbers)

    def touch(self) -> None:
        """Make the dates of the files those of now, so that they tell nothing of what was heard."""
        for path in (self._path, Path(f"{self._path}-wal"), self._path.parent):
            with suppress(OSError):
                os.utime(path)

    @property
    def _spare(self) -> Path:
        return self._path.with_name(SPARE_FILE)

    def _swept(self) -> bool:
        """Remove from the file what is gone; say whether that went well."""
        sizes: list[int] = []
        try:
            with self._transaction() as database:
                for number in self._gone:
                    deleted = database.execute(
                        "DELETE FROM waiting WHERE id = ? RETURNING length(sealed)", (number,)
                    )
                    sizes += [size for (size,) in deleted]
        except sqlite3.Error:
            return False
        self._gone.clear()
        self._rows -= len(sizes)
        self._bytes -= sum(sizes)
        if self._rows == 0:
            with suppress(sqlite3.Error):  # it can wait
                # `execute` would give back one page only
                self._database.executescript("PRAGMA incremental_vacuum")
                self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return True

    def _keep_spare(self) -> None:
        """Keep some room to remove groups in, on a disk that may fill up. Random: no holes."""
        if self._spare.exists():
            return
        try:
            with open(self._spare, "wb", opener=private) as file:
                file.write(os.urandom(_SPARE_BYTES))
        except OSError:
            with suppress(OSError):
                self._spare.unlink()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield self._database
            self._database.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):  # the failure may have ended it already
                self._database.execute("ROLLBACK")
            raise


def _unusable(path: Path, problem: sqlite3.OperationalError) -> EnvironmentFault:
    if problem.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return OutboxInUse(
            f"Another `fanal listen` works in {path.parent}.",
            "Stop it first, or give this one a folder of its own with --state DIR.",
        )
    return EnvironmentFault(
        f"The outbox {path} cannot be opened.", "Check that the folder is yours and has room."
    )


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error:
        raise EnvironmentFault("The outbox cannot be read.", "The disk may be failing.") from None
