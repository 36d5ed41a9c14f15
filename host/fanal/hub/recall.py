"""What a worker knows while it resolves, made from the database: lines, windows, what waits.

The database has all of it, so a worker that was killed, or that takes over from another one, goes
on exactly where the last commit was.
"""

import hmac
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from fanal_protocol import keys
from fanal_protocol.line import FRESH, LATE
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from fanal import heap
from fanal.error import IntegrityError
from fanal.event_keys import EventKeys
from fanal.hub import heard_rows
from fanal.hub.anchors import MOST_BEHIND
from fanal.hub.hearsay import is_hearsay
from fanal.hub.keys import open_anchor
from fanal.hub.store import BEACONS
from fanal.hub.tables import (
    BeaconRow,
    IncidentRow,
    ListenerRow,
    MetaRow,
    SightingRow,
    SignatureRow,
)
from fanal.hub.taking import Taking
from fanal.pages import NEAR_MS
from fanal.resolver import WIDE, Resolver, Seen
from fanal.waiting import KEPT_MS

_Lines = dict[tuple[str, int], list[tuple[int, int, int]]]

_AT_ONCE = 500  # beacons, between two signs of life


@dataclass
class Mind:
    """A resolver that stands where the database does, and the keys to write it down by.

    anchors: by beacon id, the first event that can be resolved after a restart. newest: by beacon
    id, see `BeaconRow`. enrolment: the number that moves when beacons do. first: what was made
    clear by enrolments since, not written yet. damaged: beacons whose key does not open.
    """

    resolver: Resolver
    anchors: dict[str, EventKeys]
    newest: dict[str, int]
    enrolment: int
    first: Taking
    damaged: list[str] = field(default_factory=list)

    def keys_of(self, beacon_id: str, event: int) -> EventKeys:
        """Return the keys of an event of a beacon, not before its anchor."""
        anchor = self.anchors[beacon_id]
        number, key = anchor.event, anchor.event_key
        for _ in range(event - number):
            number, key = number + 1, keys.next_event_key(key)
        return anchor.later(number, key)

    def let_go(self, anchors: Mapping[str, EventKeys]) -> None:
        """Forget the keys of all events before these, by beacon id."""
        if anchors:
            self.anchors.update(anchors)
            self.resolver.let_go(anchors)


def enrolment(session: Session) -> int:
    """Return the number that moves with every enrolment that changed a beacon."""
    return session.scalar(select(MetaRow.value).where(MetaRow.key == BEACONS)) or 0


def recall(
    session: Session, storage: bytes, now_ms: int, alive: Callable[[], None],
    index: Path | None = None,
) -> Mind:  # fmt: skip
    """Read all that there is to know. storage: of `HubKeys`; alive: called now and then.

    index: where a large table of identifiers is kept, so that it need not be made each time.
    Raises IntegrityError if no beacon's key opens: then the storage key is another hub's.
    """
    known = enrolment(session)
    beacons = session.scalars(select(BeaconRow).where(BeaconRow.retired_ms.is_(None))).all()
    anchors: dict[str, EventKeys] = {}
    damaged = []
    for row in beacons:
        try:
            key = open_anchor(storage, row.id, row.anchor_event, row.anchor)
        except IntegrityError:
            damaged.append(row.id)
        else:
            anchors[row.id] = EventKeys(row.id, row.public_key, row.anchor_event, key)
    if damaged and not anchors:
        open_anchor(storage, beacons[0].id, beacons[0].anchor_event, beacons[0].anchor)
    newest = {row.id: row.newest_event for row in beacons}
    # by the same lot, since what lost its place is in the database still
    lot = hmac.digest(storage, b"fanal/1 hub waiting", "sha256")
    resolver = Resolver([], behind=MOST_BEHIND, lot=lot)
    lines = _lines(session)
    watched = list(anchors.values())
    alive()
    if index is None or resolver.watch_saved(index, storage, watched, *lines, newest, alive):
        for at in range(0, len(watched), _AT_ONCE):
            alive()
            some = watched[at : at + _AT_ONCE]
            names = {one.beacon_id for one in some}
            held, said = ({event: found for event, found in one.items() if event[0] in names}
                          for one in lines)  # fmt: skip
            resolver.watch(some, held, said, newest)
        resolver.settle(alive)
        if index is not None:
            with suppress(OSError):  # it costs the next start a minute, and nothing else
                resolver.save(index, storage, alive)
    alive()
    resolver.recall(_seen(session, now_ms))
    first = Taking(resolver)
    for heards in heard_rows.waiting(session, now_ms):
        alive()
        for heard, is_to_be_tried in heards:
            if is_to_be_tried:
                first.take_again(heard)
            else:
                resolver.keep_page(heard)
    resolver.counts.clear()  # all of that was counted before
    if len(anchors) >= WIDE:
        heap.settle()
    return Mind(resolver, anchors, newest, known, first, damaged)


def _lines(session: Session) -> tuple[_Lines, _Lines]:
    """Return what is held as genuine of the events that can still be resolved, as it joined.

    Second what of that is hearsay.
    """
    lines: tuple[_Lines, _Lines] = (defaultdict(list), defaultdict(list))
    rows = session.execute(
        select(SightingRow.beacon, SightingRow.event, SightingRow.heard_ms, SightingRow.slot,
               SightingRow.seq, SightingRow.received_ms, ListenerRow.enrolled_ms)
        .join(BeaconRow, BeaconRow.id == SightingRow.beacon)
        .outerjoin(ListenerRow, ListenerRow.key == SightingRow.listener)
        .where(SightingRow.event >= BeaconRow.anchor_event,
               SightingRow.verdict.in_((FRESH, LATE)))
        .order_by(SightingRow.id)
    )  # fmt: skip
    for beacon, event, heard_ms, slot, seq, received_ms, enrolled_ms in rows:
        is_said = is_hearsay(heard_ms, received_ms, enrolled_ms is not None)
        lines[is_said][beacon, event].append((heard_ms, slot, seq))
    return lines


def _seen(session: Session, now_ms: int) -> list[Seen]:
    """Return the slots in which pages may still find their owner."""
    of_slot = (SightingRow.beacon, SightingRow.event, SightingRow.slot)
    verified = {
        tuple(row)
        for row in session.execute(
            select(IncidentRow.beacon, IncidentRow.event, SignatureRow.slot)
            .join(SignatureRow, SignatureRow.incident == IncidentRow.id)
            .where(IncidentRow.last_received_ms >= now_ms - KEPT_MS)
        )
    }  # fmt: skip
    half_hour = SightingRow.heard_ms // NEAR_MS
    rows = session.execute(
        select(*of_slot, SightingRow.rid, SightingRow.status, func.min(SightingRow.heard_ms),
               func.max(SightingRow.heard_ms))
        .join(BeaconRow, BeaconRow.id == SightingRow.beacon)
        .where(SightingRow.event >= BeaconRow.anchor_event,
               SightingRow.received_ms >= now_ms - KEPT_MS)
        .group_by(*of_slot, SightingRow.rid, SightingRow.status, half_hour)
    )  # fmt: skip
    return [Seen(*row, is_verified=tuple(row[:3]) in verified) for row in rows]
