"""What gateways that people own already publish over MQTT: the frame in it, if it is one of ours.

Theengs Gateway and OpenMQTTGateway publish one JSON object for each service data that they hear,
on BASE/GATEWAY/BTtoMQTT/ADDRESS. Nothing of it is sealed or signed and no time is in it: who may
publish on the broker may say anything, and it was heard when it came. docs/gateways.md.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

from fanal_protocol.advert import SERVICE_UUID

from fanal.envelope import MOST_PAYLOAD_BYTES
from fanal.heard import known_rssi

MOST_MESSAGE_BYTES = 4096

_TOPIC = re.compile(r"([^/+#]+(?:/[^/+#]+)*)/BTtoMQTT(?:/[^/+#]+){1,2}")
_MOST_TOPIC = 200
_UUID = re.compile(r"(?:0x)?([0-9a-f]{4})|0000([0-9a-f]{4})-0000-1000-8000-00805f9b34fb")
_HEX = re.compile(r"(?:[0-9a-f]{2})+")


@dataclass(frozen=True, slots=True)
class Foreign:
    """One payload that such a gateway heard.

    gateway: what its topic says before /BTtoMQTT. payload: the service data behind the UUID,
    1 to 31 bytes, trusted for nothing. rssi_dbm: None if unknown.
    """

    gateway: str
    payload: bytes
    rssi_dbm: int | None


def read(topic: str, payload: bytes, service_uuid: int = SERVICE_UUID) -> Foreign | None:
    """Return the frame in a message, None if there is none of ours in it. Never raises.

    topic, payload: untrusted.
    """
    gateway = _gateway(topic)
    fields = _fields(payload)
    if gateway is None or fields is None:
        return None
    uuid, data = fields.get("servicedatauuid"), fields.get("servicedata")
    if not isinstance(uuid, str) or not isinstance(data, str):
        return None
    named = _UUID.fullmatch(uuid.lower())
    if named is None or int(named[1] or named[2], 16) != service_uuid:
        return None
    if len(data) > 2 * MOST_PAYLOAD_BYTES or not _HEX.fullmatch(data.lower()):
        return None
    return Foreign(gateway, bytes.fromhex(data), _rssi(fields.get("rssi")))


def _gateway(topic: str) -> str | None:
    if len(topic) > _MOST_TOPIC or not topic.isprintable():
        return None
    found = _TOPIC.fullmatch(topic)
    return found[1] if found else None


def _fields(payload: bytes) -> dict[str, Any] | None:
    """Return the fields of a JSON object that says each thing once, None for anything else."""
    if len(payload) > MOST_MESSAGE_BYTES:
        return None
    try:
        # UTF-8 alone: json would guess at UTF-16 and UTF-32
        found = json.loads(str(payload, "utf-8"), object_pairs_hook=_once, parse_constant=_refused)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a name twice")
    return fields


def _refused(constant: str) -> None:
    raise ValueError(constant)


def _rssi(value: Any) -> int | None:
    # a frame is worth more than a strength that is none; a bool is an int to Python
    if type(value) is not int or not -127 <= value <= 20:
        return None
    return known_rssi(value)
