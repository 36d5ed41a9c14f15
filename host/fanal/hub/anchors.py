"""How far back a hub can still recognise a beacon's events, and when it lets go of their keys.

A volunteer may be without a network for days, and bring an event of Monday after those of Friday.
So the key of an event is kept until the next one has been known for a while; what was heard
later than that comes too late. Keys lead forward only: what is let go of is out of reach.
"""

from collections.abc import Mapping

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from fanal.hub.tables import BeaconRow, IncidentRow

LATE_MS = 7 * 24 * 3600 * 1000
MOST_BEHIND = 64  # events before the newest one: 25 KB of memory each


def due(session: Session, now_ms: int, late_ms: int) -> Mapping[str, int]:
    """Return, by beacon id, the first event whose key is still needed, where that is news.

    It is the one before the newest that has been known for `late_ms`; with 0, before the newest.
    """
    known = (
        select(func.max(IncidentRow.event))
        .where(IncidentRow.beacon == BeaconRow.id, IncidentRow.is_replay.is_(False),
               IncidentRow.first_received_ms <= now_ms - late_ms)
        .correlate(BeaconRow).scalar_subquery()
    )  # fmt: skip
    rows = session.execute(
        select(BeaconRow.id, BeaconRow.anchor_event, BeaconRow.newest_event, known)
        .where(BeaconRow.anchor_event < BeaconRow.newest_event - 1)
    )  # fmt: skip
    first = {}
    for beacon, held, newest, old in rows:
        event = min(newest - 1, max(newest - MOST_BEHIND, (old or 0) - 1))
        if event > held:
            first[beacon] = event
    return first
