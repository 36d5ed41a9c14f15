"""Bring a station's records into the officer's registry: news once, contradictions named.

Higher event numbers win, and the union of revocations; histories are united; of what a beacon is
set to, what was written last counts; a state only goes forward. The station's log is kept beside
the own one, with its checkpoints, so that both can be verified. The same file a second time changes
nothing.
"""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from fanal import certificate, merkle, registry_copy
from fanal.beacon_name import shown
from fanal.checkpoint import parse
from fanal.database import Clash
from fanal.error import IntegrityError
from fanal.log import OWN, append, reader, size_of
from fanal.registry import Registry
from fanal.registry_import import require_unaltered
from fanal.schema import (
    PROVISIONED,
    RESERVED,
    RETIRED,
    VERIFIED,
    BeaconRow,
    CustodyRow,
    FleetRow,
    LogCheckpointRow,
    RevocationRow,
    StationRevocationRow,
    StationRow,
)

MERGED = "merged"  # in the log

_FORWARD = (RESERVED, PROVISIONED, VERIFIED, RETIRED)
_SET = ("chip", "site", "place", "profile", "settings")


@dataclass(frozen=True)
class Conflict:
    """A record of the file that contradicts this registry, and was left out.

    code: id_clash, clone, mac_in_use, other_station, chain, station_clash; or station_revoked: it
    was taken in, and revoked.
    """

    code: str
    sentence: str
    beacon_id: str | None = None


@dataclass
class Merged:
    """What came of a merge. entries: of the station's log; unsigned: those nobody signed for."""

    station: int
    origin: str
    added: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    stations: list[int] = field(default_factory=list)
    history: int = 0
    entries: int = 0
    unsigned: int = 0
    conflicts: list[Conflict] = field(default_factory=list)

    @property
    def is_news(self) -> bool:
        """Whether anything was changed."""
        return bool(self.added or self.changed or self.stations or self.history or self.entries)


def merge(registry: Registry, data: bytes) -> Merged:
    """Merge an exported file of a station, untrusted, in one transaction.

    Raises Clash (another fleet, this very station, a log that is not the one merged before) and
    IntegrityError (altered); then nothing was changed. Contradictions of single records do not stop
    the others.
    """
    tables = registry_copy.parse(data)
    with TemporaryDirectory(prefix="fanal-merge-") as folder:
        path = Path(folder) / "registry.db"
        registry_copy.fill(path, tables)
        with Registry(path) as other:
            _, unsigned = require_unaltered(other)
            done = Merged(other.home(), other.origin(), unsigned=unsigned)
            merging = _Merging(registry, other, tables, done)
            with registry.change() as session:
                merging.run(session)
    return done


class _Merging:
    def __init__(
        self, registry: Registry, other: Registry, tables: registry_copy.Tables, done: Merged
    ) -> None:
        self.registry, self.other, self.tables, self.done = registry, other, tables, done
        self.at = registry.now_ms()
        self.size = other.log_size()

    def run(self, session: Session) -> None:
        """Do it, in one transaction."""
        fleet = session.get_one(FleetRow, 1)
        self.fleet = certificate.from_der(fleet.certificate)
        theirs = certificate.from_der(self.other.fleet_certificate())
        if certificate.public_key_of(self.fleet) != certificate.public_key_of(theirs):
            raise Clash(
                "The file is of another fleet.", "Check --fleet, and the file.", code="other_fleet"
            )
        if self.done.station == fleet.station:
            if size_of(session, OWN) < self.size or not self._begins(session, OWN):
                raise Clash(
                    f"The file is of station {fleet.station}, as this registry is.",
                    "Merging is for the files of other stations. For a backup of this one there is"
                    " `fanal fleet restore`.",
                    code="same_station",
                )
            return  # an older file of this registry itself: all of it is here
        known = {row.number: row for row in session.scalars(select(StationRow))}
        if not self._stations(session, known):
            return
        if not self._begins(session, self.done.origin):
            raise Clash(
                f"The log of station {self.done.station} is not the one that was merged before.",
                "One of the two was altered or restored: compare checkpoints (docs/log.md).",
                code="fork",
            )
        histories: dict[str, list[dict[str, Any]]] = {}
        for line in self.tables["custody"]:
            histories.setdefault(line["beacon"], []).append(line)
        revoked = {row["beacon"]: row for row in self.tables["revocation"]}
        # retired ones first: their boards are free then
        for told in sorted(self.tables["beacon"], key=lambda row: row["state"] != RETIRED):
            self._beacon(session, told, revoked.get(told["id"]), histories.get(told["id"], []))
        self._log(session)
        if self.done.is_news:
            log = f"{self.done.origin}, {self.size} entries"
            self.registry.enter(session, MERGED, self.at, station=self.done.station, detail=log)

    def _begins(self, session: Session, log: str) -> bool:
        """Say whether the file's log and the one here are one, as far as both go."""
        size = min(size_of(session, log), self.size)
        return merkle.root(size, reader(session, log)) == self.other.log_root(size)

    # -- stations

    def _stations(self, session: Session, known: dict[int, StationRow]) -> bool:
        """Unite the stations; return whether the one whose file it is is who it says."""
        revoked = {row["station"]: row for row in self.tables["station_revocation"]}
        is_whose = False
        for told in self.tables["station"]:
            number, row = told["number"], known.get(told["number"])
            new = certificate.from_der(told["certificate"])
            try:
                certificate.verify_station(number, new, self.fleet)
                if row is not None and certificate.public_key_of(
                    certificate.from_der(row.certificate)
                ) != certificate.public_key_of(new):
                    raise IntegrityError(f"Station {number} has another key here.")
            except IntegrityError as problem:
                self.done.conflicts.append(Conflict("station_clash", problem.sentence))
                continue
            is_whose = is_whose or number == self.done.station
            if row is None:
                row = StationRow(
                    number=number, certificate=told["certificate"], created_ms=told["created_ms"]
                )
                session.add(row)
                self.done.stations.append(number)
                self.registry.enter(session, MERGED, self.at, of=row, detail="added")
            self._revoke_station(session, row, revoked.get(number))
        return is_whose

    def _revoke_station(
        self, session: Session, row: StationRow, told: dict[str, Any] | None
    ) -> None:
        if told is None or (row.revocation and row.revocation.at_ms <= told["at_ms"]):
            return
        if row.revocation is None:
            row.revocation = StationRevocationRow(at_ms=told["at_ms"], reason=told["reason"])
        else:
            row.revocation.at_ms = told["at_ms"]
        self.done.stations.append(row.number)
        self.registry.enter(session, MERGED, self.at, of=row, detail="revoked")

    # -- beacons

    def _beacon(
        self,
        session: Session,
        told: dict[str, Any],
        revoked: dict[str, Any] | None,
        history: list[dict[str, Any]],
    ) -> None:
        row = session.get(BeaconRow, told["id"])
        conflict = self._conflict(session, row, told)
        if conflict is not None:
            name = shown(told["id"])
            self.done.conflicts.append(Conflict(conflict[0], f"{name}: {conflict[1]}", told["id"]))
            return
        is_new = row is None
        if row is None:
            row = BeaconRow(**{**told, "horizon": 0})
            session.add(row)
            self.done.added.append(row.id)
        is_changed = self._unite(row, told) | self._revoke(row, revoked)
        if is_new:
            self._distrust(session, row)
        session.flush()
        lines = self._history(session, row, history)
        if is_changed and not is_new:
            self.done.changed.append(row.id)
        if is_new or is_changed or lines:
            self.registry.enter(session, MERGED, self.at, of=row, detail=self._source())
        self.done.history += lines

    def _conflict(
        self, session: Session, row: BeaconRow | None, told: dict[str, Any]
    ) -> tuple[str, str] | None:
        """Return (code, sentence) of what contradicts, or None."""
        if row is not None and row.public_key != told["public_key"]:
            return "id_clash", "another key has this id here."
        if row is not None and row.mac != told["mac"]:
            return "clone", f"its key is on {told['mac']}, and here on {row.mac}: one is a copy."
        if told["station"] != self.done.station or (row and row.station != told["station"]):
            whose = told["station"] if row is None else row.station
            return "other_station", f"it is a beacon of station {whose}."
        if told["certificate"] is not None and not self._is_certified(session, told):
            return "chain", "its certificate is not good."
        if told["state"] != RETIRED and told["mac"] is not None:
            active = session.scalar(
                select(BeaconRow).where(
                    BeaconRow.mac == told["mac"], BeaconRow.state != RETIRED,
                    BeaconRow.id != told["id"],
                )
            )  # fmt: skip
            if active is not None and (row is None or row.state != RETIRED):
                return "mac_in_use", (
                    f"its board {told['mac']} is that of {shown(active.id)} here, which is in"
                    " service: retire that one first."
                )
        same_key = select(BeaconRow.id).where(BeaconRow.public_key == told["public_key"])
        if row is None and session.scalar(same_key) is not None:
            return "id_clash", "its key has another id here."
        return None

    def _is_certified(self, session: Session, told: dict[str, Any]) -> bool:
        station = session.get(StationRow, told["station"])
        if station is None:
            return False
        try:
            certificate.verify_chain(
                certificate.from_der(told["certificate"]),
                certificate.from_der(station.certificate),
                self.fleet,
                beacon_id=told["id"], public_key=told["public_key"],
            )  # fmt: skip
        except IntegrityError:
            return False
        return True

    def _unite(self, row: BeaconRow, told: dict[str, Any]) -> bool:
        new = {
            "state": max(row.state, told["state"], key=_FORWARD.index),
            "newest_event": max(row.newest_event, told["newest_event"]),
            "first_ms": min(row.first_ms, told["first_ms"]),
            "last_ms": max(row.last_ms, told["last_ms"]),
        }
        if told["last_ms"] > row.last_ms:
            new |= {name: told[name] for name in _SET}
        if told["certificate"] is not None and (
            row.certificate is None or told["last_ms"] > row.last_ms
        ):
            new["certificate"] = told["certificate"]
        is_changed = any(getattr(row, name) != value for name, value in new.items())
        for name, value in new.items():
            setattr(row, name, value)
        return is_changed

    def _revoke(self, row: BeaconRow, told: dict[str, Any] | None) -> bool:
        """Take over a revocation; the earlier one counts where there are two."""
        if told is None or (row.revocation and row.revocation.at_ms <= told["at_ms"]):
            return False
        if row.revocation is None:
            row.revocation = RevocationRow(at_ms=told["at_ms"], reason=told["reason"])
        else:
            row.revocation.at_ms = told["at_ms"]
        return True

    def _distrust(self, session: Session, row: BeaconRow) -> None:
        """Revoke a beacon that nobody knew before its station was revoked.

        The date in its certificate says nothing: whoever has the laptop wrote it. It is watched all
        the same, since it may hang on a wall.
        """
        station = session.get_one(StationRow, row.station)
        if station.revocation is None or row.revocation is not None:
            return
        reason = f"not known before its station {station.number} was revoked"
        row.revocation = RevocationRow(at_ms=self.at, reason=reason)
        said = f"{shown(row.id)}: it was {reason}; it is revoked too."
        self.done.conflicts.append(Conflict("station_revoked", said, row.id))

    def _history(self, session: Session, row: BeaconRow, history: list[dict[str, Any]]) -> int:
        """Add the lines that are not there yet; return how many."""
        held = session.scalars(select(CustodyRow).where(CustodyRow.beacon == row.id))
        left = Counter((line.at_ms, line.what, line.detail) for line in held)
        added = 0
        for told in history:
            line = (told["at_ms"], told["what"], told["detail"])
            if left[line]:
                left[line] -= 1
                continue
            new = CustodyRow(beacon=row.id, at_ms=line[0], what=line[1], detail=line[2])
            session.add(new)
            session.flush()
            self.registry.enter(session, line[1], line[0], beacon=row.id, custody=new.id,
                                detail=line[2], source=self._source())  # fmt: skip
            added += 1
        return added

    def _source(self) -> str:
        return f"from station {self.done.station}"

    # -- its log

    def _log(self, session: Session) -> None:
        log = self.done.origin
        news = [leaf.content for leaf in self.other.leaves(size_of(session, log))]
        append(session, log, news)
        self.done.entries = len(news)
        for note in self.other.checkpoints():
            told = parse(note)
            if told.origin == log:
                session.merge(
                    LogCheckpointRow(log=log, origin=told.origin, size=told.size, note=note)
                )
