"""Forms: read, and believed only with the token of the session that they were made for."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from fastapi import Request

from fanal.error import FanalError
from fanal.hub.accounts import User
from fanal.hub.sessions import Session
from fanal.hub.web.guard import is_token

_MOST_FIELDS = 16


class WebRefusal(FanalError):
    """A request that is refused with an HTTP status. code: a word of `answers.CODES` or another."""

    def __init__(self, status: int, code: str, sentence: str, hint: str = "",
                 retry_s: float | None = None) -> None:  # fmt: skip
        super().__init__(sentence, hint, code=code)
        self.status, self.retry_s = status, retry_s


@dataclass(frozen=True)
class Visit:
    """A form that a user who may do so sent. fields: what was typed, by name."""

    session: Session
    fields: dict[str, str]

    @property
    def user(self) -> User:
        """Who sent it."""
        return self.session.user

    def text(self, name: str) -> str:
        """Return what was typed, "" if there is no such field."""
        return self.fields.get(name, "")


def session_of(request: Request) -> Session:
    """Return the session; the guard let nobody by who has none."""
    session: Session = request.state.session
    return session


def require(user: User, role: str) -> None:
    """Raise WebRefusal unless the user may do what `role` may."""
    if not user.may(role):
        raise WebRefusal(403, "role", f"You are a {user.role}, and this takes a {role}.",
                         "Ask an officer.")  # fmt: skip


def sent_by(role: str) -> Callable[[Request], Coroutine[Any, Any, Visit]]:
    """Return the dependency that reads a form of somebody who may do what `role` may."""

    async def visit(request: Request) -> Visit:
        session, fields = session_of(request), await read(request)
        if not is_token(fields.get("csrf", ""), session):
            raise WebRefusal(403, "csrf", "The form is not of this session, and nothing was done.",
                             "Go back, load the page again and repeat it.")  # fmt: skip
        require(session.user, role)
        return Visit(session, fields)

    return visit


async def read(request: Request) -> dict[str, str]:
    """Return the fields of a form; of one that is there twice, the last."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise WebRefusal(415, "type", "That is no form of this hub.")
    body = await request.body()
    try:
        text = body.decode("ascii")
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST_FIELDS))
    except ValueError:
        raise WebRefusal(400, "form", "The form cannot be read.") from None
