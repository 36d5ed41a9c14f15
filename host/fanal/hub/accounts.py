"""Who may log in at a hub: names, roles, passwords by argon2id.

A name is compared as `tidy` makes it. Checking a password costs the same whether there is such a
user or not; it takes 64 MiB for a moment, so whoever answers strangers bounds how many at once.
"""

import functools
import hashlib
import secrets
import unicodedata
from dataclasses import dataclass, field, replace

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from fanal.error import FanalError
from fanal.hub import hub_log
from fanal.hub.store import Store
from fanal.hub.tables import SessionRow, UserRow

VIEWER, RESPONDER, OFFICER = "viewer", "responder", "officer"
ROLES = (VIEWER, RESPONDER, OFFICER)  # each may do what those before it may

SHORTEST_PASSWORD = 12
LONGEST_PASSWORD = 256
LONGEST_NAME = 64

_HASHER = PasswordHasher()
_SIGNS = frozenset("._-@")  # in a name, beside letters and digits
# what the timeline calls the hub itself
_TAKEN_NAMES = frozenset(("hub",))


class AccountError(FanalError):
    """An account that cannot be made or changed. code: name, exists, no_user, role, password."""


@dataclass(frozen=True, slots=True)
class User:
    """A person who may log in, unless `is_disabled`. role: one of ROLES.

    password_mark: 64 hex digits that change with the password, and with how it is kept.
    """

    name: str
    role: str
    is_disabled: bool
    created_ms: int
    password_mark: str = field(repr=False)

    def may(self, role: str) -> bool:
        """Say whether this user may do what `role` may."""
        return ROLES.index(self.role) >= ROLES.index(role)


def add(store: Store, name: str, role: str, password: str, by: str = hub_log.COMMAND_LINE) -> User:
    """Make an account. by: who does it. Raises AccountError."""
    name = _require_name(name)
    _require_role(role)
    encoded = _HASHER.hash(require_password(password))
    with store.writing() as session:
        _require_free(session, name)
        row = UserRow(name=name, role=role, password=encoded, created_ms=store.now_ms(),
                      is_disabled=False)  # fmt: skip
        session.add(row)
        hub_log.enter(session, hub_log.ACCOUNT_ADDED, store.now_ms(), of=row, who=by)
        return user_of(row)


def require_new(store: Store, name: str) -> None:
    """Raise AccountError if no account of this name can be made."""
    name = _require_name(name)
    with store.reading() as session:
        _require_free(session, name)


def require_known(store: Store, name: str) -> None:
    """Raise AccountError if there is no account of this name."""
    with store.reading() as session:
        _row(session, name)


def users(store: Store) -> list[User]:
    """Return all accounts by name."""
    with store.reading() as session:
        return [user_of(row) for row in session.scalars(select(UserRow).order_by(UserRow.name))]


def set_password(store: Store, name: str, password: str, by: str = hub_log.COMMAND_LINE) -> None:
    """Give a user another password; whoever is logged in by that name no longer is.

    by: who does it. Raises AccountError.
    """
    encoded = _HASHER.hash(require_password(password))
    with store.writing() as session:
        row = _row(session, name)
        row.password = encoded
        hub_log.enter(session, hub_log.PASSWORD, store.now_ms(), of=row, who=by)
        _log_out(session, name)


def set_role(store: Store, name: str, role: str, by: str = hub_log.COMMAND_LINE) -> None:
    """Give a user another role, at once. Raises AccountError."""
    _require_role(role)
    with store.writing() as session:
        row = _row(session, name)
        if row.role != role:
            before, row.role = row.role, role
            hub_log.enter(session, hub_log.ACCOUNT_CHANGED, store.now_ms(), of=row, who=by,
                          detail=f"{role}, was {before}")  # fmt: skip


def disable(store: Store, name: str, by: str = hub_log.COMMAND_LINE) -> None:
    """Let a user in no more; the sessions end. What the user did stays. Raises AccountError."""
    with store.writing() as session:
        row = _row(session, name)
        if not row.is_disabled:
            row.is_disabled = True
            hub_log.enter(session, hub_log.DISABLED, store.now_ms(), of=row, who=by)
        _log_out(session, name)


def enable(store: Store, name: str, by: str = hub_log.COMMAND_LINE) -> None:
    """Let a user in again. Raises AccountError."""
    with store.writing() as session:
        row = _row(session, name)
        if row.is_disabled:
            row.is_disabled = False
            hub_log.enter(session, hub_log.ENABLED, store.now_ms(), of=row, who=by)


def check(store: Store, name: str, password: str) -> User | None:
    """Return the user whose name and password these are, else None. Any text may come in."""
    password = _normal(password[: LONGEST_PASSWORD + 1])
    unknown = _nobodys()  # before the look-up, so that its first making betrays no name
    with store.reading() as session:
        row = _found(session, name)
        encoded = unknown if row is None or row.is_disabled else row.password
        user = None if encoded is unknown or row is None else user_of(row)
    try:
        _HASHER.verify(encoded, password)
    except (VerificationError, InvalidHashError):
        return None
    if user is not None and _HASHER.check_needs_rehash(encoded):
        return replace(user, password_mark=_mark(_rehash(store, user.name, encoded, password)))
    return user


def user_of(row: UserRow) -> User:
    """Return the user in a row."""
    return User(row.name, row.role, row.is_disabled, row.created_ms, _mark(row.password))


def tidy(name: str) -> str:
    """Return a name as it is kept: phones write the first letter of a form large."""
    return unicodedata.normalize("NFKC", name.strip()).casefold()


@functools.cache
def _nobodys() -> str:
    """Return a password's hash that nobody knows the password of."""
    return _HASHER.hash(secrets.token_urlsafe(32))


def _rehash(store: Store, name: str, encoded: str, password: str) -> str:
    """Keep a password under today's cost, unless it was changed meanwhile; return its hash."""
    again = _HASHER.hash(password)
    with store.writing() as session:
        row = session.get(UserRow, name)
        if row is None or row.password != encoded:
            return encoded
        row.password = again
    return again


def _mark(encoded: str) -> str:
    return hashlib.sha256(encoded.encode("utf-8")).hexdigest()


def _is_name(name: str) -> bool:
    fine = all(letter.isalnum() or letter in _SIGNS for letter in name)
    return fine and 1 <= len(name) <= LONGEST_NAME and name not in _TAKEN_NAMES


def _require_name(name: str) -> str:
    name = tidy(name[: LONGEST_NAME + 1])
    if not _is_name(name):
        raise AccountError(
            "That is no name for a user.",
            f"Take 1 to {LONGEST_NAME} letters, digits and . _ - @; “hub” is the hub itself.",
            code="name",
        )
    return name


def _require_role(role: str) -> None:
    if role not in ROLES:
        raise AccountError("There is no such role.", f"It is one of: {', '.join(ROLES)}.",
                           code="role")  # fmt: skip


def _require_free(session: Session, name: str) -> None:
    if session.get(UserRow, name) is not None:
        raise AccountError(
            f"There is a user {name} already.",
            "Give another name, or set that user's password.",
            code="exists",
        )


def require_password(password: str) -> str:
    """Return a password as it is kept. Raises AccountError if it is too short or too long."""
    password = _normal(password)
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        raise AccountError(
            f"A password has {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters.",
            "Several words in a row are easy to remember and hard to guess.",
            code="password",
        )
    return password


def _normal(password: str) -> str:
    """Return one spelling of what can be typed in two ways; a lone surrogate is no text."""
    text = password.encode("utf-8", "replace").decode("utf-8")
    return unicodedata.normalize("NFKC", text)


def _found(session: Session, name: str) -> UserRow | None:
    name = tidy(name[: LONGEST_NAME + 1])
    return session.get(UserRow, name) if _is_name(name) else None


def _row(session: Session, name: str) -> UserRow:
    row = _found(session, name)
    if row is None:
        raise AccountError("There is no user of that name.", "List them: `fanal hub user list`.",
                           code="no_user")  # fmt: skip
    return row


def _log_out(session: Session, name: str) -> None:
    session.execute(delete(SessionRow).where(SessionRow.user == tidy(name)))
