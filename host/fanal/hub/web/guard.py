"""Nobody gets in without a login: whatever is not named here as open is closed.

Also here: a request that changes something must come from a page of this hub (its Origin), and
one to the API must bring the session's token. Forms bring theirs as a field: see `form`.
"""

import hmac
from functools import partial
from urllib.parse import quote, urlsplit

from anyio import to_thread
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from fanal.error import FanalError
from fanal.hub import sessions
from fanal.hub.config import Config
from fanal.hub.hub import Hub
from fanal.hub.web.answers import API, DOOR, refuse, refuse_for
from fanal.hub.web.rates import Regulars, source

LOGIN, LIVE, STATIC = "/login", "/live", "/static/"
LIVE_HEADER = "fanal-live"  # the page's script asks, not a person
CSRF_HEADER = "x-csrf-token"

_READS = ("GET", "HEAD", "OPTIONS")


def cookie_name(config: Config) -> str:
    """Return the session cookie's name; by HTTPS one that no other host can set."""
    return "__Host-fanal" if config.is_https else "fanal"


def is_token(given: str, session: sessions.Session) -> bool:
    """Say whether `given`, any text, is the token that this session's forms bring along."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), session.csrf.encode())


class Guard:
    """Finds the session of a request (`scope["state"]["session"]`), or sends it away."""

    def __init__(self, app: ASGIApp, hub: Hub, regulars: Regulars) -> None:
        self._app, self._hub, self._regulars = app, hub, regulars

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": ""})
        elif (refused := await self._refused(scope)) is not None:
            await refused(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _refused(self, scope: Scope) -> Response | None:
        path, headers = scope["path"], Headers(scope=scope)
        if path in DOOR or path.startswith(STATIC):
            return None
        is_change = scope["method"] not in _READS
        if is_change and not is_same_origin(headers, self._hub.config):
            return refuse(scope, 403, "origin", "The request came from another site.",
                          "Open the hub's own page and do it there.")  # fmt: skip
        if path == LOGIN:
            return None
        is_used = path != LIVE and LIVE_HEADER not in headers
        token = HTTPConnection(scope).cookies.get(cookie_name(self._hub.config), "")
        find = partial(sessions.find, self._hub.store, token, is_used=is_used)
        try:
            session = await to_thread.run_sync(find)
        except FanalError as problem:
            return refuse_for(scope, problem)
        if session is None:
            return _to_login(scope, is_used)
        self._regulars.welcome(source(scope))
        if is_change and path.startswith(API) and not is_token(
            headers.get(CSRF_HEADER, ""), session
        ):  # fmt: skip
            return refuse(scope, 403, "csrf", "The token of this session is missing.",
                          f"Send it as {CSRF_HEADER}; /api/v1/session tells it.")  # fmt: skip
        scope.setdefault("state", {})["session"] = session
        return None


def is_same_origin(headers: Headers, config: Config) -> bool:
    """Say whether a request is from a page of this hub, or from no browser at all."""
    origin = headers.get("origin")
    if origin is None:
        # programs send neither; a browser of today sends both
        return headers.get("sec-fetch-site", "none") in ("none", "same-origin")
    try:
        asked = urlsplit(origin)
        public = urlsplit(config.public_url)
    except ValueError:
        return False
    if (asked.scheme, asked.netloc) == (public.scheme, public.netloc):
        return True
    return asked.scheme in ("http", "https") and asked.netloc == headers.get("host", "")


def safe_next(text: str) -> str:
    """Return where to go after the login: a path of this hub, whatever was asked for."""
    is_plain = all(32 < ord(letter) < 127 and letter != "\\" for letter in text)
    if not is_plain or not text.startswith("/") or text.startswith("//") or len(text) > 500:
        return "/"
    return "/" if text.startswith((LOGIN, LIVE, API, "/logout")) else text


def _to_login(scope: Scope, is_used: bool) -> Response:
    if scope["path"].startswith(API) or not is_used:
        return refuse(scope, 401, "login", "Nobody is logged in.", "Log in first.")
    asked = scope["path"]
    if scope["query_string"]:
        asked += "?" + scope["query_string"].decode("latin-1")
    following = safe_next(asked) if scope["method"] == "GET" else "/"
    query = "" if following == "/" else f"?next={quote(following, safe='/')}"
    return RedirectResponse(LOGIN + query, 303)
