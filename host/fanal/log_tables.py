"""What the log says of each beacon, station and line of history, against the tables."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from fanal.beacon_name import shown
from fanal.log import told
from fanal.schema import Base, BeaconRow, CustodyRow, FleetRow, StationRow

_FLEET = ("fleet", None)
_KINDS: dict[type, str] = {int: "integer", str: "text", bytes: "blob"}
_AS_THEY_ARE = ("log_leaf.content", "log_leaf.hash", "log_node.hash")

Subject = tuple[str, Any]


@dataclass
class Told:
    """What entries say, the newest of each: (kind, key) -> (entry, fields of its row)."""

    rows: dict[Subject, tuple[int, dict[str, Any]]] = field(default_factory=dict)
    history: dict[int, tuple[int, tuple[Any, ...]]] = field(default_factory=dict)

    def take(self, number: int, fields: dict[str, Any]) -> None:
        """Learn what entry `number` says."""
        row = fields.get("row")
        if row is not None:
            self.rows[_subject(fields)] = (number, row)
        if "custody" in fields:
            names = ("beacon", "at_ms", "what", "detail")
            line = tuple(fields.get(name) for name in names)
            self.history.setdefault(fields["custody"], (number, line))


def strange(session: Session) -> Iterator[str]:
    """Give a sentence for each column in which a value is of a kind that it never is.

    SQLite keeps any value in any column; the program would stumble over one before it could say
    where. Entries and hashes of the log are left out: they are told as they are.
    """
    for table in Base.metadata.sorted_tables:
        for column in table.columns:
            if f"{table.name}.{column.name}" in _AS_THEY_ARE:
                continue
            kinds = [_KINDS[column.type.python_type], *(["null"] if column.nullable else [])]
            asked = select(func.count()).where(func.typeof(column).not_in(kinds))
            if count := session.scalar(asked.select_from(table)):
                yield (
                    f"Of table {table.name}, column {column.name}, {count} values are of another"
                    " kind than they were."
                )


def differences(session: Session, of_log: Told) -> Iterator[tuple[int | None, str]]:
    """Give (entry, sentence) for everything in the tables that is not as the log tells."""
    rows: dict[Subject, dict[str, Any]] = {_FLEET: told(session.get_one(FleetRow, 1))}
    for station in session.scalars(select(StationRow)):
        rows["station", station.number] = told(station)
    for beacon in session.scalars(select(BeaconRow)):
        rows["beacon", beacon.id] = told(beacon)
    for subject, row in rows.items():
        if subject not in of_log.rows:
            yield None, f"{_named(subject)} is in the registry, but not in the log."
            continue
        number, known = of_log.rows[subject]
        for name in sorted(known):
            if known[name] != row.get(name):
                yield (
                    number,
                    (
                        f"Entry {number} says of {_named(subject)}: {name} {known[name]!r};"
                        f" the registry says {row.get(name)!r}."
                    ),
                )
    for subject in of_log.rows.keys() - rows.keys():
        number = of_log.rows[subject][0]
        yield number, f"{_named(subject)} of entry {number} is no longer in the registry."
    yield from _history(session, of_log)


def _history(session: Session, of_log: Told) -> Iterator[tuple[int | None, str]]:
    left = dict(of_log.history)
    for row in session.scalars(select(CustodyRow).order_by(CustodyRow.id)):
        number, line = left.pop(row.id, (None, None))
        if number is None:
            yield (
                None,
                f"A line in the history of {shown(row.beacon)} ({row.what}) is not in the log.",
            )
        elif line != (row.beacon, row.at_ms, row.what, row.detail):
            yield (
                number,
                f"A line in the history of {shown(row.beacon)} is not as entry {number} says.",
            )
    for number, line in left.values():
        yield number, f"The line of entry {number} ({line[2]}) is no longer in a history."


def _subject(fields: dict[str, Any]) -> Subject:
    for kind in ("beacon", "station"):
        if kind in fields:
            return kind, fields[kind]
    return _FLEET


def _named(subject: Subject) -> str:
    kind, key = subject
    if kind == "beacon":
        return f"Beacon {shown(str(key))}"
    return "The fleet" if key is None else f"Station {key}"
