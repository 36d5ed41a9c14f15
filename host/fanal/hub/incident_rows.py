"""The rows of an incident: made from what was resolved, written, and reckoned over again."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, cast

from fanal_protocol import alert, slot
from fanal_protocol.line import DUPLICATE, REPLAY
from sqlalchemy import Table, func, insert, select, update
from sqlalchemy.orm import Session

from fanal.hub.place import HeardAt
from fanal.hub.placed import columns, place_of
from fanal.hub.tables import OPEN, UNSIGNED, IncidentRow, ListenerRow, SightingRow
from fanal.position import Position
from fanal.sighting import CrumbFound, Sighting, SignatureVerified

_SIGHTINGS = cast(Table, SightingRow.__table__)  # many rows go in quicker than by their class
_MOST_HEARD = 256  # the newest, for the estimate of the place
_MOST_MS = (1 << 53) - 1


@dataclass
class Known:
    """What is remembered of an incident between batches.

    listeners: who heard it; heard: where and how strong, the newest last. told: the place that
    people were told last. repeated: duplicates and replays that strangers sent.
    """

    listeners: set[str] = field(default_factory=set)
    heard: list[HeardAt] = field(default_factory=list)
    told: Position | None = None
    repeated: int = 0

    def add(self, row: dict[str, Any], position: Position | None) -> None:
        """Count one alert in, as it is in its row."""
        self.listeners.add(row["listener"])
        if position is None:
            return
        one = HeardAt(position, row["rssi_dbm"], row["heard_ms"], row["listener"])
        is_in_order = not self.heard or self.heard[-1].t_ms <= one.t_ms
        self.heard.append(one)
        if not is_in_order:
            self.heard.sort(key=lambda heard: heard.t_ms)
        del self.heard[:-_MOST_HEARD]


def began(seen: Sighting, may_be_replay: bool) -> IncidentRow:
    """Return the row of an incident that its first alert opens; nothing is counted yet."""
    assert seen.receipt is not None
    received_ms = seen.receipt.received_ms
    row = IncidentRow(
        beacon=seen.beacon_id, event=seen.event, kind=seen.kind, state=OPEN,
        is_replay=seen.verdict == REPLAY, may_be_replay=may_be_replay, is_confirmed=False,
        signature=UNSIGNED,
        began_ms=seen.began_ms, first_heard_ms=seen.t_ms, last_heard_ms=seen.receipt.last_ms,
        first_received_ms=received_ms, last_received_ms=received_ms,
        sightings=0, replays=0, listeners=0, escalation=0, revision=0,
    )  # fmt: skip
    show_status(row, seen)
    return row


def show_status(row: IncidentRow, seen: Sighting) -> None:
    """Let an incident say what its newest alert says."""
    row.age_s, row.phase, row.crumbs = seen.age_s, seen.phase, seen.crumbs
    row.battery_mv, row.is_battery_low = seen.battery_mv, seen.battery_low
    row.is_resumed, row.is_readable = seen.resumed, seen.readable


def sighting_row(seen: Sighting, at: Position | None) -> dict[str, Any]:
    """Return the columns of one alert; the incident's number comes later."""
    receipt = seen.receipt
    assert receipt is not None
    return {
        "beacon": seen.beacon_id, "event": seen.event, "slot": seen.slot, "seq": seen.seq,
        "heard_ms": seen.t_ms, "last_heard_ms": receipt.last_ms,
        "received_ms": receipt.received_ms, "verdict": seen.verdict,
        "listener": receipt.listener, "count": min(receipt.count, _MOST_MS),
        "rssi_dbm": seen.rssi_dbm,
        **columns(at),
        "rid": seen.rid, "status": seen.status, "battery_mv": seen.battery_mv,
        "crumbs": seen.crumbs, "phase": seen.phase,
    }  # fmt: skip


def signature_row(incident: int, found: SignatureVerified) -> dict[str, Any]:
    """Return the columns of a signature."""
    return {"incident": incident, "slot": found.slot, "signature": found.signature,
            "rid": found.rid, "status": found.status, "heard_ms": found.t_ms}  # fmt: skip


def crumb_row(incident: int, found: CrumbFound) -> dict[str, Any]:
    """Return the columns of a crumb."""
    points = [[bssid.hex(), rssi_dbm] for bssid, rssi_dbm in found.aps]
    return {"incident": incident, "index": found.index, "age_s": found.age_s, "seen": found.seen,
            "access_points": points, "heard_ms": found.t_ms}  # fmt: skip


def begin_anew(row: IncidentRow, seen: Sighting, may_be_replay: bool) -> None:
    """Forget what replays said: this is the first genuine alert."""
    assert seen.receipt is not None
    row.is_replay, row.is_confirmed, row.kind = False, False, seen.kind
    row.first_heard_ms, row.last_heard_ms = seen.t_ms, seen.receipt.last_ms
    row.first_received_ms = row.last_received_ms = seen.receipt.received_ms
    row.age_s, row.may_be_replay = -1, may_be_replay


def leave(session: Session, row: IncidentRow, left: Iterable[tuple[int, int]]) -> None:
    """Let alerts of an incident be replays, wherever they were heard. left: (slot, seq) each."""
    for at_slot, seq in sorted(left):
        session.execute(
            update(SightingRow).where(
                SightingRow.beacon == row.beacon, SightingRow.event == row.event,
                SightingRow.slot == at_slot, SightingRow.seq == seq, SightingRow.verdict != REPLAY,
            ).values(verdict=REPLAY).execution_options(synchronize_session=False)
        )  # fmt: skip


def add_sightings(session: Session, sightings: Iterable[tuple[int, dict[str, Any]]]) -> None:
    """Write alerts, each with the number of its incident."""
    rows = [{"incident": incident, **columns} for incident, columns in sightings]
    if rows:
        session.execute(insert(_SIGHTINGS), rows)


def load(session: Session, row: IncidentRow) -> Known:
    """Return what there is to remember of an incident, from its alerts."""
    counted = _counted(row)
    listeners = session.scalars(select(SightingRow.listener).where(*counted).distinct())
    newest = session.scalars(
        select(SightingRow).where(*counted, SightingRow.latitude.is_not(None))
        .order_by(SightingRow.heard_ms.desc(), SightingRow.id.desc()).limit(_MOST_HEARD)
    ).all()  # fmt: skip
    heard = [HeardAt(place, one.rssi_dbm, one.heard_ms, one.listener)
             for one in reversed(newest) if (place := place_of(one)) is not None]  # fmt: skip
    repeated = session.scalar(
        select(func.count()).select_from(SightingRow)
        .outerjoin(ListenerRow, ListenerRow.key == SightingRow.listener)
        .where(SightingRow.incident == row.id, ListenerRow.enrolled_ms.is_(None),
               SightingRow.verdict.in_((DUPLICATE, REPLAY)))
    )  # fmt: skip
    return Known(set(listeners), heard, place_of(row), repeated or 0)


def _counted(row: IncidentRow) -> list[Any]:
    """Return the conditions for the alerts that count: those that are no replays, if there are."""
    own = SightingRow.incident == row.id
    return [own] if row.is_replay else [own, SightingRow.verdict != REPLAY]


def reckon(session: Session, row: IncidentRow) -> None:
    """Make times, counts and status of an incident anew from its alerts."""
    counted = _counted(row)
    times = session.execute(
        select(
            func.min(SightingRow.heard_ms), func.max(SightingRow.last_heard_ms),
            func.min(SightingRow.received_ms), func.max(SightingRow.received_ms),
            func.count(), func.count(SightingRow.listener.distinct()),
        ).where(*counted)
    ).one()  # fmt: skip
    row.first_heard_ms, row.last_heard_ms, row.first_received_ms, row.last_received_ms = times[:4]
    of_all = select(func.count()).where(SightingRow.incident == row.id)
    row.replays = session.scalar(of_all.where(SightingRow.verdict == REPLAY)) or 0
    row.sightings = 0 if row.is_replay else times[4]
    row.listeners = times[5]
    newest = session.scalars(
        select(SightingRow).where(*counted)
        .order_by(SightingRow.slot.desc(), SightingRow.seq.desc(), SightingRow.id).limit(1)
    ).one()  # fmt: skip
    status = alert.read_status(newest.status)
    row.age_s, row.phase, row.crumbs = (
        slot.age_s(newest.slot, newest.seq),
        newest.phase,
        newest.crumbs,
    )
    row.battery_mv, row.is_battery_low = newest.battery_mv, bool(status.battery_low)
    row.is_resumed = bool(status.resumed)
    row.is_readable = alert.readable(
        alert.Alert(newest.status, newest.battery_mv // alert.BATTERY_UNIT_MV, newest.crumbs,
                    newest.phase)
    )  # fmt: skip
