"""What is told of incidents: the same facts for the page, the API, the command line and exports.

Everything here only reads; what it returns is in `incident_record`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, func, or_, select
from sqlalchemy.orm import Session

from fanal.error import UsageError
from fanal.gateway import listener_key
from fanal.hub import actions, place
from fanal.hub.incident_record import (
    Action,
    Crumb,
    Evidence,
    Incident,
    IncidentView,
    Listener,
    Page,
    Sighting,
    Signature,
    TrailPoint,
)
from fanal.hub.place import HeardAt
from fanal.hub.placed import place_of
from fanal.hub.store import Store
from fanal.hub.tables import (
    ActionRow,
    BeaconRow,
    CrumbRow,
    IncidentRow,
    ListenerRow,
    SightingRow,
    SignatureRow,
)

MOST_ROWS = 500  # of one page
MOST_ACTIONS = 1000  # the newest of a timeline
_REPLAY = "replay"
_MOST_SPANS = 120  # of a trail


@dataclass(frozen=True, slots=True)
class Filter:
    """Which incidents. An empty tuple means all; is_replay: None means both."""

    states: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    is_replay: bool | None = None


def incidents(
    store: Store, which: Filter | None = None, before: str | None = None, limit: int = 50
) -> Page[Incident]:
    """Return incidents, the newest received first. before: a page's `next`. Raises UsageError."""
    which = which or Filter()
    query = select(IncidentRow, BeaconRow).join(BeaconRow, BeaconRow.id == IncidentRow.beacon)
    if which.states:
        query = query.where(IncidentRow.state.in_(which.states))
    if which.kinds:
        query = query.where(IncidentRow.kind.in_(which.kinds))
    if which.is_replay is not None:
        query = query.where(IncidentRow.is_replay == which.is_replay)
    query = _paged(query, IncidentRow.first_received_ms, IncidentRow.id, before, limit)
    with store.reading() as session:
        rows = session.execute(query).all()
        return _page(rows, limit, lambda r: (r[0].first_received_ms, r[0].id),
                     lambda r: summary(r[0], r[1]))  # fmt: skip


def counts(store: Store) -> dict[str, dict[str, int]]:
    """Return how many incidents there are: kind -> state -> number. Replays are under "REPLAY"."""
    query = select(IncidentRow.kind, IncidentRow.state, IncidentRow.is_replay, func.count())
    found: dict[str, dict[str, int]] = {}
    with store.reading() as session:
        for kind, state, is_replay, number in session.execute(
            query.group_by(IncidentRow.kind, IncidentRow.state, IncidentRow.is_replay)
        ):
            of = found.setdefault("REPLAY" if is_replay else kind, {})
            of[state] = of.get(state, 0) + number
    return found


def incident(
    store: Store, incident_id: int, *, with_evidence: bool = False, limit: int = 100
) -> IncidentView:
    """Return one incident whole, with the newest `limit` sightings. Raises ActionError not_found.

    with_evidence: for officers, what a court needs.
    """
    with store.reading() as session:
        row, beacon = _found(session, incident_id)
        return IncidentView(
            row.kind,
            summary(row, beacon),
            _timeline(session, row),
            _trail(session, row),
            _signatures(session, row, with_evidence),
            _crumbs(session, row),
            _listeners(session, row),
            _sightings(session, row, None, limit, with_evidence),
            actions.reasons_for(row.kind),
        )


def sightings(
    store: Store,
    incident_id: int,
    before: str | None = None,
    limit: int = 100,
    *,
    with_evidence: bool = False,
) -> Page[Sighting]:
    """Return sightings of an incident, the newest heard first. Raises UsageError, ActionError."""
    with store.reading() as session:
        row, _ = _found(session, incident_id)
        return _sightings(session, row, before, limit, with_evidence)


def summary(row: IncidentRow, beacon: BeaconRow) -> Incident:
    """Return an incident's row as it is shown."""
    revoked = None if beacon.revoked_ms is None else beacon.revoked_reason or ""
    return Incident(
        row.id, row.kind, row.state, row.is_replay, row.may_be_replay is True and not row.is_replay,
        row.is_readable, row.is_confirmed, row.beacon,
        row.event, beacon.site, beacon.place, beacon.profile, revoked, row.signature, row.began_ms,
        row.first_heard_ms, row.last_heard_ms, row.first_received_ms, row.last_received_ms,
        row.age_s, row.is_resumed, row.phase, row.battery_mv, row.is_battery_low, row.crumbs,
        row.sightings, row.replays, row.listeners, place_of(row), row.assigned_to,
        row.acknowledged_ms, row.escalation, row.revision,
    )  # fmt: skip


def health_word(row: ListenerRow | None) -> str:
    """Return how a listener is: lost, silent, deaf, quiet, hearing, or unknown.

    lost: it went without a word; silent: nothing came of it for long; deaf: its radio failed;
    quiet: it hears no Bluetooth at all.
    """
    if row is None:
        return "unknown"
    if row.is_lost:
        return "lost"
    if row.silent_since_ms is not None:
        return "silent"
    return row.radio or "unknown"


def _found(session: Session, incident_id: int) -> tuple[IncidentRow, BeaconRow]:
    row = session.get(IncidentRow, incident_id) if actions.is_id(incident_id) else None
    if row is None:
        raise actions.no_incident()
    return row, session.get_one(BeaconRow, row.beacon)


def _timeline(session: Session, row: IncidentRow) -> tuple[Action, ...]:
    query = select(ActionRow).where(ActionRow.incident == row.id)
    newest = session.scalars(query.order_by(ActionRow.id.desc()).limit(MOST_ACTIONS)).all()
    return tuple(Action(x.id, row.kind, x.at_ms, x.who, x.what, x.detail) for x in reversed(newest))


def _trail(session: Session, row: IncidentRow) -> tuple[TrailPoint, ...]:
    """Return the way it went, of what no replay says.

    Of a listener and a span, when it first and last heard it, and where it was when it told the
    last of that: so a day of fifty listeners is quickly shown.
    """
    span_ms = max(place.SPAN_MS, (row.last_heard_ms - row.first_heard_ms) // _MOST_SPANS)
    spans = (
        select(SightingRow.listener, func.min(SightingRow.heard_ms).label("first_ms"),
               func.max(SightingRow.heard_ms).label("last_ms"),
               func.max(SightingRow.rssi_dbm).label("rssi_dbm"),
               func.max(SightingRow.id).label("newest"))
        .where(SightingRow.incident == row.id, SightingRow.verdict != _REPLAY,
               SightingRow.latitude.is_not(None))
        .group_by(SightingRow.listener, SightingRow.heard_ms // span_ms).subquery()
    )  # fmt: skip
    at = (SightingRow.latitude, SightingRow.longitude, SightingRow.accuracy_m, SightingRow.source)
    query = (
        select(*at, spans.c.listener, spans.c.first_ms, spans.c.last_ms, spans.c.rssi_dbm)
        .join(spans, SightingRow.id == spans.c.newest)
        .order_by(spans.c.first_ms, spans.c.listener)
    )
    heard = [
        HeardAt(where, one.rssi_dbm, t_ms, one.listener)
        for one in session.execute(query) if (where := place_of(one)) is not None
        for t_ms in sorted({one.first_ms, one.last_ms})
    ]  # fmt: skip
    return tuple(
        TrailPoint(row.kind, point.position, point.first_ms, point.last_ms, point.listeners)
        for point in place.trail(heard, span_ms)
    )


def _signatures(session: Session, row: IncidentRow, with_evidence: bool) -> tuple[Signature, ...]:
    query = select(SignatureRow).where(SignatureRow.incident == row.id)
    return tuple(
        Signature(
            row.kind, x.slot, x.heard_ms,
            Evidence(x.rid.hex(), x.status, x.signature.hex()) if with_evidence else None,
        )
        for x in session.scalars(query.order_by(SignatureRow.slot))
    )  # fmt: skip


def _crumbs(session: Session, row: IncidentRow) -> tuple[Crumb, ...]:
    query = select(CrumbRow).where(CrumbRow.incident == row.id).order_by(CrumbRow.index)
    return tuple(
        Crumb(row.kind, x.index, x.age_s, x.seen,
              tuple((str(bssid), int(rssi)) for bssid, rssi in x.access_points), x.heard_ms)
        for x in session.scalars(query)
    )  # fmt: skip


def _listeners(session: Session, row: IncidentRow) -> tuple[Listener, ...]:
    query = (
        select(SightingRow.listener, func.count(), func.min(SightingRow.heard_ms),
               func.max(SightingRow.last_heard_ms), func.max(SightingRow.rssi_dbm))
        .where(SightingRow.incident == row.id)
        .group_by(SightingRow.listener)
        .order_by(func.min(SightingRow.heard_ms), SightingRow.listener)
    )  # fmt: skip
    found = session.execute(query).all()
    known = _known(session, {one[0] for one in found})
    return tuple(
        Listener(
            row.kind, key, _name(key, known), _is_enrolled(key, known), health_word(known.get(key)),
            number, first_ms, last_ms, rssi_dbm,
            known[key].last_received_ms if key in known else None,
        )
        for key, number, first_ms, last_ms, rssi_dbm in found
    )  # fmt: skip


def _sightings(
    session: Session, row: IncidentRow, before: str | None, limit: int, with_evidence: bool
) -> Page[Sighting]:
    query = select(SightingRow).where(SightingRow.incident == row.id)
    query = _paged(query, SightingRow.heard_ms, SightingRow.id, before, limit)
    rows = session.scalars(query).all()
    known = _known(session, {one.listener for one in rows})

    def told(x: SightingRow) -> Sighting:
        evidence = Evidence(x.rid.hex(), x.status) if with_evidence else None
        return Sighting(
            x.id, row.kind, x.heard_ms, x.last_heard_ms, x.received_ms, x.verdict,
            row.may_be_replay is True and x.verdict != _REPLAY, x.listener,
            _name(x.listener, known), _is_enrolled(x.listener, known), x.count, x.rssi_dbm,
            place_of(x), x.slot, x.seq, x.battery_mv, x.crumbs, x.phase, evidence,
        )  # fmt: skip

    return _page(rows, limit, lambda x: (x.heard_ms, x.id), told)


def _known(session: Session, keys: set[str]) -> dict[str, ListenerRow]:
    found: dict[str, ListenerRow] = {}
    wanted = sorted(keys)
    for start in range(0, len(wanted), MOST_ROWS):
        query = select(ListenerRow).where(ListenerRow.key.in_(wanted[start : start + MOST_ROWS]))
        found |= {row.key: row for row in session.scalars(query)}
    return found


def name_of(row: ListenerRow) -> str:
    """Return a listener's name as people know it: the officer's, else `short_name`."""
    return row.name or short_name(row.key)


def _name(key: str, known: dict[str, ListenerRow]) -> str:
    return name_of(known[key]) if key in known else short_name(key)


def _is_enrolled(key: str, known: dict[str, ListenerRow]) -> bool:
    return key in known and known[key].enrolled_ms is not None


def short_name(key: str) -> str:
    """Return a listener's key as people compare it: "K7Q2-9XMD", or a gateway's topic whole."""
    try:
        raw = bytes.fromhex(key)
    except ValueError:
        return key
    return listener_key.name_of(raw)


def _paged(query: Any, at: Any, number: Any, before: str | None, limit: int) -> Any:
    """Return the query for the rows after `before`, the newest first, and one more."""
    if not 1 <= limit <= MOST_ROWS:
        raise UsageError(f"A page has 1 to {MOST_ROWS} rows.", code="limit")
    if before is not None:
        at_ms, least = _cursor(before)
        query = query.where(or_(at < at_ms, and_(at == at_ms, number < least)))
    return query.order_by(at.desc(), number.desc()).limit(limit + 1)


def _page(rows: Sequence[Any], limit: int, mark: Any, told: Any) -> Page[Any]:
    here = rows[:limit]
    following = "-".join(map(str, mark(here[-1]))) if len(rows) > limit else None
    return Page(tuple(map(told, here)), following)


def _cursor(text: str) -> tuple[int, int]:
    at_ms, _, number = text.partition("-")
    if not (at_ms.isdecimal() and number.isdecimal() and text.isascii() and len(text) < 37
            and actions.is_id(int(at_ms) + 1) and actions.is_id(int(number) + 1)):  # fmt: skip
        raise UsageError("There is no such part of the list.", "Begin again without it.",
                         code="before")  # fmt: skip
    return int(at_ms), int(number)
