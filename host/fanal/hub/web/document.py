"""Pages: HTML made on the server from the templates beside this, every value escaped."""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse
from starlette.types import Scope

from fanal import beacon_name, whereabouts
from fanal.hub.accounts import OFFICER, RESPONDER
from fanal.hub.web import shown

HERE = Path(__file__).parent


@functools.cache
def environment() -> Environment:
    """Return what the pages are made with."""
    made = Environment(
        loader=FileSystemLoader(HERE / "templates"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, auto_reload=False,
    )  # fmt: skip
    words = (shown.exact, shown.offset_min, shown.machine, shown.lasting, shown.ago, shown.volts,
             shown.coordinates, shown.geo, shown.metres)  # fmt: skip
    made.globals.update({word.__name__: word for word in words})
    made.globals.update(beacon_shown=beacon_name.shown, whereabouts=whereabouts.shown,
                        FRESH_MS=shown.FRESH_MS)  # fmt: skip
    return made


def document(
    scope: Scope,
    template: str,
    content: Mapping[str, Any],
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> HTMLResponse:
    """Return a page. content: what its template shows beside what every page shows."""
    state = scope["app"].state
    session = scope.get("state", {}).get("session")
    common = {
        "session": session,
        "may_act": session is not None and session.user.may(RESPONDER),
        "is_officer": session is not None and session.user.may(OFFICER),
        "area": state.hub.config.area,
        "now_ms": state.hub.store.now_ms(),
        "change": None,
        "here": scope["path"],
    }
    text = state.pages.get_template(template).render({**common, **content})
    return HTMLResponse(text, status, headers)
