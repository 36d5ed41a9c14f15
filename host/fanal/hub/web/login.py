"""Logging in and out, and one's own password.

Guessing is slowed by address and by name; an address from which that user has logged in before is
not slowed by the name, so that a stranger's guesses do not keep a responder out. A password takes
64 MiB to check: two at once, a few more wait, the rest are told to come again.
"""

import math
from collections import OrderedDict
from functools import partial
from typing import Annotated

import anyio
from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Depends, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from fanal.hub import accounts, sessions
from fanal.hub.accounts import VIEWER, AccountError
from fanal.hub.hub import Hub
from fanal.hub.web.document import document
from fanal.hub.web.form import Visit, WebRefusal, read, sent_by
from fanal.hub.web.guard import LOGIN, cookie_name, safe_next
from fanal.hub.web.rates import Attempts, source

_AT_ONCE = 2
_MOST_WAITING = 16
_MOST_KNOWN = 10_000

router = APIRouter(include_in_schema=False)


class Porter:
    """Checks passwords, not too many and not too often."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._of_name, self._of_address = Attempts(), Attempts()
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._waiting = 0
        self._limiter: CapacityLimiter | None = None

    async def check(self, address: str, name: str, password: str) -> accounts.User | None:
        """Return the user, None if name or password is wrong. Raises WebRefusal (429, 503)."""
        name = accounts.tidy(name[: accounts.LONGEST_NAME])
        is_known = (name, address) in self._known
        counted = [(self._of_address, address)]
        if not is_known:
            counted.append((self._of_name, name))
        wait = max(attempts.wait_s(key) for attempts, key in counted)
        if wait > 0:
            raise WebRefusal(429, "often", "There were too many failed logins.",
                             f"Wait {math.ceil(wait)} seconds and try again.", wait)  # fmt: skip
        for attempts, key in counted:
            attempts.begin(key)
        user = await self._verified(name, password)
        if user is not None:
            for attempts, key in counted:
                attempts.succeeded(key)
            self._remember(name, address)
        return user

    async def _verified(self, name: str, password: str) -> accounts.User | None:
        if self._waiting >= _MOST_WAITING:
            raise WebRefusal(503, "busy", "Too many people log in at this moment.",
                             "Try again in a few seconds.", 5)  # fmt: skip
        self._limiter = self._limiter or CapacityLimiter(_AT_ONCE)
        self._waiting += 1
        try:
            check = partial(accounts.check, self._hub.store, name, password)
            return await to_thread.run_sync(check, limiter=self._limiter)
        finally:
            self._waiting -= 1

    def _remember(self, name: str, address: str) -> None:
        self._known[(name, address)] = None
        self._known.move_to_end((name, address))
        if len(self._known) > _MOST_KNOWN:
            self._known.popitem(last=False)


@router.get(LOGIN)
def login_page(request: Request, next: str = "/") -> Response:
    """The form."""
    return _form(request, safe_next(next))


@router.post(LOGIN)
async def log_in(request: Request) -> Response:
    """Begin a session, or say that it was not right, never what of it."""
    hub: Hub = request.app.state.hub
    fields = await read(request)
    following = safe_next(fields.get("next", "/"))
    address = source(request.scope)
    try:
        user = await request.app.state.porter.check(
            address, fields.get("name", ""), fields.get("password", "")
        )
    except WebRefusal as refused:
        return _form(request, following, refused)
    session = None if user is None else await run_in_threadpool(sessions.begin, hub.store, user)
    if session is None:
        wrong = WebRefusal(403, "wrong", "Name or password is wrong.", "Look at both again.")
        return _form(request, following, wrong)
    response = RedirectResponse(following, 303)
    response.set_cookie(
        cookie_name(hub.config), session.token, max_age=sessions.LONGEST_MS // 1000, path="/",
        secure=hub.config.is_https, httponly=True, samesite="lax",
    )  # fmt: skip
    return response


@router.post("/logout")
def log_out(request: Request, visit: Annotated[Visit, Depends(sent_by(VIEWER))]) -> Response:
    """End the session here and at the hub."""
    hub: Hub = request.app.state.hub
    sessions.end(hub.store, visit.session.token)
    response = RedirectResponse(LOGIN, 303)
    response.delete_cookie(cookie_name(hub.config), path="/", secure=hub.config.is_https,
                           httponly=True, samesite="lax")  # fmt: skip
    return response


@router.get("/account")
def account_page(request: Request) -> Response:
    """Who is logged in, and the form for another password."""
    return document(request.scope, "account.html", {"problem": None})


@router.post("/account/password")
async def change_password(
    request: Request, visit: Annotated[Visit, Depends(sent_by(VIEWER))]
) -> Response:
    """Set one's own password; every session of that name ends, this one too."""
    hub: Hub = request.app.state.hub
    porter: Porter = request.app.state.porter
    name, new = visit.user.name, visit.text("new")
    try:
        user = await porter.check(source(request.scope), name, visit.text("password"))
        if user is None:
            raise WebRefusal(403, "wrong", "The old password is wrong.", "Look at it again.")
        if new != visit.text("again"):
            raise AccountError("The new password was typed in two ways.", "Type it again.",
                               code="password")  # fmt: skip
        with anyio.CancelScope(shield=True):
            await run_in_threadpool(accounts.set_password, hub.store, name, new, name)
    except (WebRefusal, AccountError) as problem:
        status = problem.status if isinstance(problem, WebRefusal) else 422
        return document(request.scope, "account.html", {"problem": problem}, status)
    return RedirectResponse(LOGIN, 303)


def _form(request: Request, following: str, problem: WebRefusal | None = None) -> Response:
    status = 200 if problem is None else problem.status
    headers = {}
    if problem is not None and problem.retry_s is not None:
        headers["Retry-After"] = str(max(1, math.ceil(problem.retry_s)))
    content = {"following": following, "problem": problem}
    return document(request.scope, "login.html", content, status, headers)
