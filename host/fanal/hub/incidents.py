"""What resolved frames do to incidents: one for each event of a beacon, opened by its first alert.

Replays move nothing. An incident of which nothing but replays is known says so (`is_replay`), and
begins anew with the first genuine alert: then it is opened as if it were new, and all its fields
are those of genuine alerts.

Closed stays closed, and goes on to collect what is heard. The hub reopens it if an alert heard
after the closing says that somebody squeezed once more (the phase is back from track to alert), or
if what was closed as a replay, a drill or a test turns out to be more than that.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from fanal_protocol import alert
from fanal_protocol.line import REPLAY
from sqlalchemy import select, tuple_
from sqlalchemy.orm import Session

from fanal.hub.actions import last_action
from fanal.hub.incident_news import Standing, reason, standing
from fanal.hub.incident_rows import (
    Known,
    add_sightings,
    began,
    crumb_row,
    load,
    place_of,
    show_status,
    sighting_row,
    signature_row,
)
from fanal.hub.incident_sites import Scene, scene_of
from fanal.hub.new_rows import insert_new
from fanal.hub.place import estimate
from fanal.hub.tables import (
    CLOSED,
    DONE,
    OPEN,
    OPENED,
    REOPENED,
    SIGNED,
    ActionRow,
    CrumbRow,
    IncidentRow,
    SignatureRow,
)
from fanal.position import Position
from fanal.sighting import ALERT, DRILL, TEST, CrumbFound, Outcome, Sighting, SignatureVerified

HUB = "hub"
SQUEEZED_AGAIN, IS_MORE = "squeezed again", "it is more than what it was closed as"

_SEVERITY = (TEST, DRILL, ALERT)
_MOST_KNOWN = 1000  # incidents of which the listeners and the last places are kept in memory

Event = tuple[str, int]
Changed = Callable[[Session, IncidentRow, str], None]


@dataclass
class _Work:
    """One incident while a batch is put into it. was: how it stood before."""

    row: IncidentRow
    known: Known
    was: Standing
    is_new: bool = False
    is_again: bool = False  # genuine for the first time, after replays
    squeezed_ms: int | None = None  # when an alert was heard that followed track
    sightings: list[dict[str, object]] = field(default_factory=list)
    left: set[tuple[int, int]] = field(default_factory=set)


class Incidents:
    """Puts outcomes of the resolver into the database. For one worker, while it has the turn.

    changed: told of each incident that changed for people, in the transaction, once for a batch.
    """

    def __init__(self, changed: Changed | None = None) -> None:
        self._changed = changed
        self._known: OrderedDict[int, Known] = OrderedDict()

    def apply(self, session: Session, outcomes: Sequence[Outcome]) -> None:
        """Write what was resolved, in this order, in the caller's transaction."""
        scene = scene_of(session, outcomes)
        works = self._begin(session, outcomes)
        for outcome in outcomes:
            if isinstance(outcome, Sighting):
                self._sighted(session, works, outcome, scene)
        new = [work.row for work in works.values() if work.is_new]
        session.add_all(new)
        session.flush()
        for event, work in works.items():
            add_sightings(session, work.row, work.sightings, work.left, work.is_again)
            if work.left or work.is_again:
                told, work.known = work.known.told, load(session, work.row)
                work.known.told = told
            self._locate(work, scene.sites.get(event[0]))
        _add_found(session, works, outcomes)
        for work in works.values():
            self._tell(session, work)

    def _begin(self, session: Session, outcomes: Iterable[Outcome]) -> dict[Event, _Work]:
        """Return the incidents there are of the events of a batch, locked."""
        events = {(o.beacon_id, o.event) for o in outcomes
                  if isinstance(o, Sighting | SignatureVerified | CrumbFound)}  # fmt: skip
        rows = session.scalars(
            select(IncidentRow)
            .where(tuple_(IncidentRow.beacon, IncidentRow.event).in_(sorted(events)))
            .order_by(IncidentRow.id).with_for_update()
        )  # fmt: skip
        return {(r.beacon, r.event): _Work(r, self._of(session, r), standing(r)) for r in rows}

    def _of(self, session: Session, row: IncidentRow) -> Known:
        """Return what is remembered of an incident, from memory or from the database."""
        known = self._known.get(row.id)
        return load(session, row) if known is None else known

    def _sighted(
        self, session: Session, works: dict[Event, _Work], seen: Sighting, scene: Scene
    ) -> None:
        """Count one alert in."""
        event = (seen.beacon_id, seen.event)
        listener = scene.listener(seen)
        columns = sighting_row(seen, listener.position)
        work = works.get(event)
        if work is None:
            row = began(seen)
            work = works[event] = _Work(row, Known(), standing(row), is_new=True)
        row = work.row
        for gone in seen.left:
            work.left.add((gone.slot, gone.seq))
            for before in work.sightings:
                if (before["slot"], before["seq"]) == (gone.slot, gone.seq):
                    before["verdict"] = REPLAY
        work.sightings.append(columns)
        is_genuine = seen.verdict != REPLAY
        if is_genuine and row.is_replay:
            work.is_again = not work.is_new
            work.known = Known()
            _begin_anew(row, seen)
        if not is_genuine:
            row.replays += 1
            if not row.is_replay:
                return
        else:
            row.sightings += 1
        _count(work, seen, listener.is_enrolled)
        work.known.add(columns, listener.position)
        row.listeners = len(work.known.listeners)

    def _locate(self, work: _Work, site: Position | None) -> None:
        """Reckon where it is, if anything is known of that."""
        at = site or estimate(work.known.heard)
        if at is None:
            return
        row = work.row
        row.latitude, row.longitude = at.latitude, at.longitude
        row.accuracy_m, row.source = at.accuracy_m, at.source

    def _tell(self, session: Session, work: _Work) -> None:
        """Reopen what has to be, and say what changed for people."""
        row = work.row
        why = ""
        if work.is_new or work.is_again:
            why = OPENED
            how = "by a replay" if row.is_replay else "after replays" if work.is_again else ""
            _act(session, row, OPENED, how, row.first_received_ms)
        again = _reopens(session, work)
        if again:
            why = why or REOPENED
            row.state, row.acknowledged_ms, row.escalation = OPEN, None, 0
            _act(session, row, REOPENED, again, row.last_received_ms)
        if not why and row.state != DONE:
            why = reason(work.was, row, work.known.told)
        if why:
            work.known.told = place_of(row)
            row.revision += 1
        session.flush()
        if why and not row.is_replay and self._changed is not None:
            self._changed(session, row, why)
        self._known[row.id] = work.known
        self._known.move_to_end(row.id)
        if len(self._known) > _MOST_KNOWN:
            self._known.popitem(last=False)


def _begin_anew(row: IncidentRow, seen: Sighting) -> None:
    """Forget what replays said: this is the first genuine alert."""
    row.is_replay, row.is_confirmed, row.kind = False, False, seen.kind
    assert seen.receipt is not None
    row.first_heard_ms, row.last_heard_ms = seen.t_ms, seen.receipt.last_ms
    row.first_received_ms = row.last_received_ms = seen.receipt.received_ms
    row.age_s = -1


def _count(work: _Work, seen: Sighting, is_enrolled: bool) -> None:
    """Let one alert move what an incident says: of times, of kind, of who heard it, of status."""
    row, receipt = work.row, seen.receipt
    assert receipt is not None
    row.first_heard_ms = min(row.first_heard_ms, seen.t_ms)
    row.last_heard_ms = max(row.last_heard_ms, receipt.last_ms)
    row.first_received_ms = min(row.first_received_ms, receipt.received_ms)
    row.last_received_ms = max(row.last_received_ms, receipt.received_ms)
    row.kind = max(row.kind, seen.kind, key=_SEVERITY.index)
    row.is_confirmed = row.is_confirmed or is_enrolled
    if seen.began_ms is not None:
        row.began_ms = seen.began_ms
    if seen.age_s > row.age_s:
        if (row.phase, seen.phase) == (alert.PHASE_TRACK, alert.PHASE_ALERT):
            work.squeezed_ms = seen.t_ms
        show_status(row, seen)


def _add_found(session: Session, works: dict[Event, _Work], outcomes: Sequence[Outcome]) -> None:
    """Keep signatures and crumbs, each once."""
    signatures, crumbs = [], []
    for outcome in outcomes:
        if not isinstance(outcome, SignatureVerified | CrumbFound):
            continue
        work = works.get((outcome.beacon_id, outcome.event))
        if work is None:
            continue
        if isinstance(outcome, CrumbFound):
            crumbs.append(crumb_row(work.row.id, outcome))
        else:
            work.row.signature = SIGNED
            signatures.append(signature_row(work.row.id, outcome))
    insert_new(session, SignatureRow, signatures)
    insert_new(session, CrumbRow, crumbs)


def _reopens(session: Session, work: _Work) -> str:
    """Return why a closed incident is opened again, "" if it stays as it is."""
    row = work.row
    if row.state != DONE or work.is_new:
        return ""
    if work.is_again or row.kind != work.was.kind:
        return IS_MORE
    if work.squeezed_ms is None:
        return ""
    closing = last_action(session, row.id, CLOSED)
    return SQUEEZED_AGAIN if closing is None or work.squeezed_ms > closing.at_ms else ""


def _act(session: Session, row: IncidentRow, what: str, detail: str, at_ms: int) -> None:
    session.add(ActionRow(incident=row.id, at_ms=at_ms, who=HUB, what=what, detail=detail))
