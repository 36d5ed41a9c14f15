"""Messages by HTTPS POST, signed as Standard Webhooks says. The hub's only module with httpx.

webhook-id          msg_ and 32 hex digits; equal in a retry
webhook-timestamp   Unix seconds of this attempt
webhook-signature   v1, and base64 of HMAC-SHA256(secret, id "." timestamp "." body)
"""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Callable
from pathlib import Path

import httpx

from fanal.hub import cap
from fanal.hub.parcel import ChannelDown, ChannelGone, Parcel

_PREFIX = "whsec_"
_LEAST_SECRET_BYTES, _MOST_SECRET_BYTES = 24, 64
_TIMEOUT = httpx.Timeout(10.0)
_GONE = 410
# not the message's fault, or not for ever: the channel is down
_DOWN = frozenset((401, 403, 404, 407, 408, 425, 429))


class Webhook:
    """Posts to one URL. secret_file: its first line is base64 of 24 to 64 bytes, with or without
    "whsec_" before it; read at each message, so that it can be exchanged."""

    def __init__(
        self,
        url: str,
        secret_file: Path,
        now_ms: Callable[[], int],
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._url = url
        self._secret_file = secret_file
        self._now_ms = now_ms
        self._client = httpx.Client(timeout=_TIMEOUT, follow_redirects=False, transport=transport)

    def __repr__(self) -> str:
        return "Webhook()"

    def __call__(self, parcel: Parcel) -> str:
        """Send one. Raises ChannelDown, ChannelGone. 2xx is taken, and no redirect is followed."""
        kind, body = content(parcel)
        seconds = self._now_ms() // 1000
        headers = {"content-type": kind, "user-agent": "fanal-hub",
                   **signed(parcel.id, seconds, body, read_secret(self._secret_file))}  # fmt: skip
        try:
            # the answer's body is of no interest, however long it is
            with self._client.stream("POST", self._url, content=body, headers=headers) as answer:
                status = answer.status_code
        except (httpx.HTTPError, httpx.InvalidURL) as problem:
            # its text may quote the URL, and a URL may hold a token
            raise ChannelDown(f"It cannot be reached ({type(problem).__name__}).") from None
        if status == _GONE:
            raise ChannelGone("It answered 410: it wants nothing any more.")
        if not 200 <= status < 300:
            is_down = status >= 500 or status in _DOWN or 300 <= status < 400
            raise ChannelDown(f"It answered {status}.", code="down" if is_down else "refused")
        return ""

    def close(self) -> None:
        """Close what connections are kept."""
        self._client.close()


def content(parcel: Parcel) -> tuple[str, bytes]:
    """Return the content type and the body, always the same for the same parcel."""
    if parcel.cap is not None:
        return cap.CONTENT_TYPE, cap.document(parcel.cap)
    text = json.dumps(parcel.content, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return "application/json", text.encode("utf-8")


def signed(name: str, seconds: int, body: bytes, secret: bytes) -> dict[str, str]:
    """Return the three headers of Standard Webhooks."""
    message_id = f"msg_{name}"
    text = f"{message_id}.{seconds}.".encode() + body
    signature = base64.b64encode(hmac.new(secret, text, hashlib.sha256).digest()).decode()
    return {"webhook-id": message_id, "webhook-timestamp": str(seconds),
            "webhook-signature": f"v1,{signature}"}  # fmt: skip


def read_secret(path: Path) -> bytes:
    """Return the secret in a file. Raises ChannelDown, which quotes nothing of it."""
    try:
        line = path.read_text(encoding="ascii").split("\n", 1)[0].strip()
        secret = base64.b64decode(line.removeprefix(_PREFIX), validate=True)
    except OSError as problem:
        raise ChannelDown(f"Its secret_file cannot be read: {problem.strerror}.") from None
    except (UnicodeDecodeError, binascii.Error):
        secret = b""
    if not _LEAST_SECRET_BYTES <= len(secret) <= _MOST_SECRET_BYTES:
        raise ChannelDown("Its secret_file is not base64 of 24 to 64 bytes.")
    return secret
