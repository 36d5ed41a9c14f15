"""What the hub's log says of incidents, timelines and whoever may act, against the tables."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session, defer

from fanal.hub import hub_log
from fanal.hub.tables import (
    ActionRow,
    BeaconRow,
    FleetRow,
    IncidentRow,
    ListenerRow,
    SiteRow,
    UserRow,
)
from fanal.log_epoch import Epoch
from fanal.printable import printable

Subject = tuple[str, Any]
_FLEET = ("fleet", None)
_KINDS = ("incident", "account", "listener", "site")  # also how entries name them
_LINE = ("incident", "at_ms", "who", "did", "detail")


@dataclass
class Told:
    """What entries say, the newest of each: (kind, key) -> (entry, fields of its row).

    lines: of timelines, by their number. revoked: beacons that an enrolment revoked. restored:
    epoch -> the entry that began it.
    """

    rows: dict[Subject, tuple[int, dict[str, Any]]] = field(default_factory=dict)
    lines: dict[int, tuple[int, tuple[Any, ...]]] = field(default_factory=dict)
    revoked: dict[str, int] = field(default_factory=dict)
    restored: dict[Epoch, int] = field(default_factory=dict)

    def take(self, number: int, fields: dict[str, Any]) -> None:
        """Learn what entry `number` says; of which kinds its values are is looked at here."""
        if "row" in fields:
            self.rows[_subject(fields)] = (number, fields["row"])
        if type(action := fields.get("action")) is int:
            line = {"did": fields["what"], **fields}
            self.lines.setdefault(action, (number, tuple(line.get(name) for name in _LINE)))
        if fields["what"] == hub_log.SITE_FORGOTTEN:
            self.rows.pop(("site", str(fields.get("site"))), None)
        if fields["what"] == hub_log.ENROLLED and isinstance(fields.get("revoked"), list):
            self.revoked |= {str(name): number for name in fields["revoked"]}
        if fields["what"] == hub_log.RESTORED and type(epoch := fields.get("epoch")) is int:
            self.restored.setdefault(Epoch(epoch, str(fields.get("branch", ""))), number)

    def differences(self, session: Session) -> Iterator[tuple[int | None, str]]:
        """Give (entry, sentence) for everything in the tables that is not as the log tells."""
        left = dict(self.rows)
        for subject, held in _rows(session):
            yield from _compared(subject, held, left.pop(subject, None))
        for subject, (number, row) in left.items():
            if subject[0] == "listener" and _is_plain(row):
                continue  # one that is not enrolled any more may be let go of
            yield number, f"{_named(subject)} of entry {number} is no longer in the database."
        yield from self._lines(session)
        for name, number in sorted(self.revoked.items()):
            beacon = session.get(BeaconRow, name)
            if beacon is None or beacon.revoked_ms is None:
                yield number, f"Beacon {printable(name)}, revoked by entry {number}, no longer is."

    def _lines(self, session: Session) -> Iterator[tuple[int | None, str]]:
        left = dict(self.lines)
        for row in session.scalars(select(ActionRow).execution_options(yield_per=1000)):
            number, line = left.pop(row.id, (None, None))
            whose = f"A line ({printable(row.what)}) in the timeline of incident {row.incident}"
            if number is None:
                yield None, f"{whose} is not in the log."
            elif line != (row.incident, row.at_ms, row.who, row.what, hub_log.detail_of(row)):
                yield number, f"{whose} is not as entry {number} says."
        for number, line in left.values():
            yield number, f"The line of entry {number} is no longer in the timeline of {line[0]}."


def _rows(session: Session) -> Iterator[tuple[Subject, dict[str, Any] | None]]:
    """Give every row of which the log should know; None for a listener that nobody enrolled."""
    for fleet in session.scalars(select(FleetRow)):
        yield _FLEET, hub_log.told(fleet)
    for incident in session.scalars(select(IncidentRow).execution_options(yield_per=1000)):
        yield ("incident", incident.id), hub_log.told(incident)
    for user in session.scalars(select(UserRow)):
        yield ("account", user.name), hub_log.told(user)
    for site in session.scalars(select(SiteRow)):
        yield ("site", site.name), hub_log.told(site)
    listeners = select(ListenerRow).options(defer(ListenerRow.dropped))  # JSON, of any depth
    for listener in session.scalars(listeners.execution_options(yield_per=1000)):
        of_log = hub_log.told(listener)
        yield ("listener", listener.key), None if _is_plain(of_log) else of_log


def _is_plain(listener: dict[str, Any]) -> bool:
    return all(value in (None, "") for value in listener.values())


def _compared(
    subject: Subject, row: dict[str, Any] | None, known: tuple[int, dict[str, Any]] | None
) -> Iterator[tuple[int | None, str]]:
    if known is None:
        if row is not None:
            yield None, f"{_named(subject)} is in the database, but not in the log."
        return
    number, of_log = known
    now = row if row is not None else {"name": "", **dict.fromkeys(of_log.keys() - {"name"})}
    for name in sorted(of_log.keys() | now.keys()):
        if of_log.get(name) != now.get(name):
            yield (
                number,
                f"Entry {number} says of {_named(subject, is_first=False)}: {name}"
                f" {of_log.get(name)!r}; the database says {now.get(name)!r}.",
            )


def _subject(fields: dict[str, Any]) -> Subject:
    for kind in _KINDS:
        if isinstance(key := fields.get(kind), (int, str)):
            return kind, key
    return _FLEET


def _named(subject: Subject, *, is_first: bool = True) -> str:
    kind, key = subject
    text = "the fleet" if key is None else f"{kind} {printable(str(key))}"
    return text[0].upper() + text[1:] if is_first else text
