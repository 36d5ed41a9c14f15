"""The tables of a hub, the same on SQLite and PostgreSQL.

Columns that end in _ms are Unix milliseconds. `heard` is when a listener heard something, as
reckoned by SPEC 3.2; `received` is when the hub got it. The two are never mixed.
"""

from typing import Any, ClassVar

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, Integer, String, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

SCHEMA_VERSION = 1

# SQLite counts rows up by itself only for INTEGER
Big = BigInteger().with_variant(Integer(), "sqlite")

# what a person did or the hub did by itself, in an incident's timeline
OPENED, ACKNOWLEDGED, ASSIGNED, NOTED, CLOSED, REOPENED, ESCALATED, NOTIFIED = (
    "opened", "acknowledged", "assigned", "noted", "closed", "reopened", "escalated", "notified",
)  # fmt: skip

OPEN = "open"  # nobody has acknowledged it
TAKEN = "acknowledged"
DONE = "closed"

UNSIGNED = "unsigned"  # no signature of the beacon's own is complete yet
SIGNED = "signed"


class Base(DeclarativeBase):
    """All tables."""

    type_annotation_map: ClassVar[dict[Any, Any]] = {int: Big, dict[str, Any]: JSON}


class Placed:
    """A place in a row, see `position.Position`; None if nothing is known."""

    latitude: Mapped[float | None]
    longitude: Mapped[float | None]
    accuracy_m: Mapped[float | None]
    source: Mapped[str | None]


class MetaRow(Base):
    """Single facts: `schema` (version), `change` (goes up with every commit that shows), `beacons`
    (goes up with every enrolment that changed any)."""

    __tablename__ = "meta"

    key: Mapped[str] = mapped_column(String(32), primary_key=True)
    value: Mapped[int]


class TurnRow(Base):
    """Which worker resolves now. One row; locked while it does. at_ms: its last step."""

    __tablename__ = "turn"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    worker: Mapped[str] = mapped_column(String(32))
    at_ms: Mapped[int]


class FleetRow(Base):
    """The one fleet of this hub, pinned by the first enrolment that was accepted.

    certificates: DER; the log's is that of the hub's own log key. made_ms: when the officer made
    the newest enrolment that was accepted, by the officer's clock: an older one is refused. epoch:
    how often the officer's registry had been restored, by any of them; None: by none that said.
    """

    __tablename__ = "fleet"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    certificate: Mapped[bytes]
    log_certificate: Mapped[bytes]
    made_ms: Mapped[int]
    epoch: Mapped[int | None]


class StationRow(Base):
    """A station of the fleet. certificate: DER, issued by the fleet."""

    __tablename__ = "station"

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    certificate: Mapped[bytes]


class BeaconRow(Base):
    """A beacon of the fleet, as the officer enrolled it, and the first event that can be resolved.

    anchor: E_anchor_event, 32 bytes, sealed under the hub's storage key with the id and the
    number as associated data. It moves with the newest event heard, and what it was before is
    gone. public_key: 32 bytes. certificate: DER or None. retired_ms: the officer says that its keys
    were erased: it need not be watched any more. horizon: the newest event that was known of it
    when the officer's registry was restored from a backup, or that an officer told of and nobody
    heard here, None if there is none.
    """

    __tablename__ = "beacon"

    id: Mapped[str] = mapped_column(String(8), primary_key=True)
    public_key: Mapped[bytes]
    certificate: Mapped[bytes | None]
    station: Mapped[int]
    site: Mapped[str]
    place: Mapped[str]
    profile: Mapped[str]
    revoked_ms: Mapped[int | None]
    revoked_reason: Mapped[str | None]
    retired_ms: Mapped[int | None]
    anchor_event: Mapped[int]
    anchor: Mapped[bytes]
    newest_event: Mapped[int]  # 0: none was heard
    horizon: Mapped[int | None]


class SiteRow(Base):
    """Where a site is, if the officer said so."""

    __tablename__ = "site"

    name: Mapped[str] = mapped_column(String, primary_key=True)
    latitude: Mapped[float]
    longitude: Mapped[float]
    accuracy_m: Mapped[float]


class ListenerRow(Placed, Base):
    """Whoever sent something. key: 64 hex digits of its Ed25519 key, or "mqtt:" and the topic of a
    gateway that seals nothing (never confirmed by a signature).

    name: given by the officer at enrolment, "" if it is not enrolled: then it is unconfirmed.
    A position that the officer gave wins over what the listener says (fixed_ is it).
    """

    __tablename__ = "listener"

    key: Mapped[str] = mapped_column(String(200), primary_key=True)
    name: Mapped[str]
    enrolled_ms: Mapped[int | None]
    enrolled_by: Mapped[str | None]
    first_received_ms: Mapped[int]
    last_received_ms: Mapped[int]
    radio: Mapped[str]  # as in `envelope.Health`; "" if it never said
    last_advert_ms: Mapped[int | None]  # when it last heard any Bluetooth
    queued: Mapped[int]
    dropped: Mapped[dict[str, Any]]
    version: Mapped[str]
    is_lost: Mapped[bool]  # its last will came, and nothing since
    silent_since_ms: Mapped[int | None]  # set and cleared by whoever watches health
    deaf_since_ms: Mapped[int | None]  # the same
    fixed_latitude: Mapped[float | None]
    fixed_longitude: Mapped[float | None]
    fixed_accuracy_m: Mapped[float | None]


class InboxRow(Placed, Base):
    """A group that was opened and is not resolved yet, in the order of its receipt.

    frames: [[payload hex, heard_ms, last_heard_ms, count, rssi_dbm or null], ...]. is_late: it
    waited so long at its listener or a broker that it comes after those that did not.
    """

    __tablename__ = "inbox"
    __table_args__ = (Index("inbox_in_turn", "is_late", "id"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    is_late: Mapped[bool] = mapped_column(default=False)
    listener: Mapped[str] = mapped_column(String(200))
    received_ms: Mapped[int]
    frames: Mapped[list[Any]] = mapped_column(JSON)


class ReceivedRow(Base):
    """The content id of a group that was taken: a second one changes nothing."""

    __tablename__ = "received"

    content_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    received_ms: Mapped[int] = mapped_column(index=True)


class HeardRow(Placed, Base):
    """A distinct payload of the last 48 hours, so that a restart knows what waits. Bounded.

    beacon, event, slot: whose signature page it is, if that is known, and more are wanted.
    """

    __tablename__ = "heard"
    __table_args__ = (
        UniqueConstraint("payload", "listener"),
        Index("pages_of_slot", "beacon", "event", "slot"),
    )

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    payload: Mapped[bytes]
    listener: Mapped[str] = mapped_column(String(200))
    heard_ms: Mapped[int]
    last_heard_ms: Mapped[int]
    received_ms: Mapped[int] = mapped_column(index=True)
    count: Mapped[int]
    rssi_dbm: Mapped[int | None]
    beacon: Mapped[str | None] = mapped_column(String(8))
    event: Mapped[int | None]
    slot: Mapped[int | None]


class IncidentRow(Placed, Base):
    """One event of one beacon. kind: ALERT, DRILL or TEST; state: OPEN, TAKEN or DONE.

    began_ms: when it was squeezed, at the latest. The status fields are those of the sighting with
    the greatest event time. signature: UNSIGNED or SIGNED. is_confirmed: an enrolled listener heard
    it. is_replay: all that is known of it are replays; it notifies nobody. may_be_replay: its event
    was none of those after the horizon of its beacon when it was opened; it hinders nothing; None
    is no. The place estimate is kept here with its source (see `position`), None if nothing is
    known. revision: goes up with whatever a responder would want to be told.
    """

    __tablename__ = "incident"
    __table_args__ = (
        UniqueConstraint("beacon", "event"),
        Index("incidents_by_time", "first_received_ms"),
        Index("incidents_by_state", "state", "first_received_ms"),
    )

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    beacon: Mapped[str] = mapped_column(ForeignKey("beacon.id"))
    event: Mapped[int]
    kind: Mapped[str] = mapped_column(String(8))
    state: Mapped[str] = mapped_column(String(16))
    is_replay: Mapped[bool]
    is_readable: Mapped[bool]
    is_confirmed: Mapped[bool]
    signature: Mapped[str] = mapped_column(String(16))
    began_ms: Mapped[int | None]
    first_heard_ms: Mapped[int]
    last_heard_ms: Mapped[int]
    first_received_ms: Mapped[int]
    last_received_ms: Mapped[int]
    age_s: Mapped[int]  # event time of the newest sighting; "at least" if is_resumed
    phase: Mapped[int]
    battery_mv: Mapped[int]
    is_battery_low: Mapped[bool]
    is_resumed: Mapped[bool]
    crumbs: Mapped[int]
    sightings: Mapped[int]
    replays: Mapped[int]
    listeners: Mapped[int]
    assigned_to: Mapped[str | None]
    acknowledged_ms: Mapped[int | None]
    escalation: Mapped[int]  # levels reached
    revision: Mapped[int]
    may_be_replay: Mapped[bool | None]


class SightingRow(Placed, Base):
    """One alert whose tag was good, at one listener. verdict: fresh, late, duplicate or replay."""

    __tablename__ = "sighting"
    __table_args__ = (
        Index("sightings_of_incident", "incident", "heard_ms"),
        Index("sightings_of_event", "beacon", "event", "slot", "seq"),
    )

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    incident: Mapped[int] = mapped_column(ForeignKey("incident.id"))
    beacon: Mapped[str] = mapped_column(String(8))
    event: Mapped[int]
    slot: Mapped[int]
    seq: Mapped[int]
    heard_ms: Mapped[int]
    last_heard_ms: Mapped[int]
    received_ms: Mapped[int]
    verdict: Mapped[str] = mapped_column(String(12))
    listener: Mapped[str] = mapped_column(String(200))
    count: Mapped[int]
    rssi_dbm: Mapped[int | None]
    rid: Mapped[bytes]
    status: Mapped[int]
    battery_mv: Mapped[int]
    crumbs: Mapped[int]
    phase: Mapped[int]


class SignatureRow(Base):
    """A beacon's own signature over one slot, complete and verified. 64 bytes; rid: 8."""

    __tablename__ = "signature"

    incident: Mapped[int] = mapped_column(ForeignKey("incident.id"), primary_key=True)
    slot: Mapped[int] = mapped_column(primary_key=True)
    signature: Mapped[bytes]
    rid: Mapped[bytes]
    status: Mapped[int]
    heard_ms: Mapped[int]


class CrumbRow(Base):
    """Where a beacon was by its own record. access_points: [[bssid hex, rssi_dbm], ...]."""

    __tablename__ = "crumb"

    incident: Mapped[int] = mapped_column(ForeignKey("incident.id"), primary_key=True)
    index: Mapped[int] = mapped_column(primary_key=True)
    age_s: Mapped[int]
    seen: Mapped[int]
    access_points: Mapped[list[Any]] = mapped_column(JSON)
    heard_ms: Mapped[int]


class ActionRow(Base):
    """One line of an incident's timeline. what: see above; who: a user's name, or "hub"."""

    __tablename__ = "action"
    __table_args__ = (Index("actions_of_incident", "incident", "id"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    incident: Mapped[int] = mapped_column(ForeignKey("incident.id"))
    at_ms: Mapped[int]
    who: Mapped[str]
    what: Mapped[str] = mapped_column(String(16))
    detail: Mapped[str]


class NoticeRow(Base):
    """A message that is to leave the hub, by one channel. It waits here until it was taken.

    channel: its name in hub.toml. subject: "incident" or "listener"; reference: incident id or
    listener key. message: Alert, Update or Cancel (CAP 1.2). body: what is sent, made once, so
    that a retry says the same under the same id.
    """

    __tablename__ = "notice"
    __table_args__ = (Index("notices_due", "done_ms", "next_ms"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    channel: Mapped[str]
    subject: Mapped[str] = mapped_column(String(16))
    reference: Mapped[str] = mapped_column(String(200))
    message: Mapped[str] = mapped_column(String(8))
    body: Mapped[dict[str, Any]]
    created_ms: Mapped[int]
    next_ms: Mapped[int]
    tries: Mapped[int]
    done_ms: Mapped[int | None]  # taken, or given up
    failure: Mapped[str | None]  # why the last try failed; it stays if it was given up


class UserRow(Base):
    """A person who may log in. role: viewer, responder or officer. password: argon2id, encoded."""

    __tablename__ = "user"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    role: Mapped[str] = mapped_column(String(16))
    password: Mapped[str]
    created_ms: Mapped[int]
    is_disabled: Mapped[bool]


class SessionRow(Base):
    """A login. token: SHA-256 of the cookie, 64 hex digits, so that a copy of this is no login."""

    __tablename__ = "session"

    token: Mapped[str] = mapped_column(String(64), primary_key=True)
    user: Mapped[str] = mapped_column(ForeignKey("user.name"), index=True)
    csrf: Mapped[str] = mapped_column(String(64))
    created_ms: Mapped[int]
    seen_ms: Mapped[int]


class LogLeafRow(Base):
    """One entry of the hub's log, from 0 on. content: as in `log_entry`; hash: of the leaf, 32
    bytes. Entries are only ever added; see `hub_log`."""

    __tablename__ = "log_leaf"

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    content: Mapped[bytes]
    hash: Mapped[bytes]


class LogNodeRow(Base):
    """The hash of a whole subtree of 2^level entries, see `merkle`. 32 bytes; level: 1 or more."""

    __tablename__ = "log_node"

    level: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    hash: Mapped[bytes]


class LogCheckpointRow(Base):
    """What the hub signed for its log. note: C2SP tlog-checkpoint, whose origin and size these
    are."""

    __tablename__ = "log_checkpoint"

    origin: Mapped[str] = mapped_column(primary_key=True)
    size: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    note: Mapped[str]
