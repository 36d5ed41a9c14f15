"""One file for the volunteers of an area: to whom to seal, and where to send. Nothing secret.

Whoever can change it on its way makes a volunteer seal to somebody else, so it has a fingerprint of
eight letters to compare by telephone. It comes from outside: everything in it is checked.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from fanal_protocol.advert import SERVICE_UUID

from fanal.envelope import EnvelopeError, Sealer
from fanal.error import EnvironmentFault, FanalError, UsageError
from fanal.private_file import write_private
from fanal.short_name import short_name

VERSION = 1
LONGEST_AREA = 60
MOST_BYTES = 64 * 1024

_SCHEMES = ("https", "http", "mqtts", "mqtt")
_PLAIN = ("http", "mqtt")
_LOCAL = ("localhost", "127.0.0.1", "::1")
_TOPIC = re.compile(r"/fanal/1/[^/+#]+")
_FIELDS = {"fanal", "version", "area", "recipient", "relay", "service_uuid", "ca_pem"}


class BundleError(FanalError):
    """A bundle that cannot be used. code: bundle, newer."""

    exit_code = 4
    code = "bundle"


@dataclass(frozen=True, slots=True)
class Bundle:
    """What a volunteer is given.

    area: 1 to 60 letters. recipient: the fleet's public sealing key, "age1...". relay: the URL
    of the door: "https://host/deliver", "mqtts://host:8883/fanal/1/AREA", or the same unencrypted
    with http or mqtt. service_uuid: 16 bits. ca_pem: the certificates to trust instead of the
    system's, or None.
    """

    area: str
    recipient: str
    relay: str
    service_uuid: int = SERVICE_UUID
    ca_pem: str | None = None

    @property
    def fingerprint(self) -> str:
        """Eight letters for all that is in it, such as "K7Q2-9XMD"."""
        return short_name(b"fanal/1 bundle", _text(self))

    @property
    def is_encrypted(self) -> bool:
        """Whether the way to the relay is TLS, beside the seal that is always there."""
        return urlsplit(self.relay).scheme not in _PLAIN

    @property
    def is_local(self) -> bool:
        """Whether the relay is this computer."""
        return urlsplit(self.relay).hostname in _LOCAL


def make(area: str, recipient: str, relay: str, ca_pem: str | None = None) -> Bundle:
    """Return a new bundle. Raises UsageError.

    relay: without a path it gets the usual one. ca_pem: certificates; a private key among them is
    refused, and all other text is left out.
    """
    try:
        ca = None if ca_pem is None else _certificates(ca_pem)
        return _checked(Bundle(area, recipient, _whole(relay, area), SERVICE_UUID, ca))
    except ValueError as problem:
        raise UsageError(f"{problem}.", "Try the same with --help.", code="bundle") from None


def read(path: Path) -> Bundle:
    """Return the bundle in a file from anybody. Raises BundleError, EnvironmentFault."""
    try:
        with path.open("rb") as file:
            text = file.read(MOST_BYTES + 1)
    except OSError as problem:
        raise EnvironmentFault(
            f"The bundle {path} cannot be read: {problem.strerror}.", "Look for the file."
        ) from None
    try:
        return _parsed(text)
    except (ValueError, TypeError, RecursionError) as problem:
        reason = str(problem) if type(problem) is ValueError else "It is damaged or something else"
        raise BundleError(
            f"{path} is no bundle of this version of Fanal. {reason}.",
            "Ask the NGO for it again.",
        ) from None


def write(path: Path, bundle: Bundle) -> None:
    """Write a bundle, which must not be there yet, and read it back. Raises UsageError, OSError."""
    if path.exists():
        raise UsageError(
            f"{path} is there already; it was not touched.", "Choose another name with --out FILE."
        )
    write_private(path, _text(bundle) + b"\n", 0o666)  # nothing in it is secret
    if read(path) != bundle:
        raise BundleError(f"{path} reads back differently.", "The disk may be failing.")


def _text(bundle: Bundle) -> bytes:
    content = {
        "fanal": "bundle", "version": VERSION, "area": bundle.area, "recipient": bundle.recipient,
        "relay": bundle.relay, "service_uuid": f"{bundle.service_uuid:04X}",
        "ca_pem": bundle.ca_pem,
    }  # fmt: skip
    return json.dumps(content, indent=1).encode("ascii")


def _parsed(text: bytes) -> Bundle:
    """Raises ValueError with a sentence, or another kind of it without."""
    if len(text) > MOST_BYTES:
        raise ValueError("It is too long")
    content: Any = json.loads(text)
    if not isinstance(content, dict) or content.get("fanal") != "bundle":
        raise ValueError("It is something else")
    if content.get("version") != VERSION:
        raise ValueError("It was made by a newer Fanal")
    if set(content) != _FIELDS:
        raise ValueError("It has other fields than a bundle has")
    if content["service_uuid"] != f"{SERVICE_UUID:04X}":
        raise ValueError("It is for beacons with another service UUID")
    texts = [content[name] for name in ("area", "recipient", "relay")]
    ca = content["ca_pem"]
    if not all(isinstance(one, str) for one in texts) or not isinstance(ca, str | None):
        raise ValueError("A field of it has the wrong form")
    area, recipient, relay = texts
    made = Bundle(area, recipient, relay, SERVICE_UUID, None if ca is None else _certificates(ca))
    return _checked(made)


def _checked(bundle: Bundle) -> Bundle:
    """Return the bundle. Raises ValueError with a sentence for what it cannot be."""
    if not 1 <= len(bundle.area) <= LONGEST_AREA or not bundle.area.isprintable():
        raise ValueError(f"The name of an area has 1 to {LONGEST_AREA} letters")
    if bundle.area != bundle.area.strip():
        raise ValueError("The name of an area neither begins nor ends with a space")
    try:
        Sealer(bundle.recipient, Ed25519PrivateKey.generate())
    except EnvelopeError:
        raise ValueError("The public sealing key is unreadable") from None
    _check_relay(bundle.relay)
    return bundle


def _check_relay(relay: str) -> None:
    if len(relay) > 400 or not relay.isascii() or not relay.isprintable() or " " in relay:
        raise ValueError("The relay's address is not a URL")
    try:
        parts = urlsplit(relay)
        is_bad = parts.scheme not in _SCHEMES or not parts.hostname or parts.port == 0
    except ValueError:
        is_bad = True
    if is_bad:
        raise ValueError(
            "The relay's address is none: write it as https://HOST of the hub, or mqtts://HOST:PORT"
            " of a broker"
        )
    if parts.username is not None or parts.password is not None:
        raise ValueError("A bundle holds no user and no password")
    if parts.query or parts.fragment:
        raise ValueError("The relay's address has neither ? nor #")
    if parts.scheme.startswith("mqtt") and not _TOPIC.fullmatch(parts.path):
        raise ValueError("The path of an MQTT relay is /fanal/1/ and the area in one word")


def _whole(relay: str, area: str) -> str:
    """Return the URL of a relay with its usual path, if it has none."""
    scheme, _, rest = relay.partition("://")
    if "/" in rest.rstrip("/") or "?" in rest or "#" in rest:
        return relay
    rest = rest.rstrip("/")
    if scheme.startswith("mqtt"):
        word = re.sub(r"[^a-z0-9]+", "-", area.lower()).strip("-")
        if not word:
            raise ValueError("Name the topic: mqtts://HOST/fanal/1/ and the area in one word")
        return f"{scheme}://{rest}/fanal/1/{word}"
    return f"{scheme}://{rest}/deliver"


def _certificates(pem: str) -> str:
    """Return the certificates of a PEM text and nothing else. Raises ValueError with a sentence."""
    if "PRIVATE KEY" in pem:
        raise ValueError("There is a private key beside the certificates: keep it at home")
    try:
        found = x509.load_pem_x509_certificates(pem.encode("ascii"))
    except (ValueError, UnicodeEncodeError):
        raise ValueError("There is no certificate in PEM form") from None
    return "".join(one.public_bytes(Encoding.PEM).decode("ascii") for one in found)
