"""What a message that leaves the hub says, in JSON and in a line of words. Pure.

The JSON follows Standard Webhooks: `type`, `timestamp`, `data`. A channel whose detail is
MINIMAL is told the kind, the number and where to look, and neither beacon nor place. Whether it may
be a replay is told to all: it is for whoever goes there.
"""

from typing import Any

from fanal.beacon_name import shown as beacon_shown
from fanal.hub.channel_config import FULL
from fanal.hub.incident_record import Incident, as_json, rfc3339
from fanal.hub.tables import ListenerRow
from fanal.printable import printable
from fanal.whereabouts import shown as place_shown

ALERT, UPDATE, CANCEL = "Alert", "Update", "Cancel"  # as CAP 1.2 calls them
_LONGEST = 160  # of a headline, as CAP 1.2 advises

_ALARMS = {
    "silent": "says nothing any more",
    "lost": "went without a word",
    "deaf": "has a radio that failed",
    "quiet": "hears no Bluetooth at all",
}
_UNSURE = "MAY BE A REPLAY of what it said before; act as on any other, and check by another way"
_IS_BACK = {"heard again": "is heard again", "hears again": "hears again"}


def of_incident(
    incident: Incident, message: str, why: str, closed_as: str, at_ms: int, detail: str, url: str
) -> dict[str, Any]:
    """Return what is said of an incident. why: what changed; closed_as: the reason, or ""."""
    data = {
        "kind": incident.kind,
        "may_be_replay": incident.may_be_replay,
        "message": message,
        "why": printable(why),
        "number": incident.id,
        "state": incident.state,
        "closed_as": printable(closed_as) or None,
        "url": url,
        "incident": as_json(incident) if detail == FULL else None,
    }
    return {"type": f"incident.{message.lower()}", "timestamp": rfc3339(at_ms), "data": data}


def of_listener(row: ListenerRow, name: str, what: str, at_ms: int, url: str) -> dict[str, Any]:
    """Return what is said of a listener. what: a word of `listener_health`."""
    data = {
        "listener": printable(row.key),
        "listener_name": printable(name),
        "what": printable(what),
        "is_alarm": what in _ALARMS,
        "last_received_ms": row.last_received_ms,
        "last_received": rfc3339(row.last_received_ms),
        "url": url,
    }
    return {"type": "listener.changed", "timestamp": rfc3339(at_ms), "data": data}


def headline(content: dict[str, Any]) -> str:
    """Return the message in one line; that of an incident begins with ALERT, DRILL or TEST."""
    data = content["data"]
    if "listener_name" in data:
        how = {**_ALARMS, **_IS_BACK}.get(data["what"], data["what"])
        return f"LISTENER: {data['listener_name']} {how}"[:_LONGEST]
    why = data["closed_as"] or data["why"]
    cancelled = "cancelled, " if data["message"] == CANCEL else ""
    unsure = "may be a replay, " if _may_be_replay(data) else ""
    line = f"{data['kind']}: {unsure}incident {data['number']}, {cancelled}{why}"
    incident = data["incident"]
    if incident is not None:
        where = place_shown(incident["site"], incident["place"])
        line += f", beacon {beacon_shown(incident['beacon'])}, {where}"
    return printable(line, _LONGEST)


def in_words(content: dict[str, Any]) -> str:
    """Return the message as a few lines of plain text."""
    data = content["data"]
    lines = [headline(content), "", f"Made:  {content['timestamp']}"]
    if "listener_name" in data:
        lines += [f"Last received:  {data['last_received']}"]
    else:
        unsure = f", {_UNSURE}" if _may_be_replay(data) else ""
        lines += [f"Kind:  {data['kind']}{unsure}", f"State:  {data['state']}"]
        lines += _facts(data["incident"])
    return "\n".join([*lines, "", data["url"], ""])


def _may_be_replay(data: dict[str, Any]) -> bool:
    # what waited in the outbox since before this word was in it
    return bool(data.get("may_be_replay"))


def _facts(incident: dict[str, Any] | None) -> list[str]:
    if incident is None:
        return []
    facts = [
        f"Beacon:  {beacon_shown(incident['beacon'])}, event {incident['event']}",
        f"Place:  {printable(place_shown(incident['site'], incident['place']))}",
        f"First heard:  {incident['first_heard']}",
        f"First received:  {incident['first_received']}",
        f"Last heard:  {incident['last_heard']}",
        f"Signature:  {incident['signature']}",
        f"Heard by an enrolled listener:  {'yes' if incident['is_confirmed'] else 'no'}",
    ]
    if incident["revoked_reason"] is not None:
        facts.append(f"REVOKED:  {printable(incident['revoked_reason'])}")
    if (at := incident["position"]) is not None:
        facts.append(
            f"Estimate:  {at['latitude']:.5f}, {at['longitude']:.5f}, within"
            f" {at['accuracy_m']:.0f} m ({at['source']})"
        )
    return facts
