"""The hub's own log: what people and the hub do about alerts, entered with what they did, for good.

Each entry is a leaf of a Merkle tree (RFC 6962), in the form of `log_entry`. `enter` remembers what
is to be written down; it becomes leaves when its transaction ends, after everything else in it. So
whatever was done has its entry or was not done, and workers hold each other up for a moment only.
Whether everything is as it was says `hub_log_verify`; who signs for it, `hub_log_checkpoint`.
"""

import json
from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from sqlalchemy import LargeBinary, Select, Table, cast, func, insert, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import object_session

from fanal import log_entry, merkle
from fanal.hub.tables import (
    NOTED,
    ActionRow,
    BeaconRow,
    FleetRow,
    IncidentRow,
    ListenerRow,
    LogLeafRow,
    LogNodeRow,
    SiteRow,
    StationRow,
    UserRow,
)
from fanal.log_record import Leaf

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from fanal.hub.store import Store

Subject = IncidentRow | UserRow | ListenerRow | SiteRow | FleetRow

# what is no line of a timeline; those are called as in `tables`
BEGAN, TAKEN_OVER, ENROLLED, RESTORED = "log began", "taken over", "enrolment accepted", "restored"
FIRST_SEEN, REPLAY_SEEN = "alert first seen", "replay seen"
SIGNATURE, KIND, EXPORTED = "signature verified", "kind changed", "exported"
ACCOUNT_ADDED, ACCOUNT_CHANGED, PASSWORD = "account added", "account changed", "password changed"
DISABLED, ENABLED = "account disabled", "account enabled"
LISTENER, FORGOTTEN, PLACED = "listener enrolled", "listener forgotten", "listener placed"
SITE, SITE_FORGOTTEN = "site placed", "site forgotten"

COMMAND_LINE = "command line"  # who did it, if nobody said so

# only an officer's file changes these
_ENROLLED = (BeaconRow.id, BeaconRow.public_key, BeaconRow.certificate, BeaconRow.station,
             BeaconRow.site, BeaconRow.place, BeaconRow.profile, BeaconRow.revoked_ms,
             BeaconRow.revoked_reason, BeaconRow.retired_ms, BeaconRow.horizon)  # fmt: skip
_WAITING = "fanal_log"  # in `Session.info`: what was entered in this transaction
_TURN = 4605  # of those that append; 4604 is whose turn it is to make tables
_MOST_ENTRIES = 1 << 48  # a larger number was written by nobody but an editor


def enter(
    session: "Session",
    what: str,
    at_ms: int | None = None,
    *,
    of: Subject | None = None,
    line: ActionRow | None = None,
    **more: Any,
) -> None:
    """Enter what was done into the log, when this transaction commits. For sessions of `writing`.

    of: what it was done to; the entry tells how that is at the end of the transaction. line: of the
    timeline, which then says who did it, and when. more: `who`, `detail` and the like.
    """
    session.info.setdefault(_WAITING, []).append((what, at_ms, of, line, more))


def add_line(
    session: "Session", line: ActionRow, *, of: IncidentRow | None = None, what: str = ""
) -> None:
    """Add a line to a timeline, and enter it. what: as the log calls it, if not as the line."""
    session.add(line)
    enter(session, what or line.what, of=of, line=line)


def write_down(session: "Session") -> None:
    """Make leaves of what was entered in this transaction. `Store.writing` does it, at its end."""
    waiting = session.info.pop(_WAITING, [])
    if waiting:
        session.flush()
        append(session, [log_entry.encode(_fields(*one)) for one in waiting])


def begin(session: "Session", now_ms: int) -> None:
    """Begin the log of a database that has none, with whatever is in it already."""
    if size_of(session):
        return
    enter(session, BEGAN, now_ms)
    subjects: list[Subject] = [
        *session.scalars(select(FleetRow)),
        *session.scalars(select(IncidentRow).order_by(IncidentRow.id)),
        *session.scalars(select(UserRow).order_by(UserRow.name)),
        *session.scalars(select(ListenerRow).where(ListenerRow.enrolled_ms.is_not(None))),
        *session.scalars(select(SiteRow).order_by(SiteRow.name)),
    ]
    for row in subjects:
        enter(session, TAKEN_OVER, now_ms, of=row)
    for line in session.scalars(select(ActionRow).order_by(ActionRow.id)):
        enter(session, TAKEN_OVER, line=line)


def append(session: "Session", contents: Sequence[bytes]) -> None:
    """Let entries join the log, one writer at a time.

    Nothing that is wrong with earlier ones stands in the way: an alert has to be written down
    whatever was done to the log.
    """
    if session.get_bind().dialect.name != "sqlite":
        # no row that an editor could remove; SQLite has one writer anyway
        session.execute(select(func.pg_advisory_xact_lock(_TURN)))
    size = size_of(session)
    hashes = [merkle.leaf_hash(content) for content in contents]
    leaves = [
        {"number": size + at, "content": content, "hash": hashes[at]}
        for at, content in enumerate(contents)
    ]
    grown = merkle.extended(size, hashes, reader(session))
    session.execute(insert(LogLeafRow), leaves)
    _put_nodes(session, [node._asdict() for node in grown if node.level])


def size_of(session: "Session") -> int:
    """Return how many entries the log has."""
    plausible = LogLeafRow.number < _MOST_ENTRIES
    newest = session.scalar(select(func.max(LogLeafRow.number)).where(plausible))
    return 0 if newest is None else max(0, newest + 1)


def reader(session: "Session") -> merkle.Read:
    """Return what reads the nodes of the log; one that is missing is made of those below it."""

    def kept(level: int, number: int) -> bytes | None:
        if not level:
            row = session.execute(leaves_asked().where(LogLeafRow.number == number)).first()
            return None if row is None else row[2]
        found = session.scalar(select(cast(LogNodeRow.hash, LargeBinary)).where(
            LogNodeRow.level == level, LogNodeRow.number == number))  # fmt: skip
        return None if found is None else bytes(found)

    return merkle.mended(kept)


def leaves_asked() -> Select[int, bytes, bytes]:
    """Return what asks for the entries in their order: number, content, hash.

    As bytes, whatever they are: a tool that edits them may leave text, which has to be told too.
    """
    return select(
        LogLeafRow.number,
        cast(LogLeafRow.content, LargeBinary),
        cast(LogLeafRow.hash, LargeBinary),
    ).order_by(LogLeafRow.number)


def leaves(store: "Store", start: int = 0, end: int | None = None) -> list[Leaf]:
    """Return the entries from `start` to before `end`, as they are in the database."""
    asked = leaves_asked().where(LogLeafRow.number >= start)
    if end is not None:
        asked = asked.where(LogLeafRow.number < end)
    with store.reading() as session:
        return [Leaf(*row) for row in session.execute(asked)]


def told(row: Subject) -> dict[str, Any]:
    """Return what an entry says of a row. Only what never changes without an entry."""
    if isinstance(row, IncidentRow):
        return {"beacon": row.beacon, "event": row.event, "kind": row.kind, "state": row.state,
                "is_replay": row.is_replay, "may_be_replay": bool(row.may_be_replay),
                "signature": row.signature,
                "assigned_to": row.assigned_to, "acknowledged_ms": row.acknowledged_ms,
                "escalation": row.escalation}  # fmt: skip
    if isinstance(row, UserRow):
        return {"role": row.role, "is_disabled": row.is_disabled, "created_ms": row.created_ms}
    if isinstance(row, ListenerRow):
        return {"name": row.name, "enrolled_ms": row.enrolled_ms, "enrolled_by": row.enrolled_by,
                "latitude": row.fixed_latitude, "longitude": row.fixed_longitude,
                "accuracy_m": row.fixed_accuracy_m}  # fmt: skip
    if isinstance(row, SiteRow):
        return {"latitude": row.latitude, "longitude": row.longitude, "accuracy_m": row.accuracy_m}
    session = object_session(row)
    assert session is not None
    return {"certificate": log_entry.digest(row.certificate), "made_ms": row.made_ms,
            "epoch": row.epoch,
            "log_certificate": log_entry.digest(row.log_certificate),
            "enrolled": _enrolled(session)}  # fmt: skip


def _enrolled(session: "Session") -> str:
    """Return the SHA-256, in hex, of what an officer's file said of beacons and their stations."""
    found = sha256()
    for of_row in (StationRow.number, StationRow.certificate), _ENROLLED:
        asked = select(*of_row).order_by(of_row[0]).execution_options(yield_per=1000)
        for row in session.execute(asked):
            plain = [value.hex() if isinstance(value, bytes) else value for value in row]
            found.update(json.dumps(plain).encode() + b"\n")
    return found.hexdigest()


def detail_of(line: ActionRow) -> str:
    """Return what an entry says of a line's detail: of a note its SHA-256, and not the text."""
    if line.what != NOTED:
        return line.detail
    return f"SHA-256 {sha256(line.detail.encode()).hexdigest()}"


def _fields(
    what: str, at_ms: int | None, of: Subject | None, line: ActionRow | None, more: dict[str, Any]
) -> dict[str, Any]:
    fields: dict[str, Any] = {"what": what, "at_ms": at_ms, **dict(_named(of))}
    if line is not None:
        fields |= {"at_ms": line.at_ms, "who": line.who, "detail": detail_of(line),
                   "action": line.id, "incident": line.incident}  # fmt: skip
        if line.what != what:
            fields["did"] = line.what
    return fields | more


def _named(of: Subject | None) -> Iterator[tuple[str, Any]]:
    """Give what says of which row an entry is, and what it says of it."""
    if of is None:
        return
    yield "row", told(of)
    if isinstance(of, IncidentRow):
        yield from (("incident", of.id), ("beacon", of.beacon), ("event", of.event),
                    ("kind", of.kind))  # fmt: skip
    elif isinstance(of, UserRow):
        yield "account", of.name
    elif isinstance(of, ListenerRow):
        yield "listener", of.key
    elif isinstance(of, SiteRow):
        yield "site", of.name


def _put_nodes(session: "Session", nodes: Sequence[dict[str, Any]]) -> None:
    """Write nodes; what is left there of a log that was cut off gives way."""
    if not nodes:
        return
    table = LogNodeRow.__table__
    assert isinstance(table, Table)
    key = [table.c.level, table.c.number]
    statement: sqlite.Insert | postgresql.Insert
    if session.get_bind().dialect.name == "sqlite":
        made = sqlite.insert(table)
        statement = made.on_conflict_do_update(key, set_={"hash": made.excluded.hash})
    else:
        new = postgresql.insert(table)
        statement = new.on_conflict_do_update(index_elements=key, set_={"hash": new.excluded.hash})
    session.execute(statement, nodes)
