"""Tells open pages that something changed, within a third of a second, by server-sent events.

One poll of the database serves all of them, and none is made while nobody looks. A stream that
cannot go on ends, so that the page says that it is not live any more.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, suppress

from anyio import to_thread
from fastapi import APIRouter, Request
from starlette.responses import Response, StreamingResponse

from fanal.error import FanalError
from fanal.hub import sessions
from fanal.hub.hub import Hub
from fanal.hub.web.answers import refuse
from fanal.hub.web.form import session_of
from fanal.hub.web.guard import LIVE
from fanal.hub.web.rates import Crowd

POLL_S = 0.3
RECHECK_S = 4.0  # so often a stream looks whether its login is still good
BEAT_S = 5.0  # so often a line is sent at least: silence means that the connection is gone

_MOST, _MOST_EACH = 200, 12

router = APIRouter(include_in_schema=False)


class Live:
    """The number that goes up with each change, for whoever follows it."""

    def __init__(self, read: Callable[[], int], poll_s: float = POLL_S, beat_s: float = BEAT_S):
        self._read, self._poll_s, self._beat_s = read, poll_s, beat_s
        self._followers = 0
        self._number: int | None = None
        self._moved: asyncio.Future[None] | None = None
        self._poll: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.is_over = False
        self.crowd = Crowd(_MOST, _MOST_EACH)

    async def changes(self) -> AsyncGenerator[int | None]:
        """Give the number now and whenever it has changed; None when nothing did for a while.

        Ends when the database cannot be read, and at `stop`.
        """
        self._followers += 1
        self._loop = asyncio.get_running_loop()
        if self._poll is None or self._poll.done():
            self._number = None  # what was seen before is old
            self._poll = asyncio.create_task(self._polling())
        seen: int | None = None
        poll = self._poll
        try:
            while not (self.is_over or poll.done()):
                if self._number is not None and self._number != seen:
                    seen = self._number
                    yield seen
                    continue
                moved = self._next()
                done, _ = await asyncio.wait({moved}, timeout=self._beat_s)
                if not done:
                    yield None
        finally:
            self._followers -= 1
            if self._followers == 0 and self._poll is not None:
                self._poll.cancel()
                self._poll = None

    def stop(self) -> None:
        """End all streams, before a server waits for them; from any thread or signal handler."""
        self.is_over = True
        with suppress(RuntimeError):  # a loop that is closed has no streams
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._wake)

    async def _polling(self) -> None:
        try:
            with suppress(FanalError):
                while not self.is_over:
                    number = await to_thread.run_sync(self._read)
                    if number != self._number:
                        self._number = number
                        self._wake()
                    await asyncio.sleep(self._poll_s)
        finally:
            asyncio.get_running_loop().call_soon(self._wake)

    def _next(self) -> asyncio.Future[None]:
        if self._moved is None or self._moved.done():
            self._moved = asyncio.get_running_loop().create_future()
        return self._moved

    def _wake(self) -> None:
        if self._moved is not None and not self._moved.done():
            self._moved.set_result(None)


@router.get(LIVE)
async def live(request: Request) -> Response:
    """The stream: `changed` with the number, `beat` in between; `over` when the login is."""
    following: Live = request.app.state.live
    session = session_of(request)
    if following.is_over:
        return refuse(request.scope, 503, "busy", "The hub is going down.", retry_s=5)
    return StreamingResponse(
        _events(following, request.app.state.hub, session), media_type="text/event-stream",
        headers={"X-Accel-Buffering": "no"},
    )  # fmt: skip


async def _events(following: Live, hub: Hub, session: sessions.Session) -> AsyncIterator[str]:
    now_s = asyncio.get_running_loop().time
    with following.crowd.place(session.user.name) as fits:
        if not fits:
            yield _event("crowded")
            return
        checked_s = now_s()
        async with aclosing(following.changes()) as changes:
            async for number in changes:
                if now_s() - checked_s >= RECHECK_S:
                    checked_s = now_s()
                    if not await _is_good(hub, session):
                        yield _event("over")
                        return
                yield _event("beat") if number is None else _event("changed", number)


def _event(name: str, number: int = 0) -> str:
    # one without data is not given to a page's script
    return f"event: {name}\ndata: {number}\n\n"


async def _is_good(hub: Hub, session: sessions.Session) -> bool:
    def find() -> bool:
        return sessions.find(hub.store, session.token, is_used=False) is not None

    try:
        return await to_thread.run_sync(find)
    except FanalError:
        return False
