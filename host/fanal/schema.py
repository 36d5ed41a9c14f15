"""The tables of the registry, and the number of their version. No secret is in any of them."""

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

SCHEMA_VERSION = 5
APPLICATION_ID = 0x46414E4C  # "FANL", so that `file` and we know whose file it is

RESERVED = "reserved"
PROVISIONED = "provisioned"
VERIFIED = "verified"
RETIRED = "retired"

_ACTIVE = text(f"state != '{RETIRED}'")


class Base(DeclarativeBase):
    """All tables. Columns that end in _ms are Unix milliseconds."""


class FleetRow(Base):
    """The one fleet of this file. certificate: DER, self-signed.

    epoch: how often the file was restored from a backup, and branch: by which restore (see
    `log_epoch`). station: whose file this is.
    """

    __tablename__ = "fleet"
    __table_args__ = (CheckConstraint("id = 1", name="one_fleet"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    certificate: Mapped[bytes]
    created_ms: Mapped[int]
    epoch: Mapped[int] = mapped_column(server_default=text("0"))
    station: Mapped[int] = mapped_column(server_default=text("0"))
    branch: Mapped[str] = mapped_column(server_default=text("''"))


class StationRow(Base):
    """A station of the fleet. certificate: DER, issued by the fleet."""

    __tablename__ = "station"

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    certificate: Mapped[bytes]
    created_ms: Mapped[int]
    revocation: Mapped["StationRevocationRow | None"] = relationship(lazy="joined")


class StationRevocationRow(Base):
    """That a station is out of our hands, since when and why. Never deleted: it is for good."""

    __tablename__ = "station_revocation"

    station: Mapped[int] = mapped_column(
        ForeignKey("station.number"), primary_key=True, autoincrement=False
    )
    at_ms: Mapped[int]
    reason: Mapped[str]


class BeaconRow(Base):
    """One identity, for ever: a key is never reused and a row never deleted."""

    __tablename__ = "beacon"
    __table_args__ = (
        CheckConstraint("length(public_key) = 32", name="key_length"),
        CheckConstraint(
            f"state IN ('{RESERVED}', '{PROVISIONED}', '{VERIFIED}', '{RETIRED}')",
            name="known_state",
        ),
        # a board may have had other identities, but only one that counts
        Index("one_active_identity_per_mac", "mac", unique=True, sqlite_where=_ACTIVE),
    )

    id: Mapped[str] = mapped_column(String(8), primary_key=True)
    public_key: Mapped[bytes] = mapped_column(unique=True)
    mac: Mapped[str | None]  # None: a board that has none, so nothing can be said of it
    chip: Mapped[str]
    station: Mapped[int] = mapped_column(ForeignKey("station.number"))
    state: Mapped[str]
    certificate: Mapped[bytes | None]
    site: Mapped[str]
    place: Mapped[str]
    profile: Mapped[str]
    settings: Mapped[str]  # JSON, as the board had them in force
    newest_event: Mapped[int]
    first_ms: Mapped[int]
    last_ms: Mapped[int]
    # the newest event known when the file was restored: what it says up to there may be a replay
    horizon: Mapped[int] = mapped_column(server_default=text("0"))
    revocation: Mapped["RevocationRow | None"] = relationship(lazy="joined")


class RevocationRow(Base):
    """That a beacon is out of our hands, since when and why. Never deleted: it is for good."""

    __tablename__ = "revocation"

    beacon: Mapped[str] = mapped_column(ForeignKey("beacon.id"), primary_key=True)
    at_ms: Mapped[int]
    reason: Mapped[str]


class CustodyRow(Base):
    """What was done to a beacon and when: reserved, provisioned, changed, verified, moved,
    revoked, retired, erased."""

    __tablename__ = "custody"

    id: Mapped[int] = mapped_column(primary_key=True)
    beacon: Mapped[str] = mapped_column(ForeignKey("beacon.id"), index=True)
    at_ms: Mapped[int]
    what: Mapped[str]
    detail: Mapped[str]


class SightingRow(Base):
    """One alert whose tag was good, with the verdict of SPEC 3.2 on its time."""

    __tablename__ = "sighting"
    __table_args__ = (Index("sightings_of_event", "beacon", "event"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    beacon: Mapped[str] = mapped_column(ForeignKey("beacon.id"))
    event: Mapped[int]
    slot: Mapped[int]
    seq: Mapped[int]
    t_ms: Mapped[int]
    verdict: Mapped[str]
    rssi_dbm: Mapped[int | None]
    activation: Mapped[int | None]  # as on air; None: not readable, or kept by an older release


class LogLeafRow(Base):
    """An entry of a log: canonical JSON, and its hash by RFC 6962, 32 bytes.

    log: "" for this file's own one, else the origin of a station's that was merged.
    """

    __tablename__ = "log_leaf"

    log: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    content: Mapped[bytes]
    hash: Mapped[bytes]


class LogNodeRow(Base):
    """The hash of a whole subtree of a log, level 1 and up: what the leaves say, kept ready."""

    __tablename__ = "log_node"

    log: Mapped[str] = mapped_column(primary_key=True)
    level: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    hash: Mapped[bytes]


class LogCheckpointRow(Base):
    """A checkpoint of a log, signed, as in C2SP tlog-checkpoint."""

    __tablename__ = "log_checkpoint"

    log: Mapped[str] = mapped_column(primary_key=True)
    origin: Mapped[str] = mapped_column(primary_key=True)
    size: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    note: Mapped[str]


class LogStampRow(Base):
    """When a checkpoint was there at the latest, by a timestamp authority. token: RFC 3161, DER."""

    __tablename__ = "log_stamp"

    id: Mapped[int] = mapped_column(primary_key=True)
    log: Mapped[str]
    origin: Mapped[str]
    size: Mapped[int]
    authority: Mapped[str]
    token: Mapped[bytes]
