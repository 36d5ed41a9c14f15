"""What the log says of each beacon, station, line of history and alert, against the tables.

An entry is compared as it is read, or remembered by its number alone and read again at the end: a
log is longer than memory may be.
"""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from fanal import log_entry
from fanal.beacon_name import shown
from fanal.error import IntegrityError
from fanal.log import OWN, REPLAYED, leaves_of, told
from fanal.log_epoch import Epoch
from fanal.schema import (
    BeaconRow,
    CustodyRow,
    FleetRow,
    LogLeafRow,
    LogStampRow,
    SightingRow,
    StationRow,
)

_FLEET = ("fleet", None)
_AT_ONCE = 1000  # rows
_LINE = ("beacon", "at_ms", "what", "detail")
_ALERT = ("beacon", "event", "slot", "seq", "t_ms", "activation", "verdict")
_TYPES = {
    "beacon": str, "station": int, "custody": int, "event": int, "sighting": int, "stamp": int,
    "log": str, "size": int, "root": str,
}  # fmt: skip

_ENTRY = leaves_of(OWN).where(LogLeafRow.number == bindparam("wanted"))

Subject = tuple[str, Any]
Difference = tuple[int | None, str]


class Told:
    """What the entries of this file's own log say, taken in their order.

    merged: the logs that were brought in -> (entry, size, root in hex), the longest of each.
    restored: epoch -> the entry that began it.
    """

    def __init__(self, session: Session) -> None:
        self.merged: dict[str, tuple[int, int, str]] = {}
        self.restored: dict[Epoch, int] = {}
        self._session = session
        self._newest: dict[Subject, int] = {}
        self._events: set[tuple[str, int]] = set()
        self._before: dict[str, int] = {}  # beacon -> its newest event when the log began
        self._doubtful: dict[int, int] = {}  # sighting -> the entry that says otherwise
        self._stamps: set[int] = set()
        lines = select(CustodyRow.id, CustodyRow.beacon, CustodyRow.at_ms, CustodyRow.what,
                       CustodyRow.detail).order_by(CustodyRow.id)  # fmt: skip
        self._lines = iter(session.execute(lines.execution_options(yield_per=_AT_ONCE)))
        self._line = next(self._lines, None)

    def take(self, number: int, fields: dict[str, Any]) -> Iterator[Difference]:
        """Learn what entry `number` says; give what is not so. Raises IntegrityError (nonsense)."""
        if any(type(fields[name]) is not kind for name, kind in _TYPES.items() if name in fields):
            raise IntegrityError("An entry of the log is unreadable.", code="log")
        if "row" in fields:
            self._row(number, fields)
        if "custody" in fields:
            yield from self._history(number, fields)
        if "stamp" in fields:
            yield from self._stamp(number, fields)
        if "event" in fields:
            yield from self._alert(number, fields)
        if fields["what"] == REPLAYED:
            self._doubtful.pop(fields.get("sighting", 0), None)
        if {"log", "size", "root"} <= fields.keys():
            told = (number, fields["size"], fields["root"])
            self.merged[fields["log"]] = max(
                told, self.merged.get(fields["log"], told), key=lambda one: (one[1], one[0])
            )

    def differences(self) -> Iterator[Difference]:
        """Give (entry, sentence) for all that is in the tables and is not as the log tells."""
        yield from self._compare(_FLEET, told(self._session.get_one(FleetRow, 1)))
        for station in self._session.scalars(select(StationRow)):
            yield from self._compare(("station", station.number), told(station))
        beacons = select(BeaconRow).execution_options(yield_per=_AT_ONCE)
        for beacon in self._session.scalars(beacons):
            yield from self._compare(("beacon", beacon.id), told(beacon))
        for subject, number in self._newest.items():
            yield number, f"{_named(subject)} of entry {number} is no longer in the registry."
        while self._line is not None:
            yield self._unknown_line()
        for stamp in self._session.scalars(select(LogStampRow.id)):
            if stamp not in self._stamps:
                yield None, f"Timestamp {stamp} is not in the log."
        yield from self._unknown_alerts()

    def _row(self, number: int, fields: dict[str, Any]) -> None:
        subject, row = _subject(fields), fields["row"]
        self._newest[subject] = number
        if subject == _FLEET and type(row.get("epoch")) is int:
            self.restored.setdefault(Epoch(row["epoch"], str(row.get("branch", ""))), number)
        event = row.get("newest_event")
        if fields["what"] == "taken over" and subject[0] == "beacon" and type(event) is int:
            self._before[subject[1]] = event

    def _compare(self, subject: Subject, row: dict[str, Any]) -> Iterator[Difference]:
        number = self._newest.pop(subject, None)
        if number is None:
            yield None, f"{_named(subject)} is in the registry, but not in the log."
            return
        content = self._session.execute(_ENTRY, {"wanted": number}).one()[1]
        known = log_entry.decode(content)["row"]
        for name in sorted(known.keys() | row.keys()):
            if name not in known:
                yield number, f"Entry {number} does not say {name} of {_named(subject)}."
            elif known[name] != row.get(name):
                yield (
                    number,
                    (
                        f"Entry {number} says of {_named(subject)}: {name} {known[name]!r};"
                        f" the registry says {row.get(name)!r}."
                    ),
                )

    # -- histories: their lines are numbered in the order of their entries

    def _history(self, number: int, fields: dict[str, Any]) -> Iterator[Difference]:
        line = fields["custody"]
        while self._line is not None and self._line.id < line:
            yield self._unknown_line()
        held = self._line
        if held is None or held.id != line:
            yield (
                number,
                f"The line of entry {number} ({fields['what']}) is no longer in a history.",
            )
            return
        self._line = next(self._lines, None)
        if tuple(held)[1:] != tuple(fields.get(name) for name in _LINE):
            yield (
                number,
                f"A line in the history of {shown(held.beacon)} is not as entry {number} says.",
            )

    def _unknown_line(self) -> Difference:
        line: Any = self._line
        self._line = next(self._lines, None)
        return (
            None,
            f"A line in the history of {shown(line.beacon)} ({line.what}) is not in the log.",
        )

    # -- alerts: the first one of each event stands for it

    def _alert(self, number: int, fields: dict[str, Any]) -> Iterator[Difference]:
        beacon, event = fields.get("beacon", ""), fields["event"]
        self._events.add((beacon, event))
        if "sighting" not in fields:
            return
        held = self._session.execute(
            select(SightingRow.beacon, SightingRow.event, SightingRow.slot, SightingRow.seq,
                   SightingRow.t_ms, SightingRow.activation, SightingRow.verdict)
            .where(SightingRow.id == fields["sighting"])
        ).first()  # fmt: skip
        known = tuple(fields.get(name) for name in _ALERT)
        if held is None:
            yield number, f"The alert of entry {number} is no longer in the registry."
        elif tuple(held)[:-1] != known[:-1]:
            yield number, f"The alert of entry {number} is not as that says."
        elif held.verdict != known[-1]:
            self._doubtful[fields["sighting"]] = number

    def _unknown_alerts(self) -> Iterator[Difference]:
        for number in self._doubtful.values():
            yield number, f"The verdict on the alert of entry {number} is another one."
        asked = select(SightingRow.beacon, SightingRow.event).distinct()
        asked = asked.where(SightingRow.verdict != "replay")
        for beacon, event in self._session.execute(asked.execution_options(yield_per=_AT_ONCE)):
            if (beacon, event) not in self._events and event > self._before.get(beacon, 0):
                yield None, f"Event {event} of {shown(beacon)} was heard, but is not in the log."

    def _stamp(self, number: int, fields: dict[str, Any]) -> Iterator[Difference]:
        self._stamps.add(fields["stamp"])
        row = self._session.get(LogStampRow, fields["stamp"])
        if row is None:
            yield number, f"The timestamp of entry {number} is no longer in the registry."
            return
        held = (row.log, row.origin, row.size, row.authority, log_entry.digest(row.token))
        names = ("origin", "size", "detail", "token")
        if held != (OWN, *(fields.get(name) for name in names)):
            yield number, f"The timestamp of entry {number} is not as that says."


def _subject(fields: dict[str, Any]) -> Subject:
    for kind in ("beacon", "station"):
        if kind in fields:
            return kind, fields[kind]
    return _FLEET


def _named(subject: Subject) -> str:
    kind, key = subject
    if kind == "beacon":
        return f"Beacon {shown(str(key))}"
    return "The fleet" if key is None else f"Station {key}"
