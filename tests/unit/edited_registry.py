"""A registry in which there is everything, and every edit of it that SQL allows, made from the
schema itself: a table or a column that comes later is edited too.
"""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from fanal.log_record import Stamp
from fanal.registry_merge import merge
from fanal.schema import Base

from tests.unit import paper_log
from tests.unit.paper_log import id_of
from tests.unit.test_registry_merge import Laptop

TABLES = {table.name: table for table in Base.metadata.sorted_tables}

_NO_RULES = "PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON;"


@cache
def everything() -> tuple[bytes, str]:
    """Return the file, and its newest checkpoint: two stations merged, restored, stamped."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        fleet = paper_log.lived(folder)
        registry = fleet.registry
        for number in (3, 4):
            laptop = Laptop(folder, number)
            for seed in range(number * 10, number * 10 + 4):
                laptop.provision(seed)
            laptop.registry.revoke(id_of(number * 10), "lost")
            laptop.registry.record_sighting(
                id_of(number * 10 + 1), 2, slot=0, seq=0, t_ms=9, verdict="fresh", activation=1
            )
            merge(registry, laptop.file())
            laptop.registry.close()
        for seed in range(50, 62):
            paper_log.provision(fleet, seed)
        registry.record_sighting(
            id_of(50), 7, slot=1, seq=0, t_ms=70, verdict="late", activation=1, rssi_dbm=-70
        )
        registry.raise_epoch({id_of(51): 4})
        registry.record_sighting(
            id_of(50), 8, slot=0, seq=2, t_ms=99, verdict="fresh", activation=0, rssi_dbm=-60
        )
        for seed in range(50, 53):
            registry.revoke(id_of(seed), "stolen")
        note = paper_log.signed(fleet, folder)
        registry.keep_stamp(Stamp(registry.origin(), registry.log_size(), "http://tsa", b"one"))
        registry.keep_stamp(Stamp(registry.origin(), registry.log_size() - 1, "http://b", b"two"))
        note = paper_log.signed(fleet, folder)
        registry.close()
        return fleet.path.read_bytes(), note


@dataclass(frozen=True)
class Edit:
    """One edit. column: None for whole rows; rows: by number."""

    table: str
    column: str | None
    rows: tuple[int, ...]
    what: str
    script: str

    def __str__(self) -> str:
        return f"{self.table}.{self.column or '*'} of {self.rows} {self.what}"


def edits(path: Path) -> list[Edit]:
    """Return every edit of one value, one row, or two rows of a registry."""
    found = []
    with closing(sqlite3.connect(path)) as connection:
        for name, table in TABLES.items():
            rows = [one for (one,) in connection.execute(f"SELECT rowid FROM {name} ORDER BY 1")]
            for at, row in enumerate(rows):
                found += _of_row(name, row)
                for column in table.columns:
                    found += _of_value(name, column, row)
                    if at:
                        found.append(_swapped(name, column.name, rows[at - 1], row))
    return found


def make(path: Path, whole: bytes, edit: Edit) -> bool:
    """Write the file `whole` with an edit to `path`; return whether that says anything else."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.deserialize(whole)
        connection.executescript(_NO_RULES)
        before = _content(connection)
        try:
            connection.executescript(edit.script)
        except sqlite3.IntegrityError:
            return False  # a rule of the table itself
        path.write_bytes(connection.serialize())
        return _content(connection) != before


def _content(connection: sqlite3.Connection) -> list[list[tuple]]:
    rows = (connection.execute(f"SELECT * FROM main.{name}") for name in TABLES)
    return [sorted(of_table, key=repr) for of_table in rows]


def _of_row(table: str, row: int) -> list[Edit]:
    columns = TABLES[table].columns
    keys = [column.name for column in TABLES[table].primary_key]
    copied = ", ".join(
        _another(column) if column.name == keys[-1] else column.name for column in columns
    )
    return [
        Edit(table, None, (row,), "deleted", f"DELETE FROM {table} WHERE rowid = {row};"),
        Edit(table, None, (row,), "put in again",
             f"INSERT INTO {table} ({', '.join(columns.keys())}) SELECT {copied} FROM {table}"
             f" WHERE rowid = {row};"),
    ]  # fmt: skip


def _of_value(table: str, column, row: int) -> list[Edit]:
    name = column.name
    other = f"(SELECT {name} FROM {table} WHERE {name} IS NOT (SELECT {name} FROM {table} WHERE"
    values = {"changed": _another(column), "of another row": f"{other} rowid = {row}) LIMIT 1)"}
    values |= {"emptied": {int: "0", str: "''", bytes: "x''"}[column.type.python_type]}
    if column.nullable:
        values["gone"] = "NULL"
    return [
        Edit(table, name, (row,), what,
             f"UPDATE {table} SET {name} = {value} WHERE rowid = {row} AND {name} IS NOT {value};")
        for what, value in values.items()
    ]  # fmt: skip


def _another(column) -> str:
    """Return SQL for another value of the same kind."""
    name, kind = column.name, column.type.python_type
    if kind is int:
        return f"(coalesce({name}, 0) + 1000)"
    if kind is str:
        return f"(coalesce({name}, '') || 'x')"
    return f"CAST((coalesce({name}, x'') || x'00') AS BLOB)"


def _swapped(table: str, column: str, one: int, other: int) -> Edit:
    """Exchange a value between two rows, by a third one where it has to be unique."""
    held = f"(SELECT {column} FROM temp.held WHERE one ="
    script = (
        f"CREATE TEMP TABLE held AS SELECT rowid AS one, {column} FROM {table}"
        f" WHERE rowid IN ({one}, {other});"
        f"DELETE FROM temp.held WHERE (SELECT count(DISTINCT quote({column})) FROM temp.held) < 2;"
    )
    spare = "(SELECT 'spare' WHERE EXISTS (SELECT 1 FROM temp.held))"
    if TABLES[table].columns[column].type.python_type is int:
        spare = "-99"
    where = "AND EXISTS (SELECT 1 FROM temp.held)"
    if [key.name for key in TABLES[table].primary_key] == [column] and spare == "-99":
        # its key is the number of its row
        script += (
            f"UPDATE {table} SET {column} = -99 WHERE rowid = {one} {where};"
            f"UPDATE {table} SET {column} = {one} WHERE rowid = {other} {where};"
            f"UPDATE {table} SET {column} = {other} WHERE rowid = -99 {where};"
        )
    else:
        script += (
            f"UPDATE {table} SET {column} = {spare} WHERE rowid = {one} {where};"
            f"UPDATE {table} SET {column} = {held} {one}) WHERE rowid = {other} {where};"
            f"UPDATE {table} SET {column} = {held} {other}) WHERE rowid = {one} {where};"
        )
    return Edit(table, column, (one, other), "exchanged", script)
