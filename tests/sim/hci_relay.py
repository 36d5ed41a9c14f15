"""Between a board and a controller: real bleak that hears, and a relay that keeps what was said."""

import asyncio
import contextlib
import socket
import struct

import bleak
from fanal.sim.air import ADV_SCAN_IND, RANDOM
from fanal.sim.air_scanner import scanner_backend

SET_ADDRESS, SET_DATA, ENABLE = 0x2005, 0x2008, 0x200A
PATIENCE_S = 5


class Host:
    """One end of HCI over TCP: commands out, one answer to each."""

    @classmethod
    async def connect(cls, port):
        host = cls()
        host.reader, host.writer = await asyncio.open_connection("127.0.0.1", port)
        return host

    async def ask(self, command):
        """Send one command, as on the wire, and return its answer, as on the wire."""
        self.writer.write(command)
        # rootcanal writes an answer in parts, and the next waits for our acknowledgement
        line = self.writer.get_extra_info("socket")
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        async with asyncio.timeout(PATIENCE_S):
            head = await self.reader.readexactly(3)
            return head + await self.reader.readexactly(head[2])

    async def status(self, opcode, body):
        answer = await self.ask(command_of(opcode, body))
        assert answer[:2] + answer[4:6] == b"\x04\x0e" + opcode.to_bytes(2, "little")
        return answer[6]

    async def close(self):
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


def command_of(opcode, body=b""):
    return struct.pack("<BHB", 1, opcode, len(body)) + body


def parsed(command):
    return int.from_bytes(command[1:3], "little"), command[4:]


class Ears:
    """Real bleak on a controller; keeps each report as it came, and what bleak made of it."""

    def __init__(self, port):
        self.reports, self.heard, self._news = [], [], asyncio.Event()
        backend = scanner_backend(f"127.0.0.1:{port}")
        take = backend.on_report

        def on_report(scanner, report):
            self.reports.append(report[:-1])  # RSSI is each controller's own
            take(scanner, report)
            self._news.set()

        backend.on_report = on_report
        self.scanner = bleak.BleakScanner(self._detected, backend=backend)

    def _detected(self, device, data):
        self.heard.append((device.address, data))

    async def hear(self, address, data, known):
        """Return once this was heard, beyond the first `known` reports."""
        wanted = bytes((ADV_SCAN_IND, RANDOM)) + address + bytes((len(data),)) + data
        async with asyncio.timeout(PATIENCE_S):
            while wanted not in self.reports[known:]:
                self._news.clear()
                await self._news.wait()


class Relay:
    """Between a host and a controller: keeps what both say and lets each frame be heard.

    A frame that was switched on is left on until the ears have it, and one command is sent at a
    time: so nothing depends on when a controller sends the first frame.
    """

    def __init__(self, port, ears):
        self.port, self.ears = port, ears
        self.spoken = []  # (command, answer)
        self.sent = []  # (address, data) of all that was switched on
        self._address = self._data = b""
        self._controller = None
        self._tasks = []

    async def serve(self, reader, writer):
        """Serve one host until it hangs up."""
        self._tasks.append(asyncio.current_task())
        await self.connect()
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readexactly(4)
                writer.write(await self.pass_on(head + await reader.readexactly(head[3])))
        await self.close()
        writer.close()

    async def connect(self):
        self._controller = await Host.connect(self.port)

    async def close(self):
        await self._controller.close()

    async def ended(self):
        """Wait for the host to have hung up."""
        await asyncio.gather(*self._tasks)

    async def pass_on(self, command):
        """Return the answer to a command, after a frame that it switched on was heard."""
        known = len(self.ears.reports)
        answer = await self._controller.ask(command)
        self.spoken.append((command, answer))
        opcode, body = parsed(command)
        if opcode == SET_ADDRESS:
            self._address = body
        elif opcode == SET_DATA:
            self._data = body[1 : 1 + body[0]]
        elif (opcode, body) == (ENABLE, b"\1"):
            self.sent.append((self._address, self._data))
            await self.ears.hear(self._address, self._data, known)
        return answer
