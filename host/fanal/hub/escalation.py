"""Nobody acknowledges: the next level is told, once each, also after a restart.

Level i is reached after_s[i - 1] after an incident was first received, or was opened again. Whoever
acknowledges or closes stops it. A TEST never escalates; a DRILL reaches the channels whose kinds
name DRILL, and no others.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from fanal import sighting
from fanal.hub.actions import Changed, last_action
from fanal.hub.hub_log import add_line
from fanal.hub.store import Store
from fanal.hub.tables import ESCALATED, OPEN, REOPENED, ActionRow, IncidentRow


def step(
    store: Store, after_s: Sequence[int], now_ms: int, *, changed: Changed | None = None
) -> int:
    """Raise the level of what waits too long; return how many levels were reached.

    changed: queues the messages, `Notices.incident_changed`.
    """
    with store.reading() as session:
        waiting = session.scalars(_waiting(len(after_s))).all()
        late = [row.id for row in waiting if _due(session, row, after_s, now_ms)]
    return sum(_escalate(store, number, after_s, now_ms, changed) for number in late)


def _waiting(levels: int) -> Any:
    return select(IncidentRow).where(
        IncidentRow.state == OPEN,
        IncidentRow.kind != sighting.TEST,
        IncidentRow.is_replay.is_(False),
        IncidentRow.escalation < levels,
    )


def _escalate(
    store: Store, number: int, after_s: Sequence[int], now_ms: int, changed: Changed | None
) -> int:
    with store.writing(shows=True) as session:
        # again, and locked: somebody may have acknowledged it in between
        query = _waiting(len(after_s)).where(IncidentRow.id == number)
        row = session.scalars(query.with_for_update(key_share=True)).one_or_none()
        if row is None:
            return 0
        due = _due(session, row, after_s, now_ms)
        for level in due:
            row.escalation = level
            row.revision += 1
            line = ActionRow(
                incident=row.id, at_ms=now_ms, who="hub", what=ESCALATED,
                detail=f"level {level}: nobody acknowledged within {after_s[level - 1]} s",
            )  # fmt: skip
            add_line(session, line, of=row)
        if due and changed is not None:
            session.flush()
            changed(session, row, ESCALATED)
        return len(due)


def _due(session: Session, row: IncidentRow, after_s: Sequence[int], now_ms: int) -> list[int]:
    """Return the levels that are reached by now and were not yet."""
    again = last_action(session, row.id, REOPENED)
    since_ms = row.first_received_ms if again is None else again.at_ms
    levels = range(row.escalation + 1, len(after_s) + 1)
    # if the clock was set back nobody knows how long it is, and it may have been too long
    waited_ms = abs(now_ms - since_ms)
    return [level for level in levels if waited_ms >= 1000 * after_s[level - 1]]
