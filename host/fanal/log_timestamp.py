"""A timestamp authority says when a checkpoint was there at the latest (RFC 3161)."""

import urllib.error
import urllib.request
from dataclasses import dataclass
from urllib.parse import urlsplit

from cryptography import x509

from fanal.checkpoint import parse
from fanal.error import EnvironmentFault, FanalError, IntegrityError, UsageError
from fanal.log_record import Stamp
from fanal.registry import Registry

_MOST_BYTES = 65_536
_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Stamped:
    """A timestamp that was kept. at: ISO 8601, UTC. is_checked: against the authority's root."""

    stamp: Stamp
    at: str
    is_checked: bool


def timestamp(registry: Registry, authority: str, root: bytes | None = None) -> Stamped:
    """Get a timestamp of the newest checkpoint, check it and keep it in the registry.

    authority: an http or https URL. root: PEM; without it only the hash and the nonce are checked.
    Raises FanalError (no checkpoint), EnvironmentFault (no answer), IntegrityError.
    """
    notes = registry.checkpoints()
    if not notes:
        raise FanalError(
            "Nobody has signed for the log yet.", "Run `fanal log checkpoint` first.",
            code="not_signed",
        )  # fmt: skip
    roots = _certificates(root) if root is not None else []
    told = parse(notes[-1])
    token, at = _stamped(authority, notes[-1].encode(), roots)
    stamp = Stamp(told.origin, told.size, authority, token)
    registry.keep_stamp(stamp)
    return Stamped(stamp, at, bool(roots))


def _stamped(authority: str, content: bytes, roots: list[x509.Certificate]) -> tuple[bytes, str]:
    """Return the answer of an authority, DER, and the time it tells, checked."""
    import rfc3161_client as tsp

    builder = tsp.TimestampRequestBuilder().data(content)
    asked = builder.hash_algorithm(tsp.HashAlgorithm.SHA256).build()
    token = _post(authority, asked.as_bytes())
    try:
        answer = tsp.decode_timestamp_response(token)
        if tsp.PKIStatus(answer.status) != tsp.PKIStatus.GRANTED:
            raise ValueError("not granted")
        said = answer.tst_info
        imprint = asked.message_imprint.message
        if said.message_imprint.message != imprint or said.nonce != asked.nonce:
            raise ValueError("an answer to something else")
        if roots:
            verifier = tsp.VerifierBuilder.from_request(asked)
            for one in roots:
                verifier = verifier.add_root_certificate(one)
            verifier.build().verify_message(answer, content)
    except (ValueError, tsp.VerificationError) as problem:
        raise IntegrityError(
            f"{authority} gave no good timestamp ({_reason(problem)}).",
            "Try again, or another authority; nothing was kept.",
            code="timestamp",
        ) from problem
    return token, said.gen_time.isoformat()


def _reason(problem: Exception) -> str:
    """Return what was wrong with an answer, without where in OpenSSL that was noticed."""
    _, found, told = str(problem).partition("Verify error: ")
    return told.partition('"')[0] if found else str(problem).partition("\n")[0]


def _certificates(root: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(root)
    except ValueError:
        raise UsageError(
            "The file of --root holds no certificate in PEM.",
            "Ask the authority for its root: a text that begins with -----BEGIN CERTIFICATE-----.",
        ) from None


def _post(authority: str, request: bytes) -> bytes:
    if urlsplit(authority).scheme not in ("http", "https"):
        raise UsageError(
            f"{authority} is no http or https URL.", "Write it as the authority does: https://..."
        )
    asked = urllib.request.Request(
        authority, request, {"Content-Type": "application/timestamp-query"}
    )
    try:
        with urllib.request.urlopen(asked, timeout=_TIMEOUT_S) as answer:
            token: bytes = answer.read(_MOST_BYTES + 1)
    except (OSError, ValueError, urllib.error.URLError) as problem:
        raise EnvironmentFault(
            f"{authority} does not answer: {problem}.", "Are you online? Try again later.",
            code="no_answer",
        ) from problem  # fmt: skip
    if len(token) > _MOST_BYTES:
        raise IntegrityError(
            f"{authority} gave no timestamp.", "Look at the URL: it is not that of a page.",
            code="timestamp",
        )  # fmt: skip
    return token
