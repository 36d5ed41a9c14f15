"""The JSON API: what the page shows and does, for programs. Its description is behind the login.

A program logs in as a person does: POST /login, then GET /api/v1/session tells the token that each
change brings along as X-CSRF-Token. Refusals are {"error": code, "message": sentence}.
"""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, ConfigDict, Field

from fanal.hub import actions, listeners, view
from fanal.hub.accounts import OFFICER, RESPONDER
from fanal.hub.actions import Done
from fanal.hub.hub import Hub
from fanal.hub.incident_record import Incident, IncidentView, Sighting, as_json
from fanal.hub.web import condition
from fanal.hub.web.described import REFUSALS, answer, closed, listing, record, refusals
from fanal.hub.web.form import require, session_of

MOST_LISTENERS = 500

router = APIRouter(prefix="/api/v1", responses=REFUSALS)

Number = Annotated[int, Path(ge=1, le=(1 << 63) - 1)]
Limit = Annotated[int, Query(ge=1, le=view.MOST_ROWS)]
Before = Annotated[
    str | None, Query(max_length=40, description="The `next` of the part of the list before.")
]
State = Literal["open", "acknowledged", "closed"]
Kind = Literal["ALERT", "DRILL", "TEST"]
_GONE = refusals(_404="There is no such incident.")
_DONE = answer(record(Done), "What came of it; `is_new` is false if it was so before.")
_CONFLICT = refusals(_404="There is no such incident.", _409="Not in the state it is in.")
_TEXT = {"type": "string"}
_NUMBER = {"type": "integer"}


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Assign(_Body):
    """To whom."""

    to: str = Field(min_length=1, max_length=actions.MOST_NAME)


class Note(_Body):
    """What to write down: plain text, lines ended by \\n."""

    text: str = Field(min_length=1, max_length=actions.MOST_NOTE)


class Close(_Body):
    """Why, and one more line of text; "other" needs it."""

    reason: Literal["help arrived", "false alarm", "drill over", "test", "duplicate", "other"]
    text: str = Field("", max_length=actions.MOST_LINE)


class Reopen(_Body):
    """Why: one line."""

    reason: str = Field(min_length=1, max_length=actions.MOST_LINE)


class Enrol(_Body):
    """What the listener is called from now on."""

    name: str = Field(min_length=1, max_length=40)


@router.get("/session", responses=answer(closed(name=_TEXT, role=_TEXT, csrf=_TEXT)))
def session(request: Request) -> Any:
    """Who is logged in, and the token for X-CSRF-Token."""
    found = session_of(request)
    return {"name": found.user.name, "role": found.user.role, "csrf": found.csrf}


@router.get("/incidents", responses=answer(listing(Incident)))
def incidents(
    request: Request,
    state: Annotated[list[State], Query()] = [],  # noqa: B006  # FastAPI copies it
    kind: Annotated[list[Kind], Query()] = [],  # noqa: B006
    is_replay: bool | None = None,
    before: Before = None,
    limit: Limit = 50,
) -> Any:
    """Incidents, the newest received first."""
    which = view.Filter(tuple(state), tuple(kind), is_replay)
    return as_json(view.incidents(_hub(request).store, which, before, limit))


@router.get("/incidents/{number}", responses=answer(record(IncidentView)) | _GONE)
def incident(request: Request, number: Number) -> Any:
    """One incident whole, with its newest 100 sightings; evidence for officers only."""
    return as_json(view.incident(_hub(request).store, number, with_evidence=_is_officer(request)))


@router.get("/incidents/{number}/sightings", responses=answer(listing(Sighting)) | _GONE)
def sightings(request: Request, number: Number, before: Before = None, limit: Limit = 100) -> Any:
    """Sightings of one incident, the newest heard first."""
    return as_json(
        view.sightings(_hub(request).store, number, before, limit,
                       with_evidence=_is_officer(request))
    )  # fmt: skip


@router.post("/incidents/{number}/acknowledge", responses=_DONE | _CONFLICT)
def acknowledge(request: Request, number: Number) -> Any:
    """Say that somebody acts."""
    hub, who = _hub(request), _by(request, RESPONDER)
    return as_json(actions.acknowledge(hub.store, number, who, changed=hub.changed))


@router.post("/incidents/{number}/assign", responses=_DONE | _CONFLICT)
def assign(request: Request, number: Number, body: Assign) -> Any:
    """Say whose it is."""
    hub, who = _hub(request), _by(request, RESPONDER)
    return as_json(actions.assign(hub.store, number, who, body.to, changed=hub.changed))


@router.post("/incidents/{number}/note", responses=_DONE | _CONFLICT)
def note(request: Request, number: Number, body: Note) -> Any:
    """Add a note."""
    hub, who = _hub(request), _by(request, RESPONDER)
    return as_json(actions.note(hub.store, number, who, body.text, changed=hub.changed))


@router.post("/incidents/{number}/close", responses=_DONE | _CONFLICT)
def close(request: Request, number: Number, body: Close) -> Any:
    """Close it."""
    hub, who = _hub(request), _by(request, RESPONDER)
    return as_json(
        actions.close(hub.store, number, who, body.reason, body.text, changed=hub.changed)
    )


@router.post("/incidents/{number}/reopen", responses=_DONE | _CONFLICT)
def reopen(request: Request, number: Number, body: Reopen) -> Any:
    """Open a closed one again."""
    hub, who = _hub(request), _by(request, RESPONDER)
    return as_json(actions.reopen(hub.store, number, who, body.reason, changed=hub.changed))


@router.get(
    "/listeners",
    responses=answer(closed(items={"type": "array", "items": record(listeners.Listener)},
                            left_out=_NUMBER)),
)  # fmt: skip
def all_listeners(request: Request) -> Any:
    """Enrolled listeners, then the newest others; 500 at the most, and how many were left out."""
    found = listeners.listed(_hub(request).store)
    return {"items": as_json(found[:MOST_LISTENERS]),
            "left_out": max(0, len(found) - MOST_LISTENERS)}  # fmt: skip


@router.post(
    "/listeners/{key:path}/enrol",
    responses=answer(record(listeners.Listener)) | refusals(
        _404="No such listener was heard of.", _409="Another one has that name."),
)  # fmt: skip
def enrol(request: Request, key: Annotated[str, Path(max_length=200)], body: Enrol) -> Any:
    """Give a listener a name; what it hears is confirmed from then on. For officers."""
    who = _by(request, OFFICER)
    return as_json(listeners.enrol(_hub(request).store, key, body.name, who))


@router.get("/health", responses=answer({"type": "object"}))
def health(request: Request) -> Any:
    """How the hub is: incidents by kind and state, listeners that fail, what waits, and what of
    the log is not signed."""
    store = _hub(request).store
    return {"change": store.change(), "incidents": view.counts(store),
            "listeners": as_json(condition.ears(store)),
            "waiting": condition.waiting(store),
            "unsigned": as_json(condition.unsigned(store))}  # fmt: skip


@router.get("/openapi.json", include_in_schema=False)
def description(request: Request) -> Any:
    """This API, the door for deliveries, and the health check."""
    app = request.app
    if app.openapi_schema is None:
        app.openapi_schema = get_openapi(title=app.title, version="1", routes=app.routes)
    return app.openapi_schema


def _hub(request: Request) -> Hub:
    hub: Hub = request.app.state.hub
    return hub


def _is_officer(request: Request) -> bool:
    return session_of(request).user.may(OFFICER)


def _by(request: Request, role: str) -> str:
    """Return the name of the user, who must be allowed to do what `role` may."""
    user = session_of(request).user
    require(user, role)
    return user.name
