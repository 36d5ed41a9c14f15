"""The chain that a court can check: fleet, station, beacon, all Ed25519 (RFC 8410, RFC 5280).

No certificate names a place or a person. The fleet is named by a digest of its key, a station
by its number, a beacon by its id. Nothing expires: a beacon outlives every calendar, retiring
one is the registry's matter, and a laptop in the field may believe it is 1970; so dates are
recorded and not judged.
"""

import hashlib
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.x509.oid import NameOID

from fanal.error import IntegrityError

# "no well-defined expiration date", RFC 5280 4.1.2.5
_NEVER = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
_LOG = "fanal log"
_WHOLE_SIGNATURE = b"\x03\x41\x00"  # a BIT STRING of 64 bytes without unused bits


def fleet_name(public_key: Ed25519PublicKey) -> str:
    """Return the name of a fleet: "fanal fleet" and 8 hex digits of SHA-256 of its key."""
    return f"fanal fleet {hashlib.sha256(public_key.public_bytes_raw()).hexdigest()[:8]}"


def fleet_name_in(fleet: x509.Certificate) -> str:
    """Return the name of the fleet whose certificate it is, made from its key."""
    return fleet_name(Ed25519PublicKey.from_public_bytes(public_key_of(fleet)))


def for_fleet(signing_key: Ed25519PrivateKey, now: datetime) -> x509.Certificate:
    """Return the self-signed certificate of a fleet."""
    public_key = signing_key.public_key()
    name = fleet_name(public_key)
    return _issue(name, public_key, name, signing_key, now, path_length=1)


def for_station(
    number: int,
    public_key: Ed25519PublicKey,
    fleet: x509.Certificate,
    fleet_key: Ed25519PrivateKey,
    now: datetime,
) -> x509.Certificate:
    """Return the certificate of station `number`: it may certify beacons and nothing else."""
    name = f"fanal station {number}"
    return _issue(name, public_key, _name_of(fleet), fleet_key, now, path_length=0)


def for_beacon(
    beacon_id: str,
    public_key: bytes,
    station: x509.Certificate,
    station_key: Ed25519PrivateKey,
    now: datetime,
) -> x509.Certificate:
    """Return the certificate of a beacon. public_key: 32 bytes."""
    key = Ed25519PublicKey.from_public_bytes(public_key)
    return _issue(beacon_id, key, _name_of(station), station_key, now, path_length=None)


def for_log(
    public_key: bytes, fleet: x509.Certificate, fleet_key: Ed25519PrivateKey, now: datetime
) -> x509.Certificate:
    """Return the certificate of a hub's log key, 32 bytes: it may certify nothing."""
    key = Ed25519PublicKey.from_public_bytes(public_key)
    return _issue(_LOG, key, _name_of(fleet), fleet_key, now, path_length=None)


def to_der(certificate: x509.Certificate) -> bytes:
    """Return the certificate as DER."""
    from cryptography.hazmat.primitives.serialization import Encoding

    return certificate.public_bytes(Encoding.DER)


def from_der(der: bytes) -> x509.Certificate:
    """Return the certificate in `der`. Raises IntegrityError."""
    try:
        return x509.load_der_x509_certificate(der)
    except (ValueError, x509.InvalidVersion):
        raise IntegrityError("A certificate is unreadable.", "Restore the registry.") from None


def public_key_of(certificate: x509.Certificate) -> bytes:
    """Return the 32 bytes of the Ed25519 key in a certificate. Raises IntegrityError."""
    try:
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise IntegrityError("A certificate holds a key that is not Ed25519.")
    return key.public_bytes_raw()


def verify_chain(
    beacon: x509.Certificate,
    station: x509.Certificate,
    fleet: x509.Certificate,
    *,
    beacon_id: str,
    public_key: bytes,
) -> None:
    """Check that `fleet` certifies `station` certifies this beacon id and key (32 bytes).

    The caller trusts `fleet`'s key already. Raises IntegrityError, saying which link is broken.
    """
    if public_key_of(beacon) != public_key or _name_of(beacon) != beacon_id:
        raise IntegrityError("The certificate belongs to another beacon.", code="chain")
    for link, child, issuer, path_length in (
        ("fleet's", fleet, fleet, 1),
        ("station's", station, fleet, 0),
        ("beacon's", beacon, station, None),
    ):
        if not _is_issued_by(child, issuer) or not _may(child, path_length):
            raise IntegrityError(f"The {link} certificate is not valid.", code="chain")


def verify_log(log: x509.Certificate, fleet: x509.Certificate, public_key: bytes) -> None:
    """Check that `fleet`, trusted already, certifies a log key, 32 bytes. Raises IntegrityError."""
    if (
        public_key_of(log) != public_key
        or _name_of(log) != _LOG
        or not (_is_issued_by(log, fleet) and _may(log, None))
    ):
        raise IntegrityError("The log's certificate is not valid.", code="chain")


def verify_station(number: int, station: x509.Certificate, fleet: x509.Certificate) -> None:
    """Check that `fleet`, self-signed, certifies station `number`. Raises IntegrityError."""
    if (
        _name_of(station) != f"fanal station {number}"
        or not (_is_issued_by(fleet, fleet) and _may(fleet, 1))
        or not (_is_issued_by(station, fleet) and _may(station, 0))
    ):
        raise IntegrityError(f"The certificate of station {number} is not valid.", code="chain")


def _is_issued_by(child: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        child.verify_directly_issued_by(issuer)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return False
    # the parser takes a count of unused bits where Ed25519 has none: one certificate, one encoding
    return to_der(child).endswith(_WHOLE_SIGNATURE + child.signature)


def _may(certificate: x509.Certificate, path_length: int | None) -> bool:
    """Say whether the extensions give exactly the rights of a CA (path_length) or a leaf (None)."""
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        return False
    is_ca = path_length is not None
    return (
        constraints.critical
        and constraints.value.ca == is_ca
        and constraints.value.path_length == path_length
        and usage.critical
        and usage.value.key_cert_sign == is_ca
        and usage.value.digital_signature != is_ca
    )


def _issue(
    name: str,
    public_key: Ed25519PublicKey,
    issuer: str,
    signing_key: Ed25519PrivateKey,
    now: datetime,
    path_length: int | None,
) -> x509.Certificate:
    is_ca = path_length is not None
    usage = x509.KeyUsage(
        digital_signature=not is_ca, key_cert_sign=is_ca, crl_sign=is_ca,
        content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(signing_key.public_key())
    return (
        x509.CertificateBuilder()
        .subject_name(_common_name(name))
        .issuer_name(_common_name(issuer))
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(_NEVER)
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=path_length), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(authority, critical=False)
        .sign(signing_key, None)
    )


def _common_name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _name_of(certificate: x509.Certificate) -> str:
    try:
        names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    except ValueError:
        return ""
    return "".join(name.value for name in names if isinstance(name.value, str))
