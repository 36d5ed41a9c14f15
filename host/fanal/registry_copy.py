"""A registry as text and back, exactly: JSON, or CSV that a spreadsheet opens and runs nothing of.

All of it is in there, the log too; what only follows from the log is left out and made anew. In CSV
each row begins with its table's name. A cell that a spreadsheet could take for a formula, and an
empty text, gets an apostrophe in front; an empty cell is a value that is not there. So does a
formula inside of a cell behind a semicolon and the like: in half of the world a spreadsheet parts
cells there, and then it knows no quotes.
"""

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

from sqlalchemy import Table, select
from sqlalchemy.orm import Session

from fanal import merkle
from fanal.database import Clash
from fanal.error import EnvironmentFault, IntegrityError
from fanal.registry import Registry
from fanal.schema import SCHEMA_VERSION, Base, LogNodeRow

JSON, CSV = "json", "csv"
MOST_BYTES = 1 << 31  # some ten kilobytes for each beacon

Tables = dict[str, list[dict[str, Any]]]

_KIND = "registry"
_HEAD = f"fanal_{_KIND}_"
_DERIVED = (LogNodeRow.__tablename__,)
_FORMULA = ("=", "+", "-", "@", "'", "＝", "＋", "－", "＠")
_PARTED = re.compile(rf"([;|\t\r\n])(?=[\s\x22]*[{re.escape(''.join(_FORMULA))}])")
_REJOINED = re.compile(r"([;|\t\r\n])'")
_MOST_INTEGER = 1 << 63
_MOST_CELL = 1 << 24


def export(registry: Registry, form: str = JSON) -> bytes:
    """Return the whole registry as text, UTF-8, and enter into its log that this was done."""
    registry.exported(form)
    with registry.snapshot() as session:
        tables = contents(session)
    return to_json(tables) if form == JSON else to_csv(tables)


def contents(session: Session) -> Tables:
    """Return all rows of all tables, each in the order of its key."""
    return {
        table.name: [dict(row) for row in session.execute(_all(table)).mappings()]
        for table in _tables()
    }


def fill(path: Path, tables: Tables) -> None:
    """Make a registry of these rows at `path`. Raises FanalError, and IntegrityError for nonsense.

    What the rows say is not looked at: that is `log_verify`'s.
    """
    Registry.make_file(path)
    try:
        with Registry(path) as registry, registry.change() as session:
            for table in _tables():
                if rows := tables[table.name]:
                    session.execute(table.insert(), rows)
            for log in sorted({row["log"] for row in tables["log_leaf"]}):
                _grow(session, log, [row for row in tables["log_leaf"] if row["log"] == log])
    except Clash:  # a new file has no other command: its own rows contradict each other
        raise _no_export() from None


def to_json(tables: Tables) -> bytes:
    """Return tables as one JSON object; bytes are lower-case hex."""
    plain = {
        name: [{key: _plain(value) for key, value in row.items()} for row in rows]
        for name, rows in tables.items()
    }
    whole = {"fanal": _KIND, "schema": SCHEMA_VERSION, "tables": plain}
    return (json.dumps(whole, ensure_ascii=False, indent=1) + "\n").encode()


def to_csv(tables: Tables) -> bytes:
    """Return tables as one CSV file (RFC 4180), the columns of all tables side by side."""
    names = _columns()
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow([f"{_HEAD}{SCHEMA_VERSION}", *names])
    for name, rows in tables.items():
        for row in rows:
            writer.writerow([name, *(_cell(row.get(column)) for column in names)])
    return text.getvalue().encode()


def parse(data: bytes) -> Tables:
    """Return the tables in an exported file, JSON or CSV. data: untrusted. Raises FanalError."""
    try:
        text = data.decode()
        if text.lstrip()[:1] == "{":
            return _from_json(text)
        return _from_csv(text)
    except (ValueError, KeyError, TypeError, RecursionError, csv.Error):
        raise _no_export() from None


def require_beginning(data: bytes) -> None:
    """Raise IntegrityError unless what `to_json` or `to_csv` wrote may begin like this."""
    if not data.startswith((b"{", _HEAD.encode())):
        raise _no_export()


def _no_export() -> IntegrityError:
    return IntegrityError(
        "This is no registry as `fanal registry export` writes it.",
        "If a spreadsheet has saved it since, take the file as it was exported.",
        code="no_export",
    )


def _from_json(text: str) -> Tables:
    whole = json.loads(text)
    if whole["fanal"] != _KIND:
        raise ValueError("another kind")
    _require_schema(whole["schema"])
    tables: Tables = {}
    for table in _tables():
        rows = whole["tables"].pop(table.name)
        if any(set(row) != set(table.columns.keys()) for row in rows):
            raise ValueError("other columns")
        tables[table.name] = [_row(table, row) for row in rows]
    if whole["tables"]:
        raise ValueError("other tables")
    return tables


def _from_csv(text: str) -> Tables:
    (head, *names), *rows = _cells(text) or [[""]]
    if not head.startswith(_HEAD):
        raise ValueError("another kind")
    told = head.removeprefix(_HEAD)
    _require_schema(int(told) if told.isascii() and told.isdigit() else None)
    if names != _columns():
        raise ValueError("other columns")
    tables: Tables = {table.name: [] for table in _tables()}
    for name, *cells in rows:
        table = Base.metadata.tables[name]
        held = dict(zip(names, (_uncell(cell) for cell in cells), strict=True))
        if any(held[key] is not None for key in held.keys() - table.columns.keys()):
            raise ValueError("a value of another table")
        row = {
            column.name: int(value) if value and _type(column) is int else value
            for column in table.columns
            for value in [held[column.name]]
        }
        tables[name].append(_row(table, row))
    return tables


def _cells(text: str) -> list[list[str]]:
    usual = csv.field_size_limit(_MOST_CELL)  # which is that of everybody in this process
    try:
        return list(csv.reader(io.StringIO(text, newline=""), strict=True))
    finally:
        csv.field_size_limit(usual)


def _row(table: Table, told: dict[str, Any]) -> dict[str, Any]:
    """Return a row with each value of the kind of its column. Raises ValueError."""
    row: dict[str, Any] = {}
    for column in table.columns:
        value, kind = told[column.name], _type(column)
        if value is None and column.nullable:
            row[column.name] = None
            continue
        if kind is bytes and isinstance(value, str) and value == value.lower():
            value = bytes.fromhex(value)
        if type(value) is not kind:
            raise ValueError("another kind of value")
        if isinstance(value, int) and not -_MOST_INTEGER <= value < _MOST_INTEGER:
            raise ValueError("a number too large")
        if isinstance(value, str):
            value.encode()  # half a pair of surrogates, which no file can hold
        row[column.name] = value
    return row


def _require_schema(schema: object) -> None:
    if type(schema) is not int or schema < 1:
        raise ValueError("no schema")
    if schema != SCHEMA_VERSION:
        raise EnvironmentFault(
            f"The file was exported by another version of Fanal (schema {schema}).",
            "Export it again with this version; nothing was changed.",
            code="newer" if schema > SCHEMA_VERSION else "older",
        )


def _grow(session: Session, log: str, leaves: list[dict[str, Any]]) -> None:
    """Make the hashes over the leaves, as they are told; a gap is `log_verify`'s to find."""
    nodes: dict[tuple[int, int], bytes] = {}
    rows = []
    for size, leaf in enumerate(sorted(leaves, key=lambda leaf: leaf["number"])):
        for level, number, found in merkle.appended(size, leaf["hash"], lambda *at: nodes[at]):
            nodes[level, number] = found
            if level:
                rows.append({"log": log, "level": level, "number": number, "hash": found})
    if rows:
        session.execute(Base.metadata.tables[_DERIVED[0]].insert(), rows)


def _tables() -> list[Table]:
    return [table for table in Base.metadata.sorted_tables if table.name not in _DERIVED]


def _columns() -> list[str]:
    return list(dict.fromkeys(column.name for table in _tables() for column in table.columns))


def _all(table: Table) -> Any:
    return select(table).order_by(*table.primary_key.columns)


def _type(column: Any) -> type:
    found: type = column.type.python_type
    return found


def _plain(value: Any) -> Any:
    return value.hex() if isinstance(value, bytes) else value


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = _PARTED.sub(r"\1'", str(_plain(value)))
    is_safe = text == text.strip() and text and not text.startswith(_FORMULA)
    return text if is_safe else f"'{text}"


def _uncell(cell: str) -> str | None:
    return _REJOINED.sub(r"\1", cell.removeprefix("'")) if cell else None
