"""A door for deliveries: the least of a web server, which opens what it is given."""

import asyncio

from fanal.envelope import Delivery, Opener


class Door:
    """Answers 204 to each delivery, after it was opened. deliveries: all of them, in order."""

    def __init__(self, sealing: bytes) -> None:
        self._opener = Opener(sealing)
        self.recipient = self._opener.recipient
        self.deliveries: list[Delivery] = []
        self.raw: list[bytes] = []
        self._news = asyncio.Condition()

    async def open(self) -> None:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Listen no longer."""
        self._server.close()
        await self._server.wait_closed()

    def payloads(self) -> list[bytes]:
        """Return the payloads of all frames that came."""
        return [
            one.payload
            for delivery in self.deliveries
            for opened in delivery.groups
            for one in opened.group.frames
        ]

    async def wait_until(self, is_so: object, timeout_s: float) -> None:
        """Wait until `is_so(self)`, asked at each delivery. Raises TimeoutError."""
        async with asyncio.timeout(timeout_s), self._news:
            await self._news.wait_for(lambda: is_so(self))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("ascii").lower()
                fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
                await self._take(await reader.readexactly(int(fields["content-length"])))
                writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def _take(self, data: bytes) -> None:
        async with self._news:
            self.raw.append(data)
            self.deliveries.append(self._opener.delivery(data))
            self._news.notify_all()
