"""Whether the enrolled listeners still hear anything: their silence is an alarm of its own.

Only theirs: whoever makes up listeners by the thousand alarms nobody.
"""

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from fanal.hub.store import AHEAD_MS, Store, touch
from fanal.hub.tables import ListenerRow

SILENT_AFTER_MS = 300_000  # five heartbeats
# what can happen to a listener, in words for a message
SILENT, DEAF, HEARD_AGAIN, HEARS_AGAIN = "silent", "deaf", "heard again", "hears again"

_FOREIGN = "mqtt:"  # a gateway that has no heartbeat: it speaks when it hears a beacon

Told = Callable[[Session, ListenerRow, str], None]


@dataclass(frozen=True, slots=True)
class HealthChange:
    """What happened to an enrolled listener. what: SILENT, DEAF, HEARD_AGAIN or HEARS_AGAIN."""

    key: str
    name: str
    what: str


def watch_health(
    store: Store,
    now_ms: int | None = None,
    told: Told | None = None,
    awake_since_ms: int = 0,
) -> list[HealthChange]:
    """Set and clear silence and deafness of enrolled listeners; return what changed since before.

    told: called for each change in the same transaction, so that a message about it is queued
    once and not lost. Several workers may do this: only one of them sees a change.
    awake_since_ms: when the hub began to listen, since its own absence is nobody's silence.
    A listener that was heard after now, since the clock was set back, counts as heard now.
    """
    now_ms = store.now_ms() if now_ms is None else now_ms
    with store.reading() as session:
        if not any(
            _is_ahead(row, now_ms) or _changes(row, now_ms, awake_since_ms)
            for row in _watched(session)
        ):
            return []
    found = []
    with store.writing() as session:
        for row in _watched(session, for_update=True):
            if _is_ahead(row, now_ms):
                _set_back(row, now_ms)
            for what in _changes(row, now_ms, awake_since_ms):
                _note(row, what, now_ms)
                found.append(HealthChange(row.key, row.name, what))
                if told is not None:
                    told(session, row, what)
        if found:
            session.flush()
            touch(session)
    return found


def _watched(session: Session, *, for_update: bool = False) -> list[ListenerRow]:
    query = (
        select(ListenerRow).where(ListenerRow.enrolled_ms.is_not(None)).order_by(ListenerRow.key)
    )
    return list(session.scalars(query.with_for_update() if for_update else query))


def _is_ahead(row: ListenerRow, now_ms: int) -> bool:
    return row.last_received_ms > now_ms + AHEAD_MS


def _set_back(row: ListenerRow, now_ms: int) -> None:
    """Take for now when a listener was heard: else its silence would be noticed that much later.

    One that is silent was not heard since, and stays so.
    """
    silent_ms = 0 if row.silent_since_ms is None else SILENT_AFTER_MS + 1
    row.last_received_ms = now_ms - silent_ms


def _changes(row: ListenerRow, now_ms: int, awake_since_ms: int) -> list[str]:
    """Return what is news about an enrolled listener."""
    found = []
    enrolled_ms = row.enrolled_ms or 0
    is_before = enrolled_ms > now_ms + AHEAD_MS  # by a clock that was set back since
    since_ms = max(row.last_received_ms, 0 if is_before else enrolled_ms)
    if row.silent_since_ms is None:  # a worker that starts is no word from one that is silent
        since_ms = max(since_ms, awake_since_ms)
    is_silent = not row.key.startswith(_FOREIGN) and (
        row.is_lost or now_ms - since_ms > SILENT_AFTER_MS
    )
    if is_silent != (row.silent_since_ms is not None):
        found.append(SILENT if is_silent else HEARD_AGAIN)
    # of one that is silent nobody knows whether it still is deaf
    is_deaf = row.radio == DEAF if not is_silent else row.deaf_since_ms is not None
    if is_deaf != (row.deaf_since_ms is not None):
        found.append(DEAF if is_deaf else HEARS_AGAIN)
    return found


def _note(row: ListenerRow, what: str, now_ms: int) -> None:
    if what == SILENT:
        row.silent_since_ms = row.last_received_ms or now_ms
    elif what == HEARD_AGAIN:
        row.silent_since_ms = None
    else:
        row.deaf_since_ms = now_ms if what == DEAF else None
