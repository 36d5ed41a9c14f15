"""The pages: incidents, one incident, listeners; and the forms on them."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import RedirectResponse, Response

from fanal import sighting
from fanal.hub import accounts, actions, listeners, view
from fanal.hub.accounts import OFFICER, RESPONDER
from fanal.hub.hub import Hub
from fanal.hub.tables import DONE, OPEN, TAKEN
from fanal.hub.web import condition
from fanal.hub.web.document import document
from fanal.hub.web.form import Visit, WebRefusal, sent_by, session_of

INCIDENTS, SIGHTINGS, STRANGERS, TRAIL = 50, 100, 50, 200  # on one page

router = APIRouter(include_in_schema=False)
Responder = Annotated[Visit, Depends(sent_by(RESPONDER))]
Officer = Annotated[Visit, Depends(sent_by(OFFICER))]

# what a list can show: word in its address -> (states, replays?)
_SHOWS: dict[str, tuple[tuple[str, ...], bool | None]] = {
    "current": ((OPEN, TAKEN), False),
    "open": ((OPEN,), False),
    "closed": ((DONE,), False),
    "all": ((), False),
    "replays": ((), True),
}
_KINDS = (sighting.ALERT, sighting.DRILL, sighting.TEST)


@router.get("/")
def incidents_page(
    request: Request, show: str = "current", kind: str = "", before: str | None = None
) -> Response:
    """Incidents, the newest first."""
    if show not in _SHOWS or kind not in ("", *_KINDS):
        raise WebRefusal(404, "not_found", "There is no such list.", "Begin at the first page.")
    states, is_replay = _SHOWS[show]
    which = view.Filter(states, (kind,) if kind else (), is_replay)
    return _told(request, "incidents.html", lambda store: {
        "page": view.incidents(store, which, before, INCIDENTS),
        "counts": view.counts(store), "show": show, "kind": kind, "before": before,
        "shows": tuple(_SHOWS), "kinds": _KINDS,
    })  # fmt: skip


@router.get("/incidents/{number}")
def incident_page(request: Request, number: int, before: str | None = None) -> Response:
    """One incident. before: which sightings."""
    is_officer = session_of(request).user.may(OFFICER)

    def content(store: Any) -> dict[str, Any]:
        whole = view.incident(store, number, with_evidence=is_officer, limit=SIGHTINGS)
        sightings = whole.sightings
        if before is not None:
            sightings = view.sightings(store, number, before, SIGHTINGS, with_evidence=is_officer)
        return {"view": whole, "incident": whole.incident, "sightings": sightings,
                "before": before, "users": accounts.users(store),
                "most_trail": TRAIL, "most_note": actions.MOST_NOTE,
                "most_line": actions.MOST_LINE}  # fmt: skip

    return _told(request, "incident.html", content)


@router.get("/listeners")
def listeners_page(request: Request) -> Response:
    """Who listens, and how each of them is."""

    def content(store: Any) -> dict[str, Any]:
        rows = listeners.listed(store)
        strangers = [row for row in rows if not row.is_enrolled]
        return {"enrolled": [row for row in rows if row.is_enrolled],
                "strangers": strangers[:STRANGERS],
                "more_strangers": max(0, len(strangers) - STRANGERS)}  # fmt: skip

    return _told(request, "listeners.html", content)


@router.post("/listeners/enrol")
def enrol(request: Request, visit: Officer) -> Response:
    """Give a listener a name: what it hears is confirmed from then on."""
    hub: Hub = request.app.state.hub
    listeners.enrol(hub.store, visit.text("listener"), visit.text("name"), visit.user.name)
    return RedirectResponse("/listeners", 303)


@router.post("/incidents/{number}/acknowledge")
def acknowledge(request: Request, number: int, visit: Responder) -> Response:
    """Take it."""
    hub: Hub = request.app.state.hub
    actions.acknowledge(hub.store, number, visit.user.name, changed=hub.changed)
    return _back(number)


@router.post("/incidents/{number}/assign")
def assign(request: Request, number: int, visit: Responder) -> Response:
    """Say whose it is."""
    hub: Hub = request.app.state.hub
    actions.assign(hub.store, number, visit.user.name, visit.text("to"), changed=hub.changed)
    return _back(number)


@router.post("/incidents/{number}/note")
def note(request: Request, number: int, visit: Responder) -> Response:
    """Add a note."""
    hub: Hub = request.app.state.hub
    actions.note(hub.store, number, visit.user.name, visit.text("text"), changed=hub.changed)
    return _back(number)


@router.post("/incidents/{number}/close")
def close(request: Request, number: int, visit: Responder) -> Response:
    """Close it, with a reason."""
    hub: Hub = request.app.state.hub
    actions.close(hub.store, number, visit.user.name, visit.text("reason"), visit.text("text"),
                  changed=hub.changed)  # fmt: skip
    return _back(number)


@router.post("/incidents/{number}/reopen")
def reopen(request: Request, number: int, visit: Responder) -> Response:
    """Open a closed one again."""
    hub: Hub = request.app.state.hub
    actions.reopen(hub.store, number, visit.user.name, visit.text("text"), changed=hub.changed)
    return _back(number)


def _back(number: int) -> Response:
    return RedirectResponse(f"/incidents/{number}", 303)


def _told(request: Request, template: str, content: Any) -> Response:
    """Return a page with the number of the change that it is as new as."""
    hub: Hub = request.app.state.hub
    # read first: what changes while the rest is read makes the page ask again
    change = hub.store.change()
    alerts = view.incidents(hub.store, view.Filter((OPEN,), (sighting.ALERT,), False), None, 1)
    is_officer = session_of(request).user.may(OFFICER)
    found = {"change": change, "ears": condition.ears(hub.store),
             "unresolved": condition.unresolved(hub.store),
             "unsigned": condition.unsigned(hub.store) if is_officer else None,
             "newest": next(iter(alerts.items), None), **content(hub.store)}  # fmt: skip
    return document(request.scope, template, found)
