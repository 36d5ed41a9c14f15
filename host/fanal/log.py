"""The log in a registry: what matters is entered in the transaction that does it, and stays.

Each entry is a leaf of a Merkle tree (RFC 6962). What the entries say is `log_entry`'s, whether
they are still what they were `log_verify`'s.
"""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import LargeBinary, Select, cast, func, insert, select
from sqlalchemy.orm import Session

from fanal import log_entry, merkle
from fanal.certificate import fleet_name_in, from_der
from fanal.database import Database
from fanal.log_epoch import NEVER_RESTORED, Epoch
from fanal.log_record import Leaf, Stamp
from fanal.schema import (
    BeaconRow,
    FleetRow,
    LogCheckpointRow,
    LogLeafRow,
    LogNodeRow,
    LogStampRow,
    StationRow,
)

OWN = ""  # the log of this file; another one is named by its origin

# what an entry says
TIMESTAMPED = "timestamped"
REPLAYED = "taken for a replay"

_MOST_ENTRIES = 1 << 40  # a larger number was written by nobody but an editor


class Log(Database):
    """The part of a registry that says what was done with it. Every method is one transaction."""

    def origin(self) -> str:
        """Return the name of this file's log: its fleet, its station, its epoch if restored."""
        with self._reading() as session:
            return _origin(session)

    def home(self) -> int:
        """Return the station whose file this is."""
        with self._reading() as session:
            return session.get_one(FleetRow, 1).station

    def head(self) -> tuple[str, int, bytes]:
        """Return this log's name, how many entries it has, and their root, 32 bytes."""
        with self._reading() as session:
            size = size_of(session, OWN)
            return _origin(session), size, merkle.root(size, reader(session, OWN))

    def log_size(self, log: str = OWN) -> int:
        """Return how many entries a log has."""
        with self._reading() as session:
            return size_of(session, log)

    def log_root(self, size: int, log: str = OWN) -> bytes:
        """Return the root of the first `size` entries, 32 bytes."""
        with self._reading() as session:
            return merkle.root(size, reader(session, log))

    def frontier(self, size: int) -> merkle.Frontier:
        """Return the edge of the first `size` entries, as it is kept: what follows can be added."""
        with self._reading() as session:
            return merkle.Frontier(size, reader(session, OWN))

    def leaves(self, start: int = 0, end: int | None = None, log: str = OWN) -> list[Leaf]:
        """Return the entries from `start` to before `end`, as they are in the file."""
        asked = leaves_of(log).where(LogLeafRow.number >= start)
        if end is not None:
            asked = asked.where(LogLeafRow.number < end)
        with self._reading() as session:
            return [Leaf(*row) for row in session.execute(asked)]

    def inclusion(self, index: int, size: int, log: str = OWN) -> list[bytes]:
        """Return the proof that entry `index` is in the tree of the first `size` entries."""
        with self._reading() as session:
            return merkle.inclusion(index, size, reader(session, log))

    def exported(self, form: str) -> None:
        """Enter into the log that all of this registry is about to leave it."""
        with self._writing() as session:
            self.enter(session, "exported", self._now_ms(), detail=form)

    def logs(self) -> list[str]:
        """Return the logs that are kept: this file's own, then those of stations, by origin."""
        with self._reading() as session:
            return sorted({OWN, *session.scalars(select(LogLeafRow.log).distinct())})

    def checkpoints(self, log: str = OWN) -> list[str]:
        """Return the signed checkpoints of a log, as notes, in the order of its size."""
        with self._reading() as session:
            rows = session.scalars(
                select(LogCheckpointRow).where(LogCheckpointRow.log == log)
                .order_by(LogCheckpointRow.size, LogCheckpointRow.origin)
            )  # fmt: skip
            return [row.note for row in rows]

    def keep_checkpoint(self, origin: str, size: int, note: str, log: str = OWN) -> None:
        """Keep a signed checkpoint. It is no entry: the log would never be at rest."""
        with self._writing() as session:
            session.merge(LogCheckpointRow(log=log, origin=origin, size=size, note=note))

    def stamps(self, log: str = OWN) -> list[Stamp]:
        """Return the timestamps of a log's checkpoints, oldest first."""
        with self._reading() as session:
            rows = session.scalars(
                select(LogStampRow).where(LogStampRow.log == log).order_by(LogStampRow.id)
            )
            return [Stamp(row.origin, row.size, row.authority, row.token) for row in rows]

    def keep_stamp(self, stamp: Stamp) -> None:
        """Keep a timestamp of a checkpoint of this file's log, and enter that there is one."""
        with self._writing() as session:
            row = LogStampRow(log=OWN, origin=stamp.origin, size=stamp.size,
                              authority=stamp.authority, token=stamp.token)  # fmt: skip
            session.add(row)
            session.flush()
            self.enter(
                session, TIMESTAMPED, self._now_ms(), detail=stamp.authority, stamp=row.id,
                origin=stamp.origin, size=stamp.size, token=log_entry.digest(stamp.token) or "",
            )  # fmt: skip

    def unsigned(self) -> int:
        """Return how many entries of this file's log no checkpoint in it covers, as it is kept."""
        with self._reading() as session:
            signed = session.scalar(
                select(func.max(LogCheckpointRow.size)).where(LogCheckpointRow.log == OWN)
            )
            return max(0, size_of(session, OWN) - (signed or 0))

    def enter(
        self,
        session: Session,
        what: str,
        at_ms: int,
        *,
        of: BeaconRow | StationRow | FleetRow | None = None,
        detail: str = "",
        **more: str | int,
    ) -> None:
        """Enter what was done into the log, with what the registry says of `of` from now on."""
        append(session, OWN, [entry(session, what, at_ms, of=of, detail=detail, **more)])


def entry(
    session: Session,
    what: str,
    at_ms: int,
    *,
    of: BeaconRow | StationRow | FleetRow | None = None,
    detail: str = "",
    **more: str | int,
) -> bytes:
    """Return what `Log.enter` enters, for whoever has many that are to join at once."""
    fields: dict[str, Any] = {"what": what, "at_ms": at_ms, "detail": detail, **more}
    if of is not None:
        session.flush()
        fields |= {"row": told(of)}
    if isinstance(of, BeaconRow):
        fields |= {"beacon": of.id}
    elif isinstance(of, StationRow):
        fields |= {"station": of.number}
    return log_entry.encode(fields)


def append(session: Session, log: str, contents: Iterable[bytes]) -> None:
    """Let entries join a log. Nothing that is wrong with earlier ones stands in the way.

    An alert has to be written down whatever was done to the log; `log_verify` says what was.
    """
    size = size_of(session, log)
    contents = list(contents)
    hashes = [merkle.leaf_hash(content) for content in contents]
    leaves = [
        {"log": log, "number": size + at, "content": content, "hash": hashes[at]}
        for at, content in enumerate(contents)
    ]
    grown = merkle.extended(size, hashes, reader(session, log))
    nodes = [{"log": log, **node._asdict()} for node in grown if node.level]
    if leaves:
        session.execute(insert(LogLeafRow), leaves)
    if nodes:
        session.execute(insert(LogNodeRow).prefix_with("OR REPLACE"), nodes)


def told(row: BeaconRow | StationRow | FleetRow) -> dict[str, Any]:
    """Return what an entry says of a row of the registry."""
    if isinstance(row, FleetRow):
        held: dict[str, Any] = {
            "epoch": row.epoch,
            "station": row.station,
            "created_ms": row.created_ms,
        }
        if row.branch:  # entries of before there were branches say nothing of one
            held |= {"branch": row.branch}
        return held | {"certificate": log_entry.digest(row.certificate)}
    revoked = row.revocation
    held = {
        "certificate": log_entry.digest(row.certificate),
        "revoked_ms": revoked and revoked.at_ms,
        "revoked_for": revoked and revoked.reason,
    }
    if isinstance(row, StationRow):
        return held | {"created_ms": row.created_ms}
    return held | {
        "public_key": row.public_key.hex(), "mac": row.mac, "chip": row.chip,
        "station": row.station, "state": row.state, "site": row.site, "place": row.place,
        "profile": row.profile, "settings": row.settings, "newest_event": row.newest_event,
        "first_ms": row.first_ms, "last_ms": row.last_ms, "horizon": row.horizon,
    }  # fmt: skip


def leaves_of(log: str) -> Select[int, bytes, bytes]:
    """Return what asks for the entries of a log: number, content, hash, in their order.

    As bytes, whatever they are: a tool that edits them may leave text, which has to be told too.
    """
    return (
        select(
            LogLeafRow.number,
            cast(LogLeafRow.content, LargeBinary),
            cast(LogLeafRow.hash, LargeBinary),
        )
        .where(LogLeafRow.log == log)
        .order_by(LogLeafRow.number)
    )


def origin_of(fleet: bytes, station: int, epoch: Epoch = NEVER_RESTORED) -> str:
    """Return the name of a station's log. fleet: its certificate, DER.

    A file that was restored from a backup goes on from there, which is another log than the one
    that went on without the restore: so its epoch is in the name.
    """
    return f"fanal/{fleet_name_in(from_der(fleet)).split()[-1]}/station-{station}{epoch.part}"


def epoch_of(row: FleetRow) -> Epoch:
    """Return how often a file came from a backup, and by which restore."""
    return Epoch(row.epoch, row.branch)


def _origin(session: Session) -> str:
    row = session.get_one(FleetRow, 1)
    return origin_of(row.certificate, row.station, epoch_of(row))


def size_of(session: Session, log: str) -> int:
    """Return how many entries a log has."""
    newest = session.scalar(
        select(func.max(LogLeafRow.number))
        .where(LogLeafRow.log == log, LogLeafRow.number < _MOST_ENTRIES)
    )  # fmt: skip
    return 0 if newest is None else max(0, newest + 1)


def reader(session: Session, log: str) -> merkle.Read:
    """Return what reads the nodes of a log, and makes those that are missing."""

    def kept(level: int, number: int) -> bytes | None:
        if level:
            node = session.get(LogNodeRow, (log, level, number))
            return None if node is None else node.hash
        row = session.execute(leaves_of(log).where(LogLeafRow.number == number)).first()
        return None if row is None else row[2]

    return merkle.mended(kept)
