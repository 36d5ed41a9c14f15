"""What an officer hands to a laptop, as one signed text: its form, and whether it agrees.

    signature (64 bytes) || JSON

The signature is Ed25519 by the fleet's signing key over "fanal/1 station" and the JSON. All of it
goes into one age file, since it holds the station's root. No other root and no signing key is in
it: the station's own was made on the laptop and never leaves it. It also says what the station's
records are to be sealed to on their way back, which so is the fleet's word. SPEC 1.1.
"""

import base64
import json
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from fanal import age_file, certificate
from fanal.error import FanalError, IntegrityError, UsageError
from fanal.request_line import LETTERS
from fanal.short_name import short_name

MOST_BYTES = 1 << 16  # sealed; it has two kilobytes

_CONTEXT = b"fanal/1 station"
_SIGNATURE_BYTES = 64
_VERSION = 1


@dataclass(frozen=True)
class StationFile:
    """A station as its laptop gets it. root: F_t, 32 bytes; fleet, station: certificates, DER.

    office: what its records are sealed to, "age1..."; "" in a file of an older Fanal.
    """

    number: int
    root: bytes = field(repr=False)
    fleet: bytes
    station: bytes
    office: str = field(default="", kw_only=True)

    @property
    def fleet_key(self) -> bytes:
        """The fleet's public key, 32 bytes."""
        return certificate.public_key_of(certificate.from_der(self.fleet))


def fleet_fingerprint(public_key: bytes) -> str:
    """Return 16 letters that people compare to know that a fleet is theirs."""
    return short_name(b"fanal/1 fleet ", public_key, LETTERS)


def signed(content: StationFile, signing_key: Ed25519PrivateKey) -> bytes:
    """Return the signed text. It is secret."""
    text = json.dumps({
        "fanal": "station file", "version": _VERSION, "number": content.number,
        "root": content.root.hex(), "fleet": base64.b64encode(content.fleet).decode(),
        "station": base64.b64encode(content.station).decode(), "office": content.office,
    }, separators=(",", ":")).encode("ascii")  # fmt: skip
    return signing_key.sign(_CONTEXT + text) + text


def read(plain: bytes, public_key: bytes) -> StationFile:
    """Return the station in a signed text, if it is whole, agrees with itself and is for us.

    public_key: of our own signing key, 32 bytes, which it must certify. Whether its fleet is the
    right one remains to be seen. Raises IntegrityError, which quotes nothing, and FanalError.
    """
    signature, text = plain[:_SIGNATURE_BYTES], plain[_SIGNATURE_BYTES:]
    try:
        content = json.loads(text)
        if content["fanal"] != "station file":
            raise ValueError("kind")
        if content["version"] != _VERSION:
            raise FanalError("The file was made by a newer Fanal.", "Update Fanal here.", 7,
                             code="newer")  # fmt: skip
        number, root = content["number"], bytes.fromhex(content["root"])
        if type(number) is not int or not 0 <= number <= 0xFFFF or len(root) != 32:
            raise ValueError("number or root")
        found = StationFile(number, root, *(base64.b64decode(content[name], validate=True)
                                            for name in ("fleet", "station")),
                            office=content.get("office", ""))  # fmt: skip
        if found.office != "":
            age_file.recipient(found.office)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, UsageError):
        raise IntegrityError(
            "The file is no station's, or it is damaged.",
            "Have it made again with `fanal station create`.",
            code="form",
        ) from None
    try:
        Ed25519PublicKey.from_public_bytes(found.fleet_key).verify(signature, _CONTEXT + text)
    except InvalidSignature:
        raise IntegrityError(
            "The file is not signed by the fleet that it names.",
            "Do not use it; have it made again with `fanal station create`.",
            code="signature",
        ) from None
    _require_ours(found, public_key)
    return found


def _require_ours(found: StationFile, public_key: bytes) -> None:
    fleet, station = certificate.from_der(found.fleet), certificate.from_der(found.station)
    certificate.verify_station(found.number, station, fleet)
    if certificate.public_key_of(station) != public_key:
        raise IntegrityError(
            "The file certifies another key than this laptop's.",
            "Have it made for the line that `fanal station request` prints here.",
            code="not_for_us",
        )
