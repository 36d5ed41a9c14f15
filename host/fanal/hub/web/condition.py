"""How the hub itself is: listeners that are no ears any more, and what waits in it."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select

from fanal.hub import view
from fanal.hub.store import Store
from fanal.hub.tables import InboxRow, ListenerRow, NoticeRow

UNRESOLVED_MS = 30_000  # far longer than a hub takes that works
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


def _since_ms(row: ListenerRow) -> int | None:
    since = row.deaf_since_ms if view.health_word(row) == DEAF else row.silent_since_ms
    return since or row.last_received_ms or None
