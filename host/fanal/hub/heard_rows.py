"""Payloads that wait, kept in the database too, so that a restart knows them. SPEC 3.4.

Alerts that nobody could resolve, pages without an owner, and signature pages that are not three
yet. For 48 hours; when there is no room, what strangers heard goes first, the oldest of it.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from fanal_protocol.frame import HDR_ALERT
from sqlalchemy import Row, delete, func, select
from sqlalchemy.orm import Session

from fanal.heard import Heard, Receipt
from fanal.hub.new_rows import insert_new
from fanal.hub.tables import HeardRow, ListenerRow
from fanal.position import Position
from fanal.waiting import KEPT_MS

MOST_ROWS = 200_000

_PAGE = 5_000  # rows that are read, or removed, at one time
_LONGEST = b"\xff" * 32


def keep(session: Session, heards: Iterable[Heard]) -> None:
    """Write what waits; what is there already, of the same listener, stays as it is."""
    rows = []
    for heard in heards:
        receipt = heard.receipt
        assert receipt is not None
        at = receipt.position
        rows.append({
            "payload": heard.payload, "listener": receipt.listener, "heard_ms": heard.t_ms,
            "last_heard_ms": receipt.last_ms, "received_ms": receipt.received_ms,
            "count": receipt.count, "rssi_dbm": heard.rssi_dbm,
            "latitude": None if at is None else at.latitude,
            "longitude": None if at is None else at.longitude,
            "accuracy_m": None if at is None else at.accuracy_m,
            "source": None if at is None else at.source,
        })  # fmt: skip
    insert_new(session, HeardRow, rows)


def alerts_of(session: Session, rids: Sequence[bytes]) -> list[Heard]:
    """Return the alerts that wait under some identifiers, in the order of receipt."""
    rows = [row for rid in rids
            for row in session.execute(_columns().where(_is_alert_of(rid)))]  # fmt: skip
    return [_heard(row) for row in sorted(rows, key=lambda row: int(row.id))]


def drop_alerts(session: Session, rids: Iterable[bytes]) -> None:
    """Forget the alerts that wait under some identifiers."""
    for rid in rids:
        session.execute(delete(HeardRow).where(_is_alert_of(rid)))


def waiting(session: Session, now_ms: int) -> Iterable[list[Heard]]:
    """Yield all that waits, in the order of receipt, some at a time."""
    after = 0
    while True:
        rows = session.execute(
            _columns().where(HeardRow.id > after, HeardRow.received_ms >= now_ms - KEPT_MS)
            .order_by(HeardRow.id).limit(_PAGE)
        ).all()  # fmt: skip
        if not rows:
            return
        after = rows[-1].id
        yield [_heard(row) for row in rows]


def forget(session: Session, now_ms: int, most: int = MOST_ROWS) -> None:
    """Remove what had its 48 hours, and what there is no room for."""
    session.execute(delete(HeardRow).where(HeardRow.received_ms < now_ms - KEPT_MS))
    count = session.scalar(select(func.count()).select_from(HeardRow)) or 0
    if count > most:
        oldest = session.scalars(
            select(HeardRow.id)
            .outerjoin(ListenerRow, ListenerRow.key == HeardRow.listener)
            .order_by(ListenerRow.enrolled_ms.is_not(None), HeardRow.id).limit(count - most)
        ).all()  # fmt: skip
        for at in range(0, len(oldest), _PAGE):
            session.execute(delete(HeardRow).where(HeardRow.id.in_(oldest[at : at + _PAGE])))


def _columns() -> Any:
    return select(
        HeardRow.id, HeardRow.payload, HeardRow.listener, HeardRow.heard_ms,
        HeardRow.last_heard_ms, HeardRow.received_ms, HeardRow.count.label("times"),
        HeardRow.rssi_dbm, HeardRow.latitude, HeardRow.longitude, HeardRow.accuracy_m,
        HeardRow.source,
    )  # fmt: skip


def _is_alert_of(rid: bytes) -> Any:
    # a range, so that the index on the payload finds it
    first = bytes((HDR_ALERT,)) + rid
    return HeardRow.payload.between(first, first + _LONGEST)


def _heard(row: Row[Any]) -> Heard:
    at = None
    if row.latitude is not None:
        at = Position(row.latitude, row.longitude, row.accuracy_m, row.source)
    receipt = Receipt(row.listener, row.received_ms, row.last_heard_ms, row.times, at)
    return Heard(row.payload, row.rssi_dbm, row.heard_ms, "", receipt)
