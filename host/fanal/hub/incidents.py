"""What resolved frames do to incidents: one for each event of a beacon, opened by its first alert.

Replays move nothing. An incident of which nothing but replays is known says so (`is_replay`), and
begins anew with the first genuine alert: then it is opened as if it were new, and all its fields
are those of genuine alerts.

An event that is not newer than what was known of its beacon when the fleet's registry was restored
may be a replay that no rule of time finds. Its incident is marked when it opens, and that is all.

Closed stays closed, and goes on to collect what is heard. The hub reopens it if an alert heard
after the closing says that somebody squeezed once more (the phase is back from track to alert), or
if what was closed as a replay, a drill or a test turns out to be more than that. What was
acknowledged as less than an alert is opened again when it is one: of that nobody knows yet.

Whoever caught one true alert can send it for ever. So of what strangers repeat, only so much is
kept of one incident; the first of each alert always is.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from fanal_protocol import alert
from fanal_protocol.line import DUPLICATE, REPLAY
from sqlalchemy import select, tuple_
from sqlalchemy.orm import Session

from fanal.hub import hub_log
from fanal.hub.actions import last_action
from fanal.hub.incident_news import Standing, reason, standing
from fanal.hub.incident_rows import (
    Known,
    add_sightings,
    began,
    begin_anew,
    crumb_row,
    leave,
    load,
    reckon,
    show_status,
    sighting_row,
    signature_row,
)
from fanal.hub.incident_sites import Scene, scene_of
from fanal.hub.new_rows import insert_new
from fanal.hub.place import estimate
from fanal.hub.placed import place_of, put
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
SQUEEZED_AGAIN, IS_MORE = "squeezed again", "it is more than what it was taken for"
MAY_BE_REPLAY = "may be a replay"

MOST_REPEATED = 10_000  # duplicates and replays of one incident, from listeners not enrolled

_SEVERITY = (TEST, DRILL, ALERT)
_MOST_KNOWN = 1000  # incidents of which the listeners and the last places are kept in memory

Event = tuple[str, int]
Changed = Callable[[Session, IncidentRow, str], None]


@dataclass
class _Work:
    """One incident while a batch is put into it. was: how it stood before.

    is_replay: nothing but replays is known so far. counted: the alerts that count, each with
    whether an enrolled listener heard it.
    """

    row: IncidentRow
    known: Known
    was: Standing
    is_replay: bool
    is_new: bool = False
    is_again: bool = False  # genuine for the first time, after replays
    squeezed_ms: int | None = None  # when an alert was heard that followed track
    sightings: list[dict[str, Any]] = field(default_factory=list)
    counted: list[tuple[Sighting, bool]] = field(default_factory=list)
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
                _sighted(works, outcome, scene)
        for work in works.values():
            _count(work)
        session.add_all([work.row for work in works.values() if work.is_new])
        session.flush()
        for work in works.values():
            leave(session, work.row, work.left)
        add_sightings(session, [(w.row.id, one) for w in works.values() for one in w.sightings])
        for (beacon_id, _), work in works.items():
            if work.left or work.is_again:
                reckon(session, work.row)
                told, work.known = work.known.told, load(session, work.row)
                work.known.told = told
            _locate(work, scene.sites.get(beacon_id))
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
            .order_by(IncidentRow.id).with_for_update(key_share=True)
        )  # fmt: skip
        return {(row.beacon, row.event): _Work(row, self._of(session, row), standing(row),
                                               row.is_replay) for row in rows}  # fmt: skip

    def _of(self, session: Session, row: IncidentRow) -> Known:
        """Return what is remembered of an incident, from memory or from the database."""
        known = self._known.get(row.id)
        return load(session, row) if known is None else known

    def _tell(self, session: Session, work: _Work) -> None:
        """Reopen what has to be, and say what changed for people."""
        row = work.row
        why = ""
        if work.is_new or work.is_again:
            why = OPENED
            _act(session, row, OPENED, _how(work), row.first_received_ms)
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
        _enter_changed(session, work)
        self._known[row.id] = work.known
        self._known.move_to_end(row.id)
        if len(self._known) > _MOST_KNOWN:
            self._known.popitem(last=False)


def _sighted(works: dict[Event, _Work], seen: Sighting, scene: Scene) -> None:
    """Put one alert to its incident, and decide whether it counts."""
    event = (seen.beacon_id, seen.event)
    listener = scene.listener(seen)
    columns = sighting_row(seen, listener.position)
    work = works.get(event)
    if work is None:
        row = began(seen, scene.may_be_replay(seen))
        work = works[event] = _Work(row, Known(), standing(row), row.is_replay, is_new=True)
    for gone in seen.left:
        work.left.add((gone.slot, gone.seq))
        for before in work.sightings:
            if (before["slot"], before["seq"]) == (gone.slot, gone.seq):
                before["verdict"] = REPLAY
    if not listener.is_enrolled and seen.verdict in (DUPLICATE, REPLAY):
        work.known.repeated += 1
        if work.known.repeated > MOST_REPEATED:
            return
    work.sightings.append(columns)
    is_genuine = seen.verdict != REPLAY
    if is_genuine and work.is_replay:
        work.is_again, work.is_replay = not work.is_new, False
        work.known, work.counted = Known(), []
        begin_anew(work.row, seen, scene.may_be_replay(seen))
    if is_genuine or work.is_replay:
        work.counted.append((seen, listener.is_enrolled))
        work.known.add(columns, listener.position)


def _count(work: _Work) -> None:
    """Let the alerts that count move what an incident says, all at once."""
    if not work.sightings:
        return
    row = work.row
    replays = sum(one["verdict"] == REPLAY for one in work.sightings)
    row.replays += replays
    row.sightings += len(work.sightings) - replays
    if not work.counted:
        return
    heard_ms, received_ms, last_ms = zip(*(_times(seen) for seen, _ in work.counted), strict=True)
    row.first_heard_ms = min(row.first_heard_ms, *heard_ms)
    row.last_heard_ms = max(row.last_heard_ms, *last_ms)
    row.first_received_ms = min(row.first_received_ms, *received_ms)
    row.last_received_ms = max(row.last_received_ms, *received_ms)
    row.listeners = len(work.known.listeners)
    kinds = {seen.kind for seen, _ in work.counted}
    row.kind = max(row.kind, *kinds, key=_SEVERITY.index)
    row.is_confirmed = row.is_confirmed or any(is_enrolled for _, is_enrolled in work.counted)
    row.began_ms = next((seen.began_ms for seen, _ in reversed(work.counted)
                         if seen.began_ms is not None), row.began_ms)  # fmt: skip
    _follow(work)


def _follow(work: _Work) -> None:
    """Let the alert with the greatest event time say how its beacon is."""
    age_s, phase, newest = work.row.age_s, work.row.phase, None
    for seen, _ in work.counted:
        if seen.age_s > age_s:
            if (phase, seen.phase) == (alert.PHASE_TRACK, alert.PHASE_ALERT):
                work.squeezed_ms = seen.t_ms
            age_s, phase, newest = seen.age_s, seen.phase, seen
    if newest is not None:
        show_status(work.row, newest)


def _times(seen: Sighting) -> tuple[int, int, int]:
    assert seen.receipt is not None
    return seen.t_ms, seen.receipt.received_ms, seen.receipt.last_ms


def _locate(work: _Work, site: Position | None) -> None:
    """Reckon where it is, if anything is known of that."""
    at = site or estimate(work.known.heard)
    if at is not None:
        put(work.row, at)


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
    """Return why an incident is opened again that somebody took or closed, "" if it is not."""
    row = work.row
    if row.state == OPEN or work.is_new:
        return ""
    is_more = work.is_again or row.kind != work.was.kind
    if is_more and (row.state == DONE or row.kind == ALERT):
        return IS_MORE
    if row.state != DONE or work.squeezed_ms is None:
        return ""
    closing = last_action(session, row.id, CLOSED)
    return SQUEEZED_AGAIN if closing is None or work.squeezed_ms > closing.at_ms else ""


def _how(work: _Work) -> str:
    if work.row.is_replay:
        return "by a replay"
    unsure = MAY_BE_REPLAY if work.row.may_be_replay else ""
    return ", ".join(filter(None, ("after replays" if work.is_again else "", unsure)))


def _act(session: Session, row: IncidentRow, what: str, detail: str, at_ms: int) -> None:
    line = ActionRow(incident=row.id, at_ms=at_ms, who=HUB, what=what, detail=detail)
    entry = what
    if what == OPENED:
        entry = hub_log.REPLAY_SEEN if row.is_replay else hub_log.FIRST_SEEN
    hub_log.add_line(session, line, of=row, what=entry)


def _enter_changed(session: Session, work: _Work) -> None:
    """Enter into the hub's log what has no line in the timeline."""
    row, at_ms = work.row, work.row.last_received_ms
    if row.kind != work.was.kind and not (work.is_new or work.is_again):
        how = f"{work.was.kind} before"
        hub_log.enter(session, hub_log.KIND, at_ms, of=row, who=HUB, detail=how)
    if row.signature != work.was.signature:
        hub_log.enter(session, hub_log.SIGNATURE, at_ms, of=row, who=HUB)
