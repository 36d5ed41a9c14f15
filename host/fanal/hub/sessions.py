"""Logins that last: a random token in a cookie, and here only its hash.

A session ends 12 hours after the last thing that its user did, 7 days after the login, and at once
when the user logs out, is disabled or gets another password. What is after now, since the clock was
set back, counts as now.
"""

import hashlib
import secrets
from dataclasses import dataclass, field

from sqlalchemy import delete, or_, select, update

from fanal.hub.accounts import User, user_of
from fanal.hub.store import AHEAD_MS, Store
from fanal.hub.tables import SessionRow, UserRow

IDLE_MS = 12 * 3_600_000
LONGEST_MS = 7 * 24 * 3_600_000

_TOKEN_BYTES = 32
_TOKEN_LETTERS = 43  # as token_urlsafe writes 32 bytes
_SEEN_EVERY_MS = 60_000  # a session that is used is written down this often, not at each request
_MOST_EACH = 20  # of one user; the oldest ends


@dataclass(frozen=True, slots=True)
class Session:
    """A login that is good now. csrf: what each form has to bring along."""

    user: User
    csrf: str = field(repr=False)
    token: str = field(repr=False)


def begin(store: Store, user: User) -> Session | None:
    """Log a user in. The token is nowhere but in what is returned.

    None if the user was disabled or got another password since `user` was read: a password takes
    a while to check.
    """
    token, csrf, now = _random(), _random(), store.now_ms()
    with store.writing() as session:
        row = session.get(UserRow, user.name, with_for_update=True)
        if row is None or row.is_disabled or user_of(row).password_mark != user.password_mark:
            return None
        session.execute(delete(SessionRow).where(_is_over(now)))
        held = select(SessionRow.token).where(SessionRow.user == user.name)
        oldest = held.order_by(SessionRow.created_ms.desc()).offset(_MOST_EACH - 1)
        session.execute(
            delete(SessionRow).where(SessionRow.token.in_(list(session.scalars(oldest))))
        )
        session.add(SessionRow(token=_hashed(token), user=user.name, csrf=csrf, created_ms=now,
                               seen_ms=now))  # fmt: skip
    return Session(user, csrf, token)


def find(store: Store, token: str, *, is_used: bool = True) -> Session | None:
    """Return the session of a cookie, None if it is none or over. token: any text.

    is_used: False for what a page asks by itself: that keeps nobody logged in.
    """
    if len(token) != _TOKEN_LETTERS or not token.isascii():
        return None
    now, name = store.now_ms(), _hashed(token)
    with store.reading() as reading:
        found = reading.execute(
            select(SessionRow, UserRow).join(UserRow, UserRow.name == SessionRow.user)
            .where(SessionRow.token == name, ~_is_over(now), ~UserRow.is_disabled)
        ).one_or_none()  # fmt: skip
        if found is None:
            return None
        row, by = found
        user = user_of(by)
        seen_ms, csrf = row.seen_ms, row.csrf
    if is_used and now - seen_ms >= _SEEN_EVERY_MS:
        with store.writing() as writing:
            writing.execute(update(SessionRow).where(SessionRow.token == name).values(seen_ms=now))
    return Session(user, csrf, token)


def set_back(store: Store, now_ms: int) -> None:
    """Take for now what is after now, once: else a login would last longer by as much."""
    ahead = [column > now_ms + AHEAD_MS for column in (SessionRow.seen_ms, SessionRow.created_ms)]
    with store.reading() as reading:
        if reading.execute(select(SessionRow.token).where(or_(*ahead)).limit(1)).first() is None:
            return
    with store.writing() as writing:
        writing.execute(update(SessionRow).where(ahead[0]).values(seen_ms=now_ms))
        writing.execute(update(SessionRow).where(ahead[1]).values(created_ms=now_ms))


def end(store: Store, token: str) -> None:
    """Log out; nothing happens if it was over."""
    with store.writing() as session:
        session.execute(delete(SessionRow).where(SessionRow.token == _hashed(token)))


def _is_over(now_ms: int):  # type: ignore[no-untyped-def]  # a clause of SQL
    return or_(SessionRow.seen_ms < now_ms - IDLE_MS, SessionRow.created_ms < now_ms - LONGEST_MS)


def _random() -> str:
    return secrets.token_urlsafe(_TOKEN_BYTES)


def _hashed(token: str) -> str:
    return hashlib.sha256(token.encode("ascii")).hexdigest()
