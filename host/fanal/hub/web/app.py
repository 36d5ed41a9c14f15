"""The hub's web application: everything that it serves, and in which order a request is checked.

From outside in: headers, bounds, login, then the page or the API. Give it to an ASGI server; a
proxy in front has to be trusted there, so that `scope["client"]` is the sender.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from fanal.envelope import MOST_DELIVERY_BYTES
from fanal.error import FanalError
from fanal.hub.hub import Hub
from fanal.hub.web import api, deliver, live, login, pages
from fanal.hub.web.answers import CODES, refuse, refuse_for
from fanal.hub.web.bounds import Bounds
from fanal.hub.web.document import HERE, environment
from fanal.hub.web.form import WebRefusal
from fanal.hub.web.guard import Guard
from fanal.hub.web.headers import SafeHeaders
from fanal.hub.web.rates import Regulars

MOST_BYTES = 64 * 1024  # of any request but a delivery
PATIENCE_S = 30.0  # for a request to arrive whole

_NO_TELEMETRY: Any = {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}


def create_app(hub: Hub) -> FastAPI:
    """Return the application of a hub. `app.state.live.stop()` ends its streams: see `live`."""
    following, regulars = live.Live(hub.store.change), Regulars()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        following.stop()

    app = FastAPI(
        title="Fanal hub", openapi_url=None, docs_url=None, redoc_url=None,
        redirect_slashes=False, lifespan=lifespan, telemetry=_NO_TELEMETRY,
        middleware=[
            Middleware(SafeHeaders, is_https=hub.config.is_https),
            Middleware(Bounds, most=MOST_BYTES, most_of={deliver.PATH: MOST_DELIVERY_BYTES},
                       patience_s=PATIENCE_S),
            Middleware(Guard, hub=hub, regulars=regulars),
        ],
    )  # fmt: skip
    app.state.hub, app.state.pages, app.state.live = hub, environment(), following
    app.state.door, app.state.porter = deliver.Door(hub, regulars), login.Porter(hub)
    app.state.regulars = regulars
    for part in (deliver, login, live, pages, api):
        app.include_router(part.router)
    app.mount("/static", StaticFiles(directory=HERE / "static"))
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(FanalError, _failed)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_exception_handler(Exception, _unexpected)
    return app


async def _http(request: Request, problem: Exception) -> Response:
    assert isinstance(problem, HTTPException)
    sentence = {404: "There is no such page.", 405: "That cannot be done there."}.get(
        problem.status_code, problem.detail
    )
    answer = refuse(request.scope, problem.status_code, CODES.get(problem.status_code, "failed"),
                    sentence)  # fmt: skip
    answer.headers.update(problem.headers or {})
    return answer


async def _invalid(request: Request, problem: Exception) -> Response:
    assert isinstance(problem, RequestValidationError)
    # where, and never what: a value may be a password
    where = sorted({str(error["loc"][-1]) for error in problem.errors() if error["loc"]})
    if request.scope["path"].startswith("/incidents/"):
        return refuse(request.scope, 404, "not_found", "There is no such page.")
    return refuse(request.scope, 422, "invalid", f"Not as it should be: {', '.join(where)[:200]}.")


async def _failed(request: Request, problem: Exception) -> Response:
    if isinstance(problem, WebRefusal):
        return refuse(request.scope, problem.status, problem.code, problem.sentence, problem.hint,
                      retry_s=problem.retry_s)  # fmt: skip
    assert isinstance(problem, FanalError)
    return refuse_for(request.scope, problem)


async def _gone(_: Request, __: Exception) -> Response:
    # whoever hangs up in the middle is no failure of the hub, and no page of its log
    return Response(status_code=400)


async def _unexpected(request: Request, _: Exception) -> Response:
    return refuse(request.scope, 500, "failed", "The hub failed at this.", "Its log says more.")
