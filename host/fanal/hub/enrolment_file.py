"""What an officer hands to a hub, as one signed text: fields, their form, and whether they agree.

    signature (64 bytes) || JSON

The signature is Ed25519 by the fleet's signing key over "fanal/1 enrolment" and the JSON. All of it
goes into one age file, since it holds the sealing key and the next event key of every beacon. It
holds no root and no signing key. SPEC 1.1.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from fanal_protocol import keys

from fanal import certificate
from fanal.age_folder import secret
from fanal.beacon_record import MOST_EVENT, Revocation
from fanal.error import FanalError, IntegrityError

_CONTEXT = b"fanal/1 enrolment"
_SIGNATURE_BYTES = 64
_VERSION = 1
_LONGEST_TEXT = 400
_MOST_EPOCH = (1 << 31) - 1


@dataclass(frozen=True)
class EnrolledBeacon:
    """One beacon. public_key: 32 bytes; certificate: DER, None if only reserved.

    anchor: E_anchor_event, 32 bytes: the event before the newest that the officer's computer
    heard, so that nothing earlier can be derived from it. horizon: as of `Watched`, 0 if none.
    """

    beacon_id: str
    public_key: bytes
    certificate: bytes | None
    station: int
    site: str
    place: str
    profile: str
    newest_event: int
    anchor_event: int
    anchor: bytes = field(repr=False)
    revocation: Revocation | None = None
    horizon: int = 0


@dataclass(frozen=True)
class Enrolment:
    """All of a fleet that a hub may know. Certificates are DER; made_ms: by the officer's clock.

    sealing: the fleet's X25519 key, 32 bytes. retired: ids of beacons whose keys were erased.
    epoch: how often the officer's registry was restored from a backup.
    """

    made_ms: int
    fleet: bytes
    log: bytes
    sealing: bytes = field(repr=False)
    stations: Mapping[int, bytes]
    beacons: tuple[EnrolledBeacon, ...]
    retired: tuple[str, ...]
    epoch: int = 0


def signed(enrolment: Enrolment, signing_key: Ed25519PrivateKey) -> bytes:
    """Return the signed text of an enrolment. It is secret."""
    content = {
        "fanal": "enrolment", "version": _VERSION, "made_ms": enrolment.made_ms,
        "fleet": _written(enrolment.fleet), "log": _written(enrolment.log),
        "sealing": enrolment.sealing.hex(), "retired": list(enrolment.retired),
        "epoch": enrolment.epoch,
        "stations": {str(n): _written(der) for n, der in enrolment.stations.items()},
        "beacons": [_beacon_written(one) for one in enrolment.beacons],
    }  # fmt: skip
    text = json.dumps(content, separators=(",", ":")).encode("ascii")
    return signing_key.sign(_CONTEXT + text) + text


def read(plain: bytes, log_key: bytes) -> Enrolment:
    """Return the enrolment in a signed text, if it is whole, agrees with itself and is for us.

    log_key: the hub's own, 32 bytes, which it must certify. Whether its fleet is the right one
    remains to be seen. Raises IntegrityError, which quotes nothing, and FanalError (`newer`).
    """
    signature, text = plain[:_SIGNATURE_BYTES], plain[_SIGNATURE_BYTES:]
    try:
        content = json.loads(text)
        if content["fanal"] != "enrolment":
            raise ValueError("kind")
        if content["version"] != _VERSION:
            raise FanalError("The file was made by a newer Fanal.", "Update Fanal on the hub.", 7,
                             code="newer")  # fmt: skip
        enrolment = _enrolment(content)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise IntegrityError(
            "The file is no enrolment, or it is damaged.",
            "Have it made again with `fanal hub enrol`.",
            code="form",
        ) from None
    fleet = certificate.from_der(enrolment.fleet)
    try:
        Ed25519PublicKey.from_public_bytes(certificate.public_key_of(fleet)).verify(
            signature, _CONTEXT + text
        )
    except InvalidSignature:
        raise IntegrityError(
            "The file is not signed by the fleet that it names.",
            "Do not use it; have it made again with `fanal hub enrol`.",
            code="signature",
        ) from None
    _require_agreement(enrolment, fleet, log_key)
    return enrolment


def fleet_name(enrolment: Enrolment) -> str:
    """Return the fleet's name, made from its key and not taken from the certificate's text."""
    return certificate.fleet_name_in(certificate.from_der(enrolment.fleet))


def _require_agreement(enrolment: Enrolment, fleet: x509.Certificate, log_key: bytes) -> None:
    """Raise IntegrityError unless every certificate is in its chain and every id is its key's."""
    certificate.verify_log(certificate.from_der(enrolment.log), fleet, log_key)
    stations = {n: certificate.from_der(der) for n, der in enrolment.stations.items()}
    for number, station in stations.items():
        certificate.verify_station(number, station, fleet)
    for beacon in enrolment.beacons:
        name = beacon.beacon_id
        if keys.beacon_id(beacon.public_key) != name or beacon.station not in stations:
            raise IntegrityError(f"Beacon {name} does not fit its key or station.", code="chain")
        if beacon.certificate is not None:
            certificate.verify_chain(
                certificate.from_der(beacon.certificate), stations[beacon.station], fleet,
                beacon_id=name, public_key=beacon.public_key,
            )  # fmt: skip


def _enrolment(content: Mapping[str, Any]) -> Enrolment:
    beacons = tuple(_beacon_read(one) for one in content["beacons"])
    retired = tuple(_text(one) for one in content["retired"])
    ids = [beacon.beacon_id for beacon in beacons]
    if len(set(ids)) != len(ids) or set(ids) & set(retired):
        raise ValueError("twice")
    return Enrolment(
        _number(content["made_ms"], 0, 1 << 53), _der(content["fleet"]), _der(content["log"]),
        secret(content["sealing"]),
        {_number(int(n), 0, 0xFFFF): _der(der) for n, der in content["stations"].items()},
        beacons, retired, _number(content.get("epoch", 0), 0, _MOST_EPOCH),
    )  # fmt: skip


def _beacon_written(beacon: EnrolledBeacon) -> dict[str, Any]:
    told = beacon.revocation
    return {
        "id": beacon.beacon_id, "public_key": beacon.public_key.hex(),
        "certificate": None if beacon.certificate is None else _written(beacon.certificate),
        "station": beacon.station, "site": beacon.site, "place": beacon.place,
        "profile": beacon.profile, "newest_event": beacon.newest_event,
        "anchor_event": beacon.anchor_event, "anchor": beacon.anchor.hex(),
        "revoked": None if told is None else [told.at_ms, told.reason],
        **({"horizon": beacon.horizon} if beacon.horizon else {}),
    }  # fmt: skip


def _beacon_read(content: Mapping[str, Any]) -> EnrolledBeacon:
    revoked, der = content["revoked"], content["certificate"]
    newest = _number(content["newest_event"], 0, MOST_EVENT)
    return EnrolledBeacon(
        _text(content["id"]), secret(content["public_key"]), None if der is None else _der(der),
        _number(content["station"], 0, 0xFFFF), _text(content["site"]), _text(content["place"]),
        _text(content["profile"]), newest,
        _number(content["anchor_event"], 1, max(1, newest)), secret(content["anchor"]),
        None if revoked is None else Revocation(_number(revoked[0], 0, 1 << 53), _text(revoked[1])),
        _number(content.get("horizon", 0), 0, MOST_EVENT),
    )  # fmt: skip


def _written(der: bytes) -> str:
    return base64.b64encode(der).decode("ascii")


def _der(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _number(value: Any, least: int, most: int) -> int:
    if type(value) is not int or not least <= value <= most:  # a bool is an int to Python
        raise ValueError("number")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > _LONGEST_TEXT or not value.isprintable():
        raise ValueError("text")
    return value
