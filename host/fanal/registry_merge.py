"""Bring a station's records into the officer's registry: news once, contradictions named.

Higher event numbers win, and the union of revocations; histories are united; of what a beacon is
set to, what was written last counts; a state only goes forward. The station's log is kept beside
the own one, with its checkpoints, so that both can be verified. The same file a second time changes
nothing.

The file may be anybody's, and certificates are no secret: what counts is what the station's key
signed for. A station that was revoked has no say in what is known here already.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from fanal import beside, certificate, log_entry, merkle, registry_copy
from fanal.beacon_name import shown
from fanal.checkpoint import parse
from fanal.database import Clash
from fanal.error import IntegrityError
from fanal.fleet import FIRST_STATION
from fanal.log import OWN, append, entry, reader, size_of
from fanal.registry import Registry
from fanal.registry_conflict import Conflict, contradiction, tidied
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
_EXPORTED = "exported"

_FORWARD = (RESERVED, PROVISIONED, VERIFIED, RETIRED)
_SET = ("chip", "site", "place", "profile", "settings")


@dataclass
class Merged:
    """What came of a merge. stations, revoked: by number, new here and revoked here by the file.

    entries: of the station's log; unsigned: those that it did not sign for, exports left out.
    """

    station: int
    origin: str
    added: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    stations: list[int] = field(default_factory=list)
    revoked: list[int] = field(default_factory=list)
    history: int = 0
    entries: int = 0
    unsigned: int = 0
    conflicts: list[Conflict] = field(default_factory=list)

    @property
    def is_news(self) -> bool:
        """Whether anything was changed."""
        return bool(
            self.added or self.changed or self.stations or self.revoked or self.history
            or self.entries
        )  # fmt: skip


def merge(registry: Registry, data: bytes, *, is_unsigned_fine: bool = False) -> Merged:
    """Merge an exported file of a station, untrusted, in one transaction.

    is_unsigned_fine: take what the station did not sign for, which anybody may have written. Raises
    Clash (another fleet, this very station, a log that is not the one merged before) and
    IntegrityError (altered, unsigned); then nothing was changed. Contradictions of single records
    do not stop the others.
    """
    tables = registry_copy.parse(data)
    # beside the registry: it says which beacon is where, as the registry does
    with beside.new_folder(registry.path.with_name("merge")) as folder:
        path = folder / "registry.db"
        registry_copy.fill(path, tables)
        with Registry(path) as other:
            size, unsigned = require_unaltered(other)
            done = Merged(other.home(), other.origin(), unsigned=_unsigned(other, size - unsigned))
            merging = _Merging(registry, other, tables, done, is_unsigned_fine)
            with registry.change() as session:
                merging.run(session)
    return done


def _unsigned(other: Registry, signed: int) -> int:
    """Return how many entries after the first `signed` ones change anything.

    An export that nobody was to sign for has an entry too, which says nothing of a beacon.
    """
    told = (log_entry.decode(leaf.content) for leaf in other.leaves(signed))
    return sum(fields["what"] != _EXPORTED or "row" in fields for fields in told)


class _Merging:
    def __init__(
        self, registry: Registry, other: Registry, tables: registry_copy.Tables, done: Merged,
        is_unsigned_fine: bool,
    ) -> None:  # fmt: skip
        self.registry, self.other, self.tables, self.done = registry, other, tables, done
        self.is_unsigned_fine = is_unsigned_fine
        self.at = registry.now_ms()
        self.size = other.log_size()
        self.entries: list[bytes] = []  # of this registry's log

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
        if not self._is_who_it_says(known):
            return
        if not self._begins(session, self.done.origin):
            raise Clash(
                f"The log of station {self.done.station} is not the one that was merged before.",
                "One was altered, restored or copied to another laptop: compare checkpoints"
                " (docs/log.md).",
                code="fork",
            )
        if self.done.unsigned and not self.is_unsigned_fine:
            raise IntegrityError(
                f"Station {self.done.station} did not sign for {self.done.unsigned} entries of the"
                " file: anybody may have written them.",
                "At that laptop run `fanal registry export` again, which signs for them.",
                code="unsigned",
            )
        whose = known.get(self.done.station)
        self.is_trusted = whose is None or whose.revocation is None
        self._stations(session, known)
        self._beacons(session)
        self._log(session)
        if self.done.is_news:
            log = self.done.origin
            size = size_of(session, log)
            self._enter(
                session, MERGED, self.at, station=self.done.station, log=log, size=size,
                root=merkle.root(size, reader(session, log)).hex(), detail=f"{log}, {size} entries",
            )  # fmt: skip
        append(session, OWN, self.entries)

    def _beacons(self, session: Session) -> None:
        histories: dict[str, list[dict[str, Any]]] = {}
        for line in self.tables["custody"]:
            histories.setdefault(line["beacon"], []).append(tidied(line))
        revoked = {row["beacon"]: tidied(row) for row in self.tables["revocation"]}
        held = list(session.scalars(select(BeaconRow)))  # at once, and kept: others wait for us
        self.lines = {row.id: Counter[tuple[int, str, str]]() for row in held}
        for row in session.scalars(select(CustodyRow)):
            self.lines[row.beacon][row.at_ms, row.what, row.detail] += 1
        # retired ones first: their boards are free then
        for told in sorted(self.tables["beacon"], key=lambda row: row["state"] != RETIRED):
            history = histories.get(told["id"], [])
            self._beacon(session, tidied(told), revoked.get(told["id"]), history)

    def _enter(self, session: Session, what: str, at_ms: int, **more: Any) -> None:
        self.entries.append(entry(session, what, at_ms, **more))

    def _begins(self, session: Session, log: str) -> bool:
        """Say whether the file's log and the one here are one, as far as both go."""
        size = min(size_of(session, log), self.size)
        return merkle.root(size, reader(session, log)) == self.other.log_root(size)

    # -- stations

    def _is_who_it_says(self, known: dict[int, StationRow]) -> bool:
        """Say whether the fleet certified the key that signed for the file, under that number."""
        told = [row for row in self.tables["station"] if row["number"] == self.done.station]
        return bool(told) and self._is_station(told[0], known)

    def _is_station(self, told: dict[str, Any], known: dict[int, StationRow]) -> bool:
        """Say whether a station of the file is one, and not another than here; name it if not."""
        number, row = told["number"], known.get(told["number"])
        try:
            new = certificate.from_der(told["certificate"])
            certificate.verify_station(number, new, self.fleet)
            if row is not None and certificate.public_key_of(
                certificate.from_der(row.certificate)
            ) != certificate.public_key_of(new):
                raise IntegrityError(f"Station {number} has another key here.")
        except IntegrityError as problem:
            self.done.conflicts.append(Conflict("station_clash", problem.sentence))
            return False
        return True

    def _stations(self, session: Session, known: dict[int, StationRow]) -> None:
        """Unite the stations and their revocations."""
        revoked = {row["station"]: tidied(row) for row in self.tables["station_revocation"]}
        for told in map(tidied, self.tables["station"]):
            if not self._is_station(told, known):
                continue
            number, row = told["number"], known.get(told["number"])
            if row is None:
                row = StationRow(
                    number=number, certificate=told["certificate"], created_ms=told["created_ms"]
                )
                session.add(row)
                self.done.stations.append(number)
                self._enter(session, MERGED, self.at, of=row, detail="added")
            if number in revoked:
                self._revoke_station(session, row, revoked[number])

    def _revoke_station(self, session: Session, row: StationRow, told: dict[str, Any]) -> None:
        """Take over a revocation, the earlier one where there are two."""
        if row.revocation and row.revocation.at_ms <= told["at_ms"]:
            return
        is_own = row.number == self.done.station
        if row.number == FIRST_STATION or not (self.is_trusted or is_own):
            said = f"The file revokes station {row.number}, in which its own has no say."
            self.done.conflicts.append(Conflict("not_trusted", said))
            return
        if row.revocation is None:
            row.revocation = StationRevocationRow(at_ms=told["at_ms"], reason=told["reason"])
        else:
            row.revocation.at_ms = told["at_ms"]
        self.done.revoked.append(row.number)
        self._enter(session, MERGED, self.at, of=row, detail="revoked")

    # -- beacons

    def _beacon(
        self,
        session: Session,
        told: dict[str, Any],
        revoked: dict[str, Any] | None,
        history: list[dict[str, Any]],
    ) -> None:
        row = session.get(BeaconRow, told["id"])
        conflict = contradiction(session, row, told, self.done.station, self.fleet)
        if conflict is not None:
            self._leave_out(told["id"], *conflict)
            return
        is_new = row is None
        if row is None:
            row = BeaconRow(**told)
            session.add(row)
            self.done.added.append(row.id)
        news = _news(row, told)
        if not (is_new or self.is_trusted):
            if news:
                self._leave_out(row.id, "not_trusted", f"station {row.station} is revoked, and has"
                                " no say any more in what is known here.")  # fmt: skip
            news, history = {}, []
        for name, value in news.items():
            setattr(row, name, value)
        is_changed = bool(news) | self._revoke(row, revoked)
        if is_new:
            self._distrust(session, row)
        session.flush()
        lines = self._history(session, row, history)
        if is_changed and not is_new:
            self.done.changed.append(row.id)
        if is_new or is_changed or lines:
            self._enter(session, MERGED, self.at, of=row, detail=self._source())
        self.done.history += lines

    def _leave_out(self, beacon_id: str, code: str, why: str) -> None:
        self.done.conflicts.append(Conflict(code, f"{shown(beacon_id)}: {why}", beacon_id))

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
        left = self.lines.get(row.id, Counter())
        added = []
        for told in history:
            line = (told["at_ms"], told["what"], told["detail"])
            if left[line]:
                left[line] -= 1
            else:
                new = CustodyRow(beacon=row.id, at_ms=line[0], what=line[1], detail=line[2])
                added.append(new)
                session.add(new)
        session.flush()
        for new in added:
            self._enter(session, new.what, new.at_ms, beacon=row.id, custody=new.id,
                        detail=new.detail, source=self._source())  # fmt: skip
        return len(added)

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


def _news(row: BeaconRow, told: dict[str, Any]) -> dict[str, Any]:
    """Return what is to be changed in `row` by what a station says of the same beacon."""
    new = {
        "state": max(row.state, told["state"], key=_FORWARD.index),
        "newest_event": max(row.newest_event, told["newest_event"]),
        "horizon": max(row.horizon, told["horizon"]),
        "first_ms": min(row.first_ms, told["first_ms"]),
        "last_ms": max(row.last_ms, told["last_ms"]),
    }
    if told["last_ms"] > row.last_ms:
        new |= {name: told[name] for name in _SET}
    if told["certificate"] is not None and (
        row.certificate is None or told["last_ms"] > row.last_ms
    ):
        new["certificate"] = told["certificate"]
    return {name: value for name, value in new.items() if getattr(row, name) != value}
