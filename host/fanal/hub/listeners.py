"""The listeners of a hub: who they are, and where they are.

A listener is known since its first delivery, and confirmed once an officer enrolled it: then it has
a name, and its silence is an alarm (see `listener_health`).
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from fanal import beacon_name
from fanal.error import FanalError, UsageError
from fanal.hub import hub_log
from fanal.hub.placed import fixed_place_of, place_of
from fanal.hub.store import Store, touch
from fanal.hub.tables import ListenerRow
from fanal.hub.view import health_word, short_name
from fanal.position import Position

_LONGEST_NAME = 40
_KEY_DIGITS = 64


@dataclass(frozen=True, slots=True)
class Listener:
    """A listener as people see it. short_name: what its volunteer can read out by phone.

    name: "" if it is not enrolled. health: see `view.health_word`. position: where the officer
    said (`has_fixed_position`), else where it says itself.
    """

    key: str
    short_name: str
    name: str
    is_enrolled: bool
    health: str
    first_received_ms: int
    last_received_ms: int
    last_advert_ms: int | None
    silent_since_ms: int | None
    deaf_since_ms: int | None
    queued: int
    dropped: dict[str, Any]
    version: str
    position: Position | None
    has_fixed_position: bool
    enrolled_ms: int | None
    enrolled_by: str | None


def listed(store: Store) -> list[Listener]:
    """Return all listeners: enrolled ones first, by name, then the others, newest first."""
    with store.reading() as session:
        rows = list(session.scalars(select(ListenerRow)))
        rows.sort(key=lambda row: -row.last_received_ms)
        rows.sort(key=lambda row: (row.enrolled_ms is None, row.name))
        return [_listener(row) for row in rows]


def enrol(store: Store, listener: str, name: str, who: str) -> Listener:
    """Give a listener a name, and count what it hears as confirmed. Twice is fine.

    listener: its key, its short name, or its name. who: does it. A key, 64 hex digits, may be of
    one that was not heard of yet. Raises UsageError, ListenerError.
    """
    name = name.strip()
    if not name or len(name) > _LONGEST_NAME or not name.isprintable():
        raise UsageError(
            f"A listener's name is one line of plain text, at most {_LONGEST_NAME} letters.",
            "For example --name 'east gate'.",
        )
    with store.writing() as session:
        row = _found(session, listener, may_be_new=True)
        other = session.scalars(
            select(ListenerRow).where(ListenerRow.name == name, ListenerRow.key != row.key)
        ).first()
        if other is not None:
            raise ListenerError(f"Another listener is called “{name}”.", "Give another name.",
                                code="name_taken")  # fmt: skip
        if (row.name, row.enrolled_ms is None) != (name, False):
            row.name = name
            row.enrolled_ms, row.enrolled_by = store.now_ms(), who
            session.add(row)
            hub_log.enter(session, hub_log.LISTENER, row.enrolled_ms, of=row, who=who, detail=name)
            session.flush()
            touch(session)
        return _listener(row)


def forget(store: Store, listener: str, who: str = hub_log.COMMAND_LINE) -> Listener:
    """Take back an enrolment: what it hears from now on is unconfirmed. Raises ListenerError."""
    with store.writing(shows=True) as session:
        row = _found(session, listener)
        if row.enrolled_ms is not None:
            hub_log.enter(session, hub_log.FORGOTTEN, store.now_ms(), of=row, who=who,
                          detail=row.name)  # fmt: skip
        row.name, row.enrolled_ms, row.enrolled_by = "", None, None
        row.silent_since_ms = row.deaf_since_ms = None
        row.fixed_latitude = row.fixed_longitude = row.fixed_accuracy_m = None
        return _listener(row)


def place(
    store: Store, listener: str, at: Position | None, who: str = hub_log.COMMAND_LINE
) -> Listener:
    """Say where an enrolled listener is, whatever it says; None takes that back.

    Raises ListenerError.
    """
    with store.writing(shows=True) as session:
        row = _found(session, listener)
        if row.enrolled_ms is None:
            raise ListenerError(
                "That listener is not enrolled.", "Enrol it first, then place it.",
                code="not_enrolled",
            )  # fmt: skip
        row.fixed_latitude = None if at is None else at.latitude
        row.fixed_longitude = None if at is None else at.longitude
        row.fixed_accuracy_m = None if at is None else at.accuracy_m
        if session.is_modified(row):
            hub_log.enter(session, hub_log.PLACED, store.now_ms(), of=row, who=who,
                          detail=row.name)  # fmt: skip
        return _listener(row)


class ListenerError(FanalError):
    """A listener that is not meant. code: no_listener, several, name_taken, not_enrolled."""


def _found(session: Session, text: str, *, may_be_new: bool = False) -> ListenerRow:
    """Return the one listener of that key, name or short name. Raises ListenerError."""
    text = text.strip()
    row = session.get(ListenerRow, text.lower() if _is_key(text) else text)
    if row is not None:
        return row
    if may_be_new and _is_key(text):
        return _unheard(text.lower())
    named = session.scalars(select(ListenerRow).where(ListenerRow.name == text)).all()
    if text and named:
        return named[0]
    try:
        wanted = beacon_name.shown(beacon_name.parse(text))
    except UsageError:
        wanted = ""
    rows = [row for row in session.scalars(select(ListenerRow)) if short_name(row.key) == wanted]
    if len(rows) == 1:
        return rows[0]
    if rows:
        raise ListenerError(
            f"{len(rows)} listeners are called {wanted}: all but one of them were made to be.",
            "Ask the volunteer for the whole key, and name the listener by that.",
            code="several",
        )
    raise ListenerError(
        "No such listener was heard of.",
        "See `fanal hub listener list`; the whole key, 64 digits, may be enrolled before.",
        code="no_listener",
    )


def _is_key(text: str) -> bool:
    return len(text) == _KEY_DIGITS and not set(text.lower()) - set("0123456789abcdef")


def _unheard(key: str) -> ListenerRow:
    return ListenerRow(
        key=key, name="", enrolled_ms=None, enrolled_by=None, first_received_ms=0,
        last_received_ms=0, radio="", queued=0, dropped={}, version="", is_lost=False,
    )  # fmt: skip


def _listener(row: ListenerRow) -> Listener:
    return Listener(
        row.key, short_name(row.key), row.name, row.enrolled_ms is not None, health_word(row),
        row.first_received_ms, row.last_received_ms, row.last_advert_ms, row.silent_since_ms,
        row.deaf_since_ms, row.queued, dict(row.dropped), row.version, position_of(row),
        fixed_place_of(row) is not None,
        row.enrolled_ms, row.enrolled_by,
    )  # fmt: skip


def position_of(row: ListenerRow) -> Position | None:
    """Return where a listener is: as the officer said, else as it says, None if nobody did."""
    return fixed_place_of(row) or place_of(row)
