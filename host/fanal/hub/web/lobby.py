"""The hub's listening socket: how many connections may be open at one time, and who makes room.

Whoever only holds connections open must keep nobody out, with however many it does so. So nobody is
turned away: when all places are taken, the oldest connection ends. Those of regulars (see
`rates.Regulars`) end last. An honest request needs its place for a moment, and is tried again.
"""

import socket
from collections.abc import Container
from contextlib import suppress
from typing import Any

from fanal.hub.web.rates import source_of

# many systems give a program 1024 files; an answer may hold one beside its connection
MOST_OPEN = 384
MOST_OPEN_EACH = 64  # of one address, if it is no regular's
_MOST_ENDING = 32  # connections that were ended, and are not closed yet


class Lobby(socket.socket):
    """A listening socket for asyncio, that bounds what it accepts. For the event loop's thread.

    listening: is taken over. regulars: sources, see `rates.source_of`. most_each: None if all
    connections are a proxy's.
    """

    def __init__(
        self,
        listening: socket.socket,
        regulars: Container[str],
        most: int = MOST_OPEN,
        most_each: int | None = MOST_OPEN_EACH,
    ) -> None:
        family, kind, protocol = listening.family, listening.type, listening.proto
        super().__init__(family, kind, protocol, listening.detach())
        self._regulars, self._most = regulars, most
        self._most_each = most if most_each is None else most_each
        # the oldest first, in both
        self._guests: dict[_Guest, None] = {}
        self._of_source: dict[str, dict[_Guest, None]] = {}
        self._open = 0

    @property
    def taken(self) -> int:
        """How many connections have a place."""
        return len(self._guests)

    def accept(self) -> tuple[socket.socket, Any]:
        """Accept a connection, after which another may be at its end.

        Raises BlockingIOError also while too many that were ended are not closed: asyncio accepts
        many at one go, and closes nothing meanwhile.
        """
        if self._open >= self._most + _MOST_ENDING:
            raise BlockingIOError
        accepted, address = super().accept()
        guest = _Guest(accepted, self, source_of(address[0]))
        self._open += 1
        self._guests[guest] = None
        own = self._of_source.setdefault(guest.source, {})
        own[guest] = None
        if len(own) > self._most_each and guest.source not in self._regulars:
            self._end(next(iter(own)))
        elif len(self._guests) > self._most:
            strangers = (one for one in self._guests if one.source not in self._regulars)
            self._end(next(strangers, next(iter(self._guests))))
        return guest, address

    def closed(self, guest: "_Guest") -> None:
        """Give the place of a connection back, if it still has one."""
        self._open -= 1
        self._leave(guest)

    def _leave(self, guest: "_Guest") -> None:
        if guest not in self._guests:
            return
        del self._guests[guest]
        own = self._of_source[guest.source]
        del own[guest]
        if not own:
            del self._of_source[guest.source]

    def _end(self, guest: "_Guest") -> None:
        self._leave(guest)
        # whoever serves it sees its end, and closes it
        with suppress(OSError):
            guest.shutdown(socket.SHUT_RDWR)


class _Guest(socket.socket):
    """A connection that has a place until it is closed, TLS or not, greeted or not."""

    def __init__(self, accepted: socket.socket, lobby: Lobby, source: str) -> None:
        family, kind, protocol = accepted.family, accepted.type, accepted.proto
        super().__init__(family, kind, protocol, accepted.detach())
        self._lobby, self.source = lobby, source

    def close(self) -> None:
        """Close it and leave. Twice is fine."""
        if self.fileno() != -1:
            self._lobby.closed(self)
        super().close()
