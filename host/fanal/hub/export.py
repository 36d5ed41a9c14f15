"""One incident as a file: everything the hub has of it, its kind on top. No key is in it."""

import json
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from fanal.hub import hub_log, view
from fanal.hub.incident_record import as_json, rfc3339
from fanal.hub.store import Store
from fanal.hub.tables import IncidentRow

_PAGE = 500


@dataclass(frozen=True, slots=True)
class Export:
    """A file's content, JSON in UTF-8, and how many sightings are in it."""

    kind: str
    sightings: int
    content: bytes


def incident(store: Store, incident_id: int, who: str = hub_log.COMMAND_LINE) -> Export:
    """Return incident `incident_id` with all its sightings, oldest last. Raises ActionError.

    who: takes it; the hub's log says so from then on, and which file it was.
    """
    found = view.incident(store, incident_id, with_evidence=True, limit=_PAGE)
    sightings, following = list(found.sightings.items), found.sightings.next
    while following is not None:
        page = view.sightings(store, incident_id, following, _PAGE, with_evidence=True)
        sightings += page.items
        following = page.next
    now_ms = store.now_ms()
    body: dict[str, Any] = {"kind": found.kind, "fanal": "incident", "version": 1,
                            "made_ms": now_ms, "made": rfc3339(now_ms)}  # fmt: skip
    told = as_json(found)
    del told["close_reasons"]  # of the page, not of the incident
    body |= {**told, "sightings": as_json(sightings)}
    text = json.dumps(body, ensure_ascii=True, indent=1)
    content = text.encode("ascii") + b"\n"
    with store.writing() as session:
        hub_log.enter(session, hub_log.EXPORTED, now_ms, who=who,
                      of=session.get_one(IncidentRow, incident_id),
                      detail=f"SHA-256 {sha256(content).hexdigest()}")  # fmt: skip
    return Export(found.kind, len(sightings), content)
