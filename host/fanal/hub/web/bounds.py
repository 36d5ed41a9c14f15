"""No request is longer than it may be, nor takes longer to arrive, whatever its headers say."""

import asyncio
from collections.abc import Mapping

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fanal.hub.web.answers import refuse


class Bounds:
    """Cuts bodies off: 413 beyond `most` bytes (or that of the path), 408 after `patience_s`."""

    def __init__(
        self, app: ASGIApp, most: int, most_of: Mapping[str, int], patience_s: float
    ) -> None:
        self._app, self._most, self._most_of, self._patience_s = app, most, most_of, patience_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        most = self._most_of.get(scope["path"], self._most)
        if _declared(scope) > most:
            await refuse(scope, 413, "size", _too_long(most), close=True)(scope, receive, send)
            return
        await self._app(scope, self._bounded(receive, most), send)

    def _bounded(self, receive: Receive, most: int) -> Receive:
        taken, is_whole = 0, False
        until_s = asyncio.get_running_loop().time() + self._patience_s

        async def bounded() -> Message:
            nonlocal taken, is_whole
            if is_whole:  # what comes now is the end of the connection: that may take its time
                return await receive()
            try:
                async with asyncio.timeout_at(until_s):
                    message = await receive()
            except TimeoutError:
                raise _cut(408, "The request did not arrive in time.") from None
            taken += len(message.get("body", b""))
            if taken > most:
                raise _cut(413, _too_long(most))
            is_whole = not message.get("more_body", False)
            return message

        return bounded


def _declared(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value) if value.isdigit() else 0
    return 0


def _too_long(most: int) -> str:
    return f"The request is longer than {most} bytes."


def _cut(status: int, sentence: str) -> HTTPException:
    # what is still to come is not read
    return HTTPException(status, sentence, {"Connection": "close"})
