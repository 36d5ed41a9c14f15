"""Refusals: one sentence, as a page for people, as an object for programs.

An object is {"error": code, "message": sentence}; at the door for deliveries it is the code alone,
so that no answer is longer than what was asked.
"""

import math

from starlette.responses import JSONResponse, Response
from starlette.types import Scope

from fanal.error import EnvironmentFault, FanalError
from fanal.hub.web.document import document

API = "/api/"
DOOR = ("/deliver", "/health")

CODES = {400: "form", 401: "login", 403: "forbidden", 404: "not_found", 405: "method",
         408: "slow", 409: "conflict", 413: "size", 415: "type", 422: "invalid", 429: "often",
         500: "failed", 503: "busy"}  # fmt: skip
_STATUS = {"not_found": 404, "closed": 409, "not_closed": 409, "exists": 409, "no_listener": 404,
           "several": 409, "name_taken": 409}  # fmt: skip


def refuse(
    scope: Scope,
    status: int,
    code: str,
    sentence: str,
    hint: str = "",
    *,
    retry_s: float | None = None,
    close: bool = False,
) -> Response:
    """Return a refusal in the form that fits who asked. retry_s: when to ask again."""
    headers = {}
    if retry_s is not None:
        headers["Retry-After"] = str(max(1, math.ceil(retry_s)))
    if close:
        headers["Connection"] = "close"
    path = scope["path"]
    if path in DOOR:
        return JSONResponse({"error": code}, status, headers)
    if path.startswith(API):
        return JSONResponse({"error": code, "message": f"{sentence} {hint}".strip()}, status,
                            headers)  # fmt: skip
    return document(scope, "error.html", {"status": status, "sentence": sentence, "hint": hint},
                status, headers)  # fmt: skip


def refuse_for(scope: Scope, problem: FanalError) -> Response:
    """Return the refusal for what went wrong."""
    if isinstance(problem, EnvironmentFault):
        return refuse(scope, 503, problem.code, problem.sentence, problem.hint, retry_s=5)
    status = _STATUS.get(problem.code, 422)
    # what a command would do next is no help in a browser
    hint = "" if "`" in problem.hint else problem.hint
    return refuse(scope, status, problem.code, problem.sentence, hint)
