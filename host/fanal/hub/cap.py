"""An incident as an OASIS Common Alerting Protocol 1.2 message. Pure.

How the words are chosen (CAP 1.2, 3.2.1 and 3.2.2):

- status: Actual for ALERT, Exercise for DRILL (its <note> then names the exercise), Test for TEST.
  What may be a replay keeps its status, urgency and severity, and says so in <note>, the headline
  and a parameter.
- scope Private with <addresses>: it is for those who were named, and for nobody else.
- category Security (law enforcement) and Rescue: somebody is to be got out of somebody's hands.
- urgency: Immediate ("should be taken immediately") until it is closed, then Past ("no longer
  required"), with the response AllClear.
- certainty: Observed if the beacon's own signature is here, and it is none that may be a replay,
  where a signature says nothing of when; else Likely if an enrolled listener heard it, Possible if
  none did; Unlikely for what only replays say and for a false alarm.
- Cancel takes back a message that should not have been: closed as false alarm or duplicate. What
  was real and is over (help arrived, drill over) is an Update: what was said of it stays true.
"""

import xml.etree.ElementTree as ET
from dataclasses import dataclass
from datetime import UTC, datetime

from fanal import sighting
from fanal.beacon_name import shown as beacon_shown
from fanal.hub import actions
from fanal.hub.channel_config import FULL
from fanal.hub.incident_record import Incident
from fanal.hub.message import CANCEL
from fanal.hub.tables import DONE, SIGNED
from fanal.printable import printable
from fanal.whereabouts import shown as place_shown

NAMESPACE = "urn:oasis:names:tc:emergency:cap:1.2"
CONTENT_TYPE = "application/cap+xml"
CANCELLED_BY = (actions.FALSE_ALARM, actions.DUPLICATE)  # reasons to close

_STATUS = {sighting.ALERT: "Actual", sighting.DRILL: "Exercise", sighting.TEST: "Test"}
_EXPIRES_MS = 24 * 3600 * 1000  # no event lasts longer (SPEC 2)
_FORBIDDEN = str.maketrans(dict.fromkeys(" ,<&\t\r\n", "_"))  # in identifier and sender
_MOST_MS = 253_402_300_799_999  # the end of the year 9999


@dataclass(frozen=True, slots=True)
class Envelope:
    """Who says it to whom, and which earlier messages it is about.

    message: Alert, Update or Cancel. references: (identifier, sent_ms) of earlier messages.
    sender_name: as people know the hub, "" if they do not.
    """

    identifier: str
    sender: str
    sent_ms: int
    message: str
    addresses: tuple[str, ...]
    references: tuple[tuple[str, int], ...] = ()
    sender_name: str = ""


def xml(envelope: Envelope, incident: Incident, headline: str, closed_as: str, detail: str,
        url: str) -> str:  # fmt: skip
    """Return the message as XML text. detail: FULL, or MINIMAL without beacon and place.

    closed_as: the reason for which it was closed, "" if it is not.
    """
    alert = ET.Element("alert", xmlns=NAMESPACE)
    sender = plain_name(envelope.sender)
    for name, value in (
        ("identifier", plain_name(envelope.identifier)),
        ("sender", sender),
        ("sent", time(envelope.sent_ms)),
        ("status", _STATUS[incident.kind]),
        ("msgType", envelope.message),
        ("scope", "Private"),
        ("addresses", " ".join(map(_address, envelope.addresses))),
        ("note", _note(incident)),
        ("references", " ".join(
            f"{sender},{plain_name(one)},{time(at_ms)}" for one, at_ms in envelope.references)),
        ("incidents", f"fanal-{incident.id}"),
    ):  # fmt: skip
        _add(alert, name, value)
    _info(ET.SubElement(alert, "info"), envelope, incident, headline, closed_as, detail, url)
    return ET.tostring(alert, encoding="unicode", xml_declaration=False)


def document(text: str) -> bytes:
    """Return XML text as the bytes of a document: UTF-8, with its declaration."""
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + text.encode("utf-8")


def time(at_ms: int) -> str:
    """Return Unix ms as CAP wants it: seconds, with an offset, and -00:00 for UTC (3.3.2)."""
    at = datetime.fromtimestamp(max(0, min(at_ms, _MOST_MS)) // 1000, UTC)
    return at.strftime("%Y-%m-%dT%H:%M:%S-00:00")


def plain_name(text: str) -> str:
    """Return an identifier or sender without space, comma, < and & (3.2.1)."""
    return printable(text.translate(_FORBIDDEN)) or "_"


def _info(info: ET.Element, envelope: Envelope, incident: Incident, headline: str,
          closed_as: str, detail: str, url: str) -> None:  # fmt: skip
    is_over = incident.state == DONE
    is_test = incident.kind == sighting.TEST
    prefix = "" if incident.kind == sighting.ALERT else f"{incident.kind}: "
    onset = incident.first_heard_ms if incident.began_ms is None else incident.began_ms
    for name, value in (
        ("language", "en"),
        ("category", "Security"),
        ("category", "Rescue"),
        ("event", f"{prefix}silent alarm"),
        ("responseType", "AllClear" if is_over else "None" if is_test else "Execute"),
        ("urgency", "Past" if is_over else "Unknown" if is_test else "Immediate"),
        ("severity", "Minor" if is_test else "Severe"),
        ("certainty", certainty(incident, envelope.message, closed_as)),
        ("onset", time(onset)),
        ("expires", time(envelope.sent_ms + _EXPIRES_MS)),
        ("senderName", envelope.sender_name),
        ("headline", headline),
        ("web", url),
    ):
        _add(info, name, value)
    for key, value in _parameters(incident, closed_as, detail):
        parameter = ET.SubElement(info, "parameter")
        _add(parameter, "valueName", f"fanal:{key}")
        _add(parameter, "value", value)
    if detail == FULL:
        _area(info, incident)


def _note(incident: Incident) -> str:
    is_real = incident.kind == sighting.ALERT
    of = "" if is_real else f"{incident.kind} {incident.id}"
    return ", ".join(filter(None, (of, "may be a replay" if incident.may_be_replay else "")))


def certainty(incident: Incident, message: str, closed_as: str) -> str:
    """Return how sure it is, in CAP's words."""
    if incident.is_replay or message == CANCEL or closed_as == actions.FALSE_ALARM:
        return "Unlikely"
    if incident.signature == SIGNED and not incident.may_be_replay:
        return "Observed"
    return "Likely" if incident.is_confirmed else "Possible"


def _parameters(incident: Incident, closed_as: str, detail: str) -> list[tuple[str, str]]:
    shown = [("kind", incident.kind), ("incident", str(incident.id)), ("state", incident.state)]
    if incident.may_be_replay:
        shown.append(("may_be_replay", "yes"))
    if closed_as:
        shown.append(("closed_as", closed_as))
    if detail == FULL:
        shown += [
            ("beacon", beacon_shown(incident.beacon)), ("event", str(incident.event)),
            ("signature", incident.signature), ("first_heard", time(incident.first_heard_ms)),
            ("first_received", time(incident.first_received_ms)),
            ("last_heard", time(incident.last_heard_ms)),
        ]  # fmt: skip
        if incident.revoked_reason is not None:
            shown.append(("revoked", incident.revoked_reason or "yes"))
    return shown


def _area(info: ET.Element, incident: Incident) -> None:
    where, at = place_shown(incident.site, incident.place), incident.position
    if not where and at is None:
        return
    area = ET.SubElement(info, "area")
    installed = "installed at" if incident.profile == "fixed" else "given out at"
    _add(area, "areaDesc", f"Beacon {installed} {where}" if where else "Estimate")
    if at is not None:
        # in kilometres; a radius of 0 would be a point
        _add(area, "circle", f"{at.latitude:.6f},{at.longitude:.6f} {at.accuracy_m / 1000:.3f}")


def _address(text: str) -> str:
    text = printable(text).replace('"', "'")
    return f'"{text}"' if " " in text else text


def _add(parent: ET.Element, name: str, value: str) -> None:
    """Add an element; what is empty says nothing and is left out. No character breaks the XML."""
    if value:
        ET.SubElement(parent, name).text = printable(value)
