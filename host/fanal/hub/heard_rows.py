"""Payloads that wait, kept in the database too, so that a restart knows them. SPEC 3.4.

Alerts that nobody could resolve, pages without an owner, and signature pages that are not three
yet. For 48 hours; when there is no room, what strangers heard goes first, the oldest of it.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fanal_protocol.frame import HDR_ALERT
from sqlalchemy import Row, delete, func, select, tuple_, update
from sqlalchemy.orm import Session

from fanal.heard import Heard, Receipt
from fanal.hub.hearsay import is_hearsay
from fanal.hub.new_rows import insert_new
from fanal.hub.placed import columns, place_of
from fanal.hub.tables import HeardRow, IncidentRow, ListenerRow, SignatureRow
from fanal.waiting import KEPT_MS

MOST_ROWS = 200_000

_PAGE = 5_000  # rows that are read, or removed, at one time
_LONGEST = b"\xff" * 32

Slot = tuple[str, int, int]  # beacon id, event, slot


def keep(session: Session, heards: Iterable[Heard], owners: Mapping[bytes, Slot]) -> None:
    """Write what waits; what is there already, of the same listener, stays as it is.

    owners: of pages, whose they are.
    """
    rows = []
    for heard in heards:
        beacon, event, slot = owners.get(heard.payload, (None, None, None))
        receipt = heard.receipt
        assert receipt is not None
        rows.append({
            "payload": heard.payload, "listener": receipt.listener, "heard_ms": heard.t_ms,
            "last_heard_ms": receipt.last_ms, "received_ms": receipt.received_ms,
            "count": receipt.count, "rssi_dbm": heard.rssi_dbm,
            **columns(receipt.position),
            "beacon": beacon, "event": event, "slot": slot,
        })  # fmt: skip
    insert_new(session, HeardRow, rows)
    for payload, (beacon, event, slot) in owners.items():
        session.execute(
            update(HeardRow).where(HeardRow.payload == payload, HeardRow.beacon.is_(None))
            .values(beacon=beacon, event=event, slot=slot)
        )  # fmt: skip


def alerts_of(session: Session, rids: Sequence[bytes]) -> list[Heard]:
    """Return the alerts that wait under some identifiers, in the order of receipt."""
    rows = [row for rid in rids
            for row in session.execute(_columns().where(_is_alert_of(rid)))]  # fmt: skip
    return [_heard(row) for row in sorted(rows, key=lambda row: int(row.id))]


def drop_alerts(session: Session, rids: Iterable[bytes]) -> None:
    """Forget the alerts that wait under some identifiers."""
    for rid in rids:
        session.execute(delete(HeardRow).where(_is_alert_of(rid)))


def drop_pages(session: Session, slots: Iterable[Slot]) -> None:
    """Forget the pages of slots whose signature is complete."""
    complete = session.execute(
        select(IncidentRow.beacon, IncidentRow.event, SignatureRow.slot)
        .join(SignatureRow, SignatureRow.incident == IncidentRow.id)
        .where(tuple_(IncidentRow.beacon, IncidentRow.event, SignatureRow.slot)
               .in_(sorted(set(slots))))
    )  # fmt: skip
    for beacon, event, slot in complete.all():
        session.execute(
            delete(HeardRow).where(
                HeardRow.beacon == beacon, HeardRow.event == event, HeardRow.slot == slot
            )
        )


def waiting(session: Session, now_ms: int) -> Iterable[list[tuple[Heard, bool]]]:
    """Yield all that waits, in the order of receipt, some at a time.

    Each with whether it has to be tried: a page without an owner was, against all there is.
    """
    after = 0
    while True:
        rows = session.execute(
            _columns().where(HeardRow.id > after, HeardRow.received_ms >= now_ms - KEPT_MS)
            .order_by(HeardRow.id).limit(_PAGE)
        ).all()  # fmt: skip
        if not rows:
            return
        after = rows[-1].id
        yield [(_heard(row), row.payload[0] == HDR_ALERT or row.beacon is not None)
               for row in rows]  # fmt: skip


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
        HeardRow.source, HeardRow.beacon,
        ListenerRow.enrolled_ms,
    ).outerjoin(ListenerRow, ListenerRow.key == HeardRow.listener)  # fmt: skip


def _is_alert_of(rid: bytes) -> Any:
    # a range, so that the index on the payload finds it
    first = bytes((HDR_ALERT,)) + rid
    return HeardRow.payload.between(first, first + _LONGEST)


def _heard(row: Row[Any]) -> Heard:
    is_said = is_hearsay(row.heard_ms, row.received_ms, row.enrolled_ms is not None)
    receipt = Receipt(row.listener, row.received_ms, row.last_heard_ms, row.times, place_of(row),
                      is_said)  # fmt: skip
    return Heard(row.payload, row.rssi_dbm, row.heard_ms, "", receipt)
