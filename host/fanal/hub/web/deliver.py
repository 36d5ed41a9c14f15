"""The door for deliveries, the only thing that strangers may send to: short in, shorter out."""

import asyncio
from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from fanal.envelope import MOST_DELIVERY_BYTES, EnvelopeError
from fanal.error import FanalError
from fanal.hub.caps import Crowded
from fanal.hub.hub import Hub
from fanal.hub.inbox import Taken
from fanal.hub.web import condition
from fanal.hub.web.answers import refuse
from fanal.hub.web.rates import Buckets, Crowd, Regulars, source

PATH = "/deliver"
_KIND = "application/octet-stream"
_MOST_OPEN = 256  # deliveries that arrive or wait at one moment: 64 MiB at the most
_MOST_OPEN_EACH = 32
_MOST_REGULARS = 64  # beside those: strangers who send slowly must not shut the door
_BUSY_S = 5.0

router = APIRouter()
_REFUSAL = {
    "content": {"application/json": {"schema": {
        "type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"],
        "additionalProperties": False,
    }}}
}  # fmt: skip


def _told(description: str) -> dict[str, Any]:
    return {"description": description, **_REFUSAL}


class Door:
    """Who may put how much through at one time."""

    def __init__(self, hub: Hub, regulars: Regulars) -> None:
        self.rate = Buckets(hub.config.limits.address_deliveries)
        self.regulars = regulars
        self.crowd = Crowd(_MOST_OPEN, _MOST_OPEN_EACH)
        self._own = Crowd(_MOST_REGULARS, _MOST_OPEN_EACH)

    def crowd_of(self, address: str) -> Crowd:
        """Return among whom a delivery from there has to find a place."""
        return self._own if address in self.regulars else self.crowd


@router.post(
    PATH, status_code=204, response_class=Response,
    responses={
        204: {"description": "It was written down; send it no more."},
        400: _told("It will never be taken, with the reason."),
        408: _told("It did not arrive in time."), 413: _told("It is too long."),
        415: _told("It is not application/octet-stream."),
        429: _told("Too much from there; come again after Retry-After."),
        503: _told("The hub is busy; come again after Retry-After."),
    },
    openapi_extra={"requestBody": {"required": True, "content": {
        _KIND: {"schema": {"type": "string", "format": "binary",
                           "maxLength": MOST_DELIVERY_BYTES}}}}},
)  # fmt: skip
async def deliver(request: Request) -> Response:
    """Take a delivery of sealed groups; answered after it was written down, not before."""
    hub: Hub = request.app.state.hub
    door: Door = request.app.state.door
    address = source(request.scope)
    if hub.intake is None:
        return refuse(request.scope, 503, "closed", "", retry_s=60)
    if wait := door.rate.wait_s(address):
        return refuse(request.scope, 429, "often", "", retry_s=wait, close=True)
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _KIND:
        return refuse(request.scope, 415, "type", "", close=True)
    with door.crowd_of(address).place(address) as fits:
        if not fits:
            return refuse(request.scope, 503, "busy", "", retry_s=_BUSY_S, close=True)
        data = await request.body()
        return await _taken(request, hub.intake.submit, data, address, door.regulars)


async def _taken(
    request: Request,
    submit: Callable[[bytes, str], Any],
    data: bytes,
    address: str,
    regulars: Regulars,
) -> Response:
    try:
        # shielded: what the intake has begun is not taken back when the sender hangs up
        taken = await asyncio.shield(asyncio.wrap_future(submit(data, address)))
    except EnvelopeError as refused:
        return refuse(request.scope, 400, refused.code, "")
    except Crowded as crowded:
        return refuse(request.scope, 429, crowded.code, "", retry_s=crowded.retry_after_s)
    except FanalError:  # the queue is full, or the database does not write
        return refuse(request.scope, 503, "busy", "", retry_s=_BUSY_S)
    if isinstance(taken, Taken) and taken.is_enrolled:
        regulars.welcome(address)
    return Response(status_code=204)


@router.get(
    "/health",
    responses={200: {"description": "It runs, and what comes in is resolved."},
               503: _told("Its database does not answer, or what comes in is not resolved.")},
)  # fmt: skip
async def health(request: Request) -> Response:
    """Say whether this worker runs, and nothing else: anybody may ask."""
    hub: Hub = request.app.state.hub
    try:
        is_stuck = await run_in_threadpool(condition.unresolved, hub.store) is not None
    except FanalError:
        return refuse(request.scope, 503, "database", "", retry_s=_BUSY_S)
    if is_stuck:
        return refuse(request.scope, 503, "unresolved", "", retry_s=_BUSY_S)
    return JSONResponse({"ok": True})
