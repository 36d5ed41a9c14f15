"""Rows that are written only if they are not there yet, the same on SQLite and PostgreSQL."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import DeclarativeBase, Session


def insert_new(
    session: Session, kind: type[DeclarativeBase], rows: Sequence[dict[str, Any]], *returned: Any
) -> list[Any]:
    """Insert the rows that clash with none, and return the columns `returned` of those.

    Where others may insert the same at the same time, sort `rows`: so nobody waits in a circle.
    """
    if not rows:
        return []
    table = kind.__table__
    assert isinstance(table, Table)
    statement: sqlite.Insert | postgresql.Insert
    if session.get_bind().dialect.name == "sqlite":
        statement = sqlite.insert(table).on_conflict_do_nothing()
    else:
        statement = postgresql.insert(table).on_conflict_do_nothing()
    if not returned:
        session.execute(statement, rows)
        return []
    return list(session.execute(statement.returning(*returned), rows).scalars())
