"""The way to the hub by HTTPS: each delivery is one POST, and 204 is the only yes."""

import asyncio
from urllib.parse import urlsplit

import httpx

from fanal import tls
from fanal.envelope import MOST_DELIVERY_BYTES
from fanal.gateway.relay import PATIENCE_S, RelayDown, RelayRefused

_CONNECT_S = 20.0
_TAKEN = 204
_REFUSED = {400: "form", 413: "size"}
_BUSY = (429, 503)
_TYPE = "application/octet-stream"
_LATER = "It is tried again later by itself; check the network if it lasts."


class PostRelay:
    """A Relay. url: "https://host/deliver"; a proxy named in the environment is used.

    ca_pem: as in `relay_for`. patience_s: for a delivery, answer included.
    """

    def __init__(self, url: str, ca_pem: str | None, *, patience_s: float = PATIENCE_S) -> None:
        """Raises UsageError for certificates that cannot be used."""
        self._url, self._patience_s = url, patience_s
        self._host = urlsplit(url).hostname or ""
        self._tls = tls.client_context(ca_pem)
        self._client: httpx.AsyncClient | None = None

    async def open(self) -> None:
        """See Relay. Nothing is sent yet: HTTP has no greeting."""
        if self._client is None:
            # a redirect is never the hub's: a hotel's login page is one
            self._client = httpx.AsyncClient(
                verify=self._tls, follow_redirects=False,
                timeout=httpx.Timeout(None, connect=min(_CONNECT_S, self._patience_s)),
            )  # fmt: skip

    async def send(self, delivery: bytes) -> None:
        """See Relay."""
        if len(delivery) > MOST_DELIVERY_BYTES:
            raise RelayRefused("A delivery is larger than a hub takes.", code="size")
        try:
            async with asyncio.timeout(self._patience_s):
                status, retry_after = await self._posted(delivery)
        except TimeoutError:
            raise RelayDown(f"{self._host} does not answer.", _LATER, code="network") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _unreachable(self._host, error) from None
        if status == _TAKEN:
            return
        if status in _REFUSED:
            raise RelayRefused(
                f"{self._host} refuses a delivery for its {_REFUSED[status]}.",
                "Is this Fanal as new as the hub's?",
                code=_REFUSED[status],
            )
        raise _not_now(self._host, status, _seconds(retry_after))

    async def close(self) -> None:
        """See Relay."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def _posted(self, delivery: bytes) -> tuple[int, str]:
        """Return the status and what the answer says of trying again; its body is not read."""
        await self.open()
        assert self._client is not None
        headers = {"Content-Type": _TYPE}
        async with self._client.stream(
            "POST", self._url, content=delivery, headers=headers
        ) as answer:
            if answer.status_code == _TAKEN:
                await answer.aread()  # it has no body; the connection can be used again
            return answer.status_code, answer.headers.get("Retry-After", "")


def _seconds(retry_after: str) -> float | None:
    """Return the seconds of a Retry-After; None for a date, which needs a clock that is right."""
    text = retry_after.strip()
    return float(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _not_now(host: str, status: int, retry_after_s: float | None) -> RelayDown:
    if status in _BUSY:
        return RelayDown(f"{host} is busy.", _LATER, code="busy", retry_after_s=retry_after_s)
    return RelayDown(
        f"{host} answers with HTTP status {status}, as no hub would.",
        "Is there a login page of the network, or a proxy? The bundle may be old: ask the NGO.",
        code="not_a_hub",
        retry_after_s=retry_after_s,
    )


def _unreachable(host: str, error: Exception) -> RelayDown:
    distrust = tls.distrust(error)
    if distrust is not None:
        return RelayDown(
            tls.distrusted(host, distrust),
            "Check this computer's clock and use another network; somebody may be in between.",
            code="certificate",
        )
    return RelayDown(f"{host} cannot be reached, or broke off.", _LATER, code="network")
