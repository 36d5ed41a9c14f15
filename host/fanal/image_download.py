"""One file over HTTPS, whole or not at all. The only module that speaks to a web server."""

import re
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from email.message import Message
from http.client import HTTPException, HTTPResponse
from typing import IO, Any
from urllib.parse import urlsplit

from fanal.error import EnvironmentFault, FanalError, IntegrityError, UsageError

MICROPYTHON_ORG = "https://micropython.org/resources/firmware/"

_CHUNK = 64 << 10
_ELSEWHERE = "Or download the file yourself and use `fanal image add FILE`."


class _OnlyHttps(urllib.request.HTTPRedirectHandler):
    """Follows a redirect to https only."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: Any,
        newurl: str,
    ) -> urllib.request.Request | None:
        if urlsplit(newurl).scheme != "https":
            fp.close()
            raise IntegrityError(
                f"{req.host} leads to an address without encryption; nothing was downloaded.",
                f"Try another server with --from. {_ELSEWHERE}",
                code="insecure",
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def fetch(
    url: str,
    most_bytes: int,
    *,
    context: ssl.SSLContext | None = None,
    timeout_s: float = 30.0,
    on_progress: Callable[[int, int | None], None] | None = None,
) -> bytes:
    """Return what is at an https address, at most `most_bytes`.

    context: of TLS; None for the system's, which respects SSL_CERT_FILE. timeout_s: of silence.
    on_progress: called with the bytes so far and the bytes in all, None if not known.
    Raises UsageError (no https), IntegrityError ("certificate", "insecure", "too_large"),
    FanalError ("not_found", "http"), EnvironmentFault ("network").
    """
    host = check_address(url)
    context = context or ssl.create_default_context()
    opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context), _OnlyHttps())
    try:
        with opener.open(url, timeout=timeout_s) as response:
            return _receive(response, host, most_bytes, on_progress)
    except urllib.error.HTTPError as error:
        with suppress(OSError):
            error.close()
        raise _answered(host, error.code) from None
    except (OSError, HTTPException) as error:
        raise _unreachable(host, error) from None


def check_address(url: str) -> str:
    """Return the host of an https address. Raises UsageError for any other address."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    is_printable = re.fullmatch(r"[!-~]+", url) is not None
    if parts.scheme != "https" or not host or not is_printable:
        raise UsageError(
            "An image is downloaded from an address that begins with https://, and no other.",
            _ELSEWHERE,
            code="insecure",
        )
    if parts.username is not None or parts.password is not None:
        raise UsageError(
            "An address must not hold a user name or a password: others could read it.", _ELSEWHERE
        )
    return host


def _receive(
    response: HTTPResponse,
    host: str,
    most_bytes: int,
    on_progress: Callable[[int, int | None], None] | None,
) -> bytes:
    announced = _length(response.headers)
    content = bytearray()
    if announced is None or announced <= most_bytes:
        for chunk in iter(lambda: response.read1(_CHUNK), b""):
            content += chunk
            if len(content) > most_bytes:
                break
            if on_progress is not None:
                on_progress(len(content), announced)
    if max(len(content), announced or 0) > most_bytes:
        raise IntegrityError(
            f"What {host} sends is larger than any image; it was not stored.",
            "Check the address.",
            code="too_large",
        )
    if announced is not None and len(content) != announced:
        raise EnvironmentFault(
            f"{host} broke off after {len(content)} of {announced} bytes; nothing was stored.",
            f"Run the same command again. {_ELSEWHERE}",
            code="network",
        )
    return bytes(content)


def _length(headers: Message) -> int | None:
    text = headers.get("Content-Length", "").strip()
    return int(text) if text.isascii() and text.isdigit() else None


def _answered(host: str, status: int) -> FanalError:
    if status in (404, 410):
        return FanalError(
            f"{host} does not have that file.", f"Check --version. {_ELSEWHERE}", code="not_found"
        )
    return FanalError(
        f"{host} refused to send the file (HTTP status {status}).",
        f"Try again later. {_ELSEWHERE}",
        code="http",
    )


def _unreachable(host: str, error: Exception) -> FanalError:
    reason = getattr(error, "reason", error)  # what urllib wrapped
    if isinstance(reason, ssl.SSLCertVerificationError):
        return IntegrityError(
            f"{host} did not prove that it is {host} ({reason.verify_message}).",
            "Check this computer's clock and use another network; somebody may be in between.",
            code="certificate",
        )
    is_silent = isinstance(reason, TimeoutError)
    why = "no answer in time" if is_silent else getattr(reason, "strerror", None)
    return EnvironmentFault(
        f"{host} cannot be reached, or broke off: {why or 'the connection broke'}.",
        f"Check the network and run the same command again. {_ELSEWHERE}",
        code="network",
    )
