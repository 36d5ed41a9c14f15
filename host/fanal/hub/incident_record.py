"""What is told of incidents, one frozen form each, and the same as JSON.

`kind` (ALERT, DRILL or TEST) is in every object, so that no part of an incident can be shown
without it. Nothing holds a key of a beacon or a payload. Units end the names; fields that end in
_ms are Unix milliseconds.
"""

from dataclasses import dataclass, fields, is_dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar

from fanal.position import Position

T = TypeVar("T")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MOST_MS = 253_402_300_799_999  # the end of the year 9999, the last that RFC 3339 can write


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Part of a list. next: what to pass as `before` for what follows, None at the end."""

    items: tuple[T, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class Incident:
    """One incident as a list shows it; the fields are those of `tables.IncidentRow`.

    beacon: 8 letters. revoked_reason: why its beacon is trusted no more, None if it is.
    may_be_replay: the rules of time cannot tell, since the fleet's registry was restored; False for
    what they call a replay.
    """

    id: int
    kind: str
    state: str
    is_replay: bool
    may_be_replay: bool
    is_readable: bool
    is_confirmed: bool
    beacon: str
    event: int
    site: str
    place: str
    profile: str
    revoked_reason: str | None
    signature: str
    began_ms: int | None
    first_heard_ms: int
    last_heard_ms: int
    first_received_ms: int
    last_received_ms: int
    age_s: int
    is_resumed: bool
    phase: int
    battery_mv: int
    is_battery_low: bool
    crumbs: int
    sightings: int
    replays: int
    listeners: int
    position: Position | None
    assigned_to: str | None
    acknowledged_ms: int | None
    escalation: int
    revision: int


@dataclass(frozen=True, slots=True)
class Action:
    """One line of a timeline. what: see `tables`; who: a user's name, or "hub"."""

    id: int
    kind: str
    at_ms: int
    who: str
    what: str
    detail: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """What proves a sighting or a signature to somebody else; for officers. rid, signature: hex."""

    rid: str
    status: int
    signature: str | None = None


@dataclass(frozen=True, slots=True)
class Sighting:
    """One alert at one listener. listener: its key; listener_name: as people know it."""

    id: int
    kind: str
    heard_ms: int
    last_heard_ms: int
    received_ms: int
    verdict: str
    may_be_replay: bool
    listener: str
    listener_name: str
    is_confirmed: bool
    count: int
    rssi_dbm: int | None
    position: Position | None
    slot: int
    seq: int
    battery_mv: int
    crumbs: int
    phase: int
    evidence: Evidence | None


@dataclass(frozen=True, slots=True)
class Signature:
    """The beacon's own signature over one slot of 900 s, complete and verified."""

    kind: str
    slot: int
    heard_ms: int
    evidence: Evidence | None


@dataclass(frozen=True, slots=True)
class Crumb:
    """Where the beacon was by its own record. access_points: [[bssid hex, rssi_dbm], ...]."""

    kind: str
    index: int
    age_s: int
    seen: int
    access_points: tuple[tuple[str, int], ...]
    heard_ms: int


@dataclass(frozen=True, slots=True)
class TrailPoint:
    """A place on its way, reckoned from the listeners there: see `place.trail`. No replays."""

    kind: str
    position: Position
    first_heard_ms: int
    last_heard_ms: int
    listeners: int


@dataclass(frozen=True, slots=True)
class Listener:
    """A listener that heard an incident, and how it is now. health: see `health_word`."""

    kind: str
    listener: str
    listener_name: str
    is_confirmed: bool
    health: str
    sightings: int
    first_heard_ms: int
    last_heard_ms: int
    rssi_dbm: int | None
    last_received_ms: int | None


@dataclass(frozen=True, slots=True)
class IncidentView:
    """One incident with all that belongs to it. timeline: oldest first; sightings: newest first."""

    kind: str
    incident: Incident
    timeline: tuple[Action, ...]
    trail: tuple[TrailPoint, ...]
    signatures: tuple[Signature, ...]
    crumbs: tuple[Crumb, ...]
    listeners: tuple[Listener, ...]
    sightings: Page[Sighting]
    close_reasons: tuple[str, ...]


def as_json(value: Any) -> Any:
    """Return a record as JSON has it: every time as Unix ms, and beside it as RFC 3339 in UTC.

    `first_heard_ms` comes with `first_heard`, and so on; a field that is not known is null.
    """
    if is_dataclass(value) and not isinstance(value, type):
        found: dict[str, Any] = {}
        for one in fields(value):
            content = getattr(value, one.name)
            found[one.name] = as_json(content)
            if one.name.endswith("_ms"):
                found[one.name.removesuffix("_ms")] = None if content is None else rfc3339(content)
        return found
    if isinstance(value, (tuple, list)):
        return [as_json(one) for one in value]
    return value


def rfc3339(at_ms: int) -> str:
    """Return Unix milliseconds as "2026-03-01T12:00:00.000Z"; the nearest that can be written."""
    at = _EPOCH + timedelta(milliseconds=max(0, min(at_ms, _MOST_MS)))
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
