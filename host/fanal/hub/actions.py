"""What people do about an incident: take it, give it to somebody, note, close, open again.

Each is one transaction: the incident, a line of its timeline, its entry in the hub's log, and the
messages that follow. Doing the same twice changes nothing and says who was first. A DRILL or a TEST
is handled the same.
"""

from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select

from fanal import sighting
from fanal.error import FanalError
from fanal.hub.hub_log import add_line
from fanal.hub.tables import (
    ACKNOWLEDGED,
    ASSIGNED,
    CLOSED,
    DONE,
    NOTED,
    OPEN,
    REOPENED,
    TAKEN,
    ActionRow,
    IncidentRow,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.orm import Session

    from fanal.hub.store import Store

HELP_ARRIVED, FALSE_ALARM, DUPLICATE = "help arrived", "false alarm", "duplicate"
DRILL_OVER, TEST_OVER, OTHER = "drill over", "test", "other"
REASONS = (HELP_ARRIVED, FALSE_ALARM, DRILL_OVER, TEST_OVER, DUPLICATE, OTHER)
# what only one kind can be: a real alert that is closed as a drill would be the worst slip
_ONLY_FOR = {DRILL_OVER: sighting.DRILL, TEST_OVER: sighting.TEST}

MOST_NOTE = 2000  # characters
MOST_LINE = 200
MOST_NAME = 120
_MOST_ID = (1 << 63) - 1
# harmless in a line, and needed to write Persian, French or Japanese: joiners and other spaces
_ALSO_PLAIN = dict.fromkeys((0x200C, 0x200D, 0x00A0, 0x202F, 0x3000), "x")

# (session of the transaction, incident, what was done: one of the words in `tables`)
Changed = Callable[["Session", IncidentRow, str], None]


class ActionError(FanalError):
    """An action that cannot be done. code: not_found, closed, not_closed, reason, text or name."""

    code = "action"


@dataclass(frozen=True, slots=True)
class Done:
    """What came of an action. state: of the incident now.

    is_new: False if it was so before, and nothing was written; `who` and `at_ms` then tell by whom
    and since when.
    """

    incident: int
    kind: str
    state: str
    is_new: bool
    who: str
    at_ms: int


def reasons_for(kind: str) -> tuple[str, ...]:
    """Return the reasons for which an incident of a kind can be closed."""
    return tuple(reason for reason in REASONS if _ONLY_FOR.get(reason, kind) == kind)


def acknowledge(
    store: "Store", incident_id: int, who: str, *, changed: Changed | None = None
) -> Done:
    """Say that somebody acts; nobody else is called any more. Raises ActionError.

    who: a user's name. changed: queues messages, `Notices.incident_changed`.
    """
    with _acting(store, incident_id, who, changed) as act:
        act.require_not_closed()
        if act.row.state == TAKEN:
            return act.nothing(ACKNOWLEDGED)
        act.row.state, act.row.acknowledged_ms = TAKEN, act.at_ms
        return act.done(ACKNOWLEDGED, "")


def assign(
    store: "Store", incident_id: int, who: str, to: str, *, changed: Changed | None = None
) -> Done:
    """Say whose it is. Raises ActionError.

    It does not acknowledge: whoever it was given to may not know of it yet.
    """
    to = _line(to, MOST_NAME, "name", "Say to whom, in one line of plain text.")
    with _acting(store, incident_id, who, changed) as act:
        act.require_not_closed()
        if act.row.assigned_to == to:
            return act.nothing(ASSIGNED)
        act.row.assigned_to = to
        return act.done(ASSIGNED, to)


def note(
    store: "Store", incident_id: int, who: str, text: str, *, changed: Changed | None = None
) -> Done:
    """Add a note, also to a closed one. text: at most 2000 characters. Raises ActionError."""
    text = _note(text)
    with _acting(store, incident_id, who, changed) as act:
        last = act.last(NOTED)
        if last is not None and (last.who, last.detail) == (who, text):
            return act.nothing(NOTED)
        return act.done(NOTED, text)


def close(
    store: "Store",
    incident_id: int,
    who: str,
    reason: str,
    text: str = "",
    *,
    changed: Changed | None = None,
) -> Done:
    """Close it. reason: one of `reasons_for` its kind; text: one more line, needed for "other".

    Raises ActionError; closed for another reason before is code `closed`.
    """
    if reason not in REASONS:
        raise ActionError(
            "An incident is not closed for that reason.",
            f"It is one of: {', '.join(REASONS)}.",
            code="reason",
        )
    if text.strip() or reason == OTHER:
        hint = "Say why, in one line of plain text (at the command line by --text)."
        text = _line(text, MOST_LINE, "text", hint)
    with _acting(store, incident_id, who, changed) as act:
        kind = _ONLY_FOR.get(reason, act.row.kind)
        if act.row.kind != kind:
            raise ActionError(
                f"Incident {incident_id} is of kind {act.row.kind}, and “{reason}” is for"
                f" {kind} alone.",
                f"Look at it again; then take one of: {', '.join(reasons_for(act.row.kind))}.",
                code="reason",
            )
        if act.row.state == DONE:
            if closed_as(act.last(CLOSED)) != reason:
                act.require_not_closed()
            return act.nothing(CLOSED)
        act.row.state = DONE
        return act.done(CLOSED, f"{reason}: {text}" if text.strip() else reason)


def reopen(
    store: "Store", incident_id: int, who: str, reason: str, *, changed: Changed | None = None
) -> Done:
    """Open a closed one again: nobody has acknowledged it, and waiting begins anew.

    reason: one line. Raises ActionError.
    """
    reason = _line(reason, MOST_LINE, "text", "Say why, in one line of plain text.")
    with _acting(store, incident_id, who, changed) as act:
        if act.row.state != DONE:
            if act.row.state == OPEN and act.last(REOPENED) is not None:
                return act.nothing(REOPENED)
            raise ActionError(
                f"Incident {incident_id} ({act.row.kind}) is not closed.", code="not_closed"
            )
        act.row.state, act.row.acknowledged_ms, act.row.escalation = OPEN, None, 0
        return act.done(REOPENED, reason)


def closed_as(action: ActionRow | None) -> str:
    """Return the reason in a line of the timeline that says CLOSED, "" if there is none."""
    return "" if action is None else action.detail.partition(":")[0]


def last_action(session: "Session", incident_id: int, what: str) -> ActionRow | None:
    """Return the newest line of an incident's timeline that says `what`."""
    lines = select(ActionRow).where(ActionRow.incident == incident_id, ActionRow.what == what)
    return session.scalars(lines.order_by(ActionRow.id.desc()).limit(1)).first()


def no_incident() -> ActionError:
    """Return the error for a number that no incident has."""
    return ActionError(
        "There is no incident of that number.",
        "Look for it with `fanal incident list`.",
        code="not_found",
    )


def is_id(number: int) -> bool:
    """Say whether a database could hold an incident of that number."""
    return 0 < number <= _MOST_ID


class _Act:
    """One action while its transaction is open."""

    def __init__(self, session: "Session", row: IncidentRow, who: str, at_ms: int,
                 changed: Changed | None) -> None:  # fmt: skip
        self.session, self.row, self.who, self.at_ms = session, row, who, at_ms
        self._changed = changed

    def last(self, what: str) -> ActionRow | None:
        return last_action(self.session, self.row.id, what)

    def require_not_closed(self) -> None:
        if self.row.state == DONE:
            last = self.last(CLOSED)
            how = "" if last is None else f" as {closed_as(last)} by {last.who}"
            raise ActionError(
                f"Incident {self.row.id} ({self.row.kind}) was closed{how}.",
                "Reopen it first.",
                code="closed",
            )

    def nothing(self, what: str) -> Done:
        """Return what was done before by somebody, or by this person."""
        last = self.last(what)
        who, at_ms = (self.who, self.at_ms) if last is None else (last.who, last.at_ms)
        return Done(self.row.id, self.row.kind, self.row.state, False, who, at_ms)

    def done(self, what: str, detail: str) -> Done:
        self.row.revision += 1
        line = ActionRow(incident=self.row.id, at_ms=self.at_ms, who=self.who, what=what,
                         detail=detail)  # fmt: skip
        add_line(self.session, line, of=self.row)
        self.session.flush()
        if self._changed is not None:
            self._changed(self.session, self.row, what)
        return Done(self.row.id, self.row.kind, self.row.state, True, self.who, self.at_ms)


@contextmanager
def _acting(
    store: "Store", incident_id: int, who: str, changed: Changed | None
) -> "Iterator[_Act]":
    who = _line(who, MOST_NAME, "name", "Say who does it, in one line of plain text.")
    if not is_id(incident_id):
        raise no_incident()
    with store.writing(shows=True) as session:
        # whoever writes a line of the timeline meanwhile need not wait, and holds what we want
        row = session.get(IncidentRow, incident_id, with_for_update={"key_share": True})
        if row is None:
            raise no_incident()
        yield _Act(session, row, who, store.now_ms(), changed)


def _line(text: str, most: int, code: str, hint: str) -> str:
    text = text.strip()
    if not text or len(text) > most or not _is_plain(text):
        what = "empty" if not text else "too long" if len(text) > most else "not plain text"
        raise ActionError(f"What was given is {what}.", f"{hint} At most {most} characters.",
                          code=code)  # fmt: skip
    return text


def _is_plain(text: str) -> bool:
    return text.translate(_ALSO_PLAIN).isprintable()


def _note(text: str) -> str:
    """Return a note with line ends as \\n; each line must be plain text."""
    text = text.replace("\r\n", "\n").strip()
    if not text or len(text) > MOST_NOTE:
        what = "is empty" if not text else f"has {len(text)} characters"
        raise ActionError(f"The note {what}.", f"A note has 1 to {MOST_NOTE} characters.",
                          code="text")  # fmt: skip
    if not all(_is_plain(line.expandtabs()) for line in text.split("\n")):
        raise ActionError("The note is not plain text.", "Leave out control characters.",
                          code="text")  # fmt: skip
    return text
