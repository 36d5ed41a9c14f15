"""How the hub itself is: listeners that are no ears any more, what waits in it, who signs."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select

from fanal import log_entry
from fanal.hub import hub_log, view
from fanal.hub.store import Store
from fanal.hub.tables import (
    FleetRow,
    InboxRow,
    ListenerRow,
    LogCheckpointRow,
    LogLeafRow,
    NoticeRow,
)

UNRESOLVED_MS = 30_000  # far longer than a hub takes that works
UNSIGNED_MS = 600_000  # one that works signs once a minute
LOST, SILENT, DEAF = "lost", "silent", "deaf"
ALARMS = (LOST, SILENT, DEAF)

_INBOX = select(func.count(), func.min(InboxRow.received_ms)).select_from(InboxRow)


@dataclass(frozen=True, slots=True)
class Ear:
    """An enrolled listener that hears nothing for the hub. since_ms: None if it cannot be told."""

    name: str
    health: str
    since_ms: int | None


@dataclass(frozen=True, slots=True)
class Ears:
    """How many listeners are enrolled, and which of them fail. newest_ms: the last word of any."""

    enrolled: int
    failing: tuple[Ear, ...]
    newest_ms: int | None


def ears(store: Store) -> Ears:
    """Return how the enrolled listeners are: silence of one is an alarm of its own."""
    query = select(ListenerRow).where(ListenerRow.enrolled_ms.is_not(None))
    with store.reading() as session:
        rows = session.scalars(query.order_by(ListenerRow.name)).all()
        failing = tuple(
            Ear(row.name, view.health_word(row), _since_ms(row))
            for row in rows if view.health_word(row) in ALARMS
        )  # fmt: skip
        heard = [row.last_received_ms for row in rows if row.last_received_ms]
        return Ears(len(rows), failing, max(heard, default=None))


def waiting(store: Store) -> dict[str, Any]:
    """Return what is not done yet: groups to resolve, messages to send, by number and age."""
    with store.reading() as session:
        groups, oldest_ms = session.execute(_INBOX).one()
        messages = select(func.count()).select_from(NoticeRow).where(NoticeRow.done_ms.is_(None))
        return {"groups": groups, "oldest_group_ms": oldest_ms,
                "messages": session.scalar(messages)}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Unresolved:
    """Groups that came in and that nobody has looked into for long. since_ms: the oldest."""

    groups: int
    since_ms: int


def unresolved(store: Store) -> Unresolved | None:
    """Return what waits for too long: an alert may be in it that no page shows. None if nothing."""
    with store.reading() as session:
        groups, since_ms = session.execute(_INBOX).one()
    if since_ms is None or store.now_ms() - since_ms < UNRESOLVED_MS:
        return None
    return Unresolved(groups, since_ms)


@dataclass(frozen=True, slots=True)
class Unsigned:
    """Entries of the log that no worker signs for. since_ms: the first; None if nobody can tell."""

    entries: int
    since_ms: int | None


def unsigned(store: Store) -> Unsigned | None:
    """Return what nobody has signed for in ten minutes: the log may have been altered, or its
    newest checkpoint cannot be kept. None if nothing, or if there is no fleet to sign for."""
    with store.reading() as session:
        size = hub_log.size_of(session)
        newest = select(func.max(LogCheckpointRow.size)).where(LogCheckpointRow.size <= size)
        signed = session.scalar(newest) or 0
        if signed == size or session.scalar(select(FleetRow.id)) is None:
            return None
        asked = hub_log.leaves_asked().where(LogLeafRow.number == signed)
        first = session.execute(asked).first()
    since_ms = None if first is None else log_entry.written_ms(first[1])
    now_ms = store.now_ms()
    if since_ms is not None and abs(now_ms - since_ms) < UNSIGNED_MS:
        return None
    # an entry that was altered may say any time
    return Unsigned(size - signed, since_ms if since_ms and 0 < since_ms < now_ms else None)


def _since_ms(row: ListenerRow) -> int | None:
    since = row.deaf_since_ms if view.health_word(row) == DEAF else row.silent_since_ms
    return since or row.last_received_ms or None
