"""Is a registry's file built as Fanal builds it: its pages, its tables, the kinds of its values?

Nothing of this is in the log. But a trigger, a view or a table that is another one makes all
programs read something else than what lies in the file.
"""

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

from sqlalchemy import (
    JSON,
    Column,
    Connection,
    LargeBinary,
    Select,
    String,
    Table,
    TextClause,
    cast,
    create_engine,
    func,
    select,
    text,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.orm import Session

from fanal.schema import Base

# entries and hashes are told as they are: a tool that edits them may leave text
AS_THEY_ARE = ("log_leaf.content", "log_leaf.hash", "log_node.hash")

_KINDS: dict[type, tuple[str, ...]] = {
    int: ("integer",), bool: ("integer",), float: ("real", "integer"), str: ("text",),
    bytes: ("blob",), object: ("text",),
}  # fmt: skip


def damages(session: Session) -> Iterator[str]:
    """Give a sentence for what SQLite itself finds: pages, indexes, rows that belong to none."""
    problem = session.scalar(text("PRAGMA integrity_check"))
    if problem != "ok":
        yield f"The file is damaged: {str(problem).splitlines()[-1]}."
    homeless = session.execute(text("PRAGMA foreign_key_check")).all()
    for table in sorted({row[0] for row in homeless}):
        yield f"Table {table} has rows that belong to nothing."


def strange_objects(session: Session) -> Iterator[str]:
    """Give a sentence for each table, index, view or trigger that is not as Fanal makes it."""
    found, wanted = _objects(session.connection()), _wanted()
    for kind, name in sorted(found.keys() | wanted.keys()):
        if (kind, name) not in wanted:
            yield f"There is a {kind} that Fanal did not make: {name!r}."
        elif (kind, name) not in found:
            yield f"The {kind} {name} is missing."
        elif found[kind, name] != wanted[kind, name]:
            yield f"The {kind} {name} is another one than Fanal makes."


def strange_values(session: Session, tables: Iterable[Table] = ()) -> Iterator[str]:
    """Give a sentence for each column in which a value is of a kind that it never is.

    tables: those of a registry, unless others are named.

    SQLite keeps any value in any column; the program would stumble over one before it could say
    where.
    """
    for table in tables or Base.metadata.sorted_tables:
        columns = [one for one in table.columns if f"{table.name}.{one.name}" not in AS_THEY_ARE]
        counts = session.execute(_of_another_kind(table, *columns)).one()
        for column, count in zip(columns, counts, strict=True):
            where = f"Of table {table.name}, column {column.name},"
            if count:
                yield f"{where} {count} values are of another kind than they were."
            elif isinstance(column.type, String):
                held = session.execute(_values(column), execution_options={"yield_per": 1000})
                if not all(_is_text(row[0]) for row in held):
                    yield f"{where} a value is no text."
            elif isinstance(column.type, JSON):
                asked = select(func.count()).where(func.json_valid(column) == 0)
                if session.scalar(asked.select_from(table)):
                    yield f"{where} a value is no JSON."


@cache
def _of_another_kind(table: Table, *columns: Column[Any]) -> TextClause:
    """Return what asks, for each column, how many values are of a kind that it never has."""
    counts: list[Any] = []
    for column in columns:
        kinds = [*_KINDS[column.type.python_type], *(["null"] if column.nullable else [])]
        counts.append(func.count().filter(func.typeof(column).not_in(kinds)))
    return _written(select(*counts).select_from(table))


@cache
def _values(column: Column[Any]) -> TextClause:
    """Return what asks for all that a column holds, as bytes."""
    return _written(select(cast(column, LargeBinary)).where(column.is_not(None)).distinct())


def _written(asked: Select[Any]) -> TextClause:
    """Return a question in SQL: to make it up takes longer than to answer it."""
    made = asked.compile(dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True})
    return text(str(made))


def texts_for_bytes(session: Session) -> Iterator[str]:
    """Give a sentence for each column of `AS_THEY_ARE` in which something is no bytes.

    What it says may be the same: it can be compared, but not everything that reads it can.
    """
    for name in AS_THEY_ARE:
        table, _, column = name.partition(".")
        held = Base.metadata.tables[table].columns[column]
        asked = select(func.count()).where(func.typeof(held) != "blob")
        if count := session.scalar(asked):
            yield f"Of table {table}, column {column}, {count} values are no bytes."


def _is_text(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _objects(connection: Connection) -> dict[tuple[str, str], str]:
    """Return (kind, name) -> of which table, and how it was made, whatever its spaces."""
    rows = connection.execute(text("SELECT type, name, tbl_name, sql FROM sqlite_master"))
    # this table too may hold a value of any kind
    return {
        (str(kind), str(name)): f"{table}: {_tidied(str(sql or ''))}"
        for kind, name, table, sql in rows
    }


def _tidied(sql: str) -> str:
    return " ".join(sql.split()).replace("( ", "(").replace(" )", ")")


@cache
def _wanted() -> dict[tuple[str, str], str]:
    engine = create_engine("sqlite://")
    with engine.connect() as connection:
        Base.metadata.create_all(connection)
        found = _objects(connection)
    engine.dispose()
    return found
