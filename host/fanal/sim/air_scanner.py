"""A bleak backend that hears a virtual air over HCI, so that `bleak.BleakScanner` works on it.

With bleak 1.0 to 3.1: `BleakScanner(callback, backend=scanner_backend("127.0.0.1:6402"))`.
"""

from __future__ import annotations

import asyncio
import struct
from typing import Any
from uuid import UUID

from bleak.backends.scanner import AdvertisementData, BaseBleakScanner

from fanal.error import EnvironmentFault, UsageError

_RESET = 0x0C03
_SET_EVENT_MASK = 0x0C01
_SCAN_PARAMETERS = 0x200B
_SCAN_ENABLE = 0x200C
_SET_NAME = 0xFC02
_SCAN_RSP = 4
_BASE_UUID = "0000{:04x}-0000-1000-8000-00805f9b34fb"


def parse_air(text: str) -> tuple[str, int]:
    """Return (host, port) of "HOST:PORT" or "PORT". Raises UsageError."""
    host, _, port = text.rpartition(":")
    if not port.isdigit():
        raise UsageError(
            f"{text!r} is not the address of an air.", "Write it as HOST:PORT, as `fanal sim` does."
        )
    return host or "127.0.0.1", int(port)


class _Hci(asyncio.Protocol):
    """The client end of HCI over TCP: commands in, advertising reports out."""

    def __init__(self, scanner: AirScanner) -> None:
        self._scanner = scanner
        self._buffer = b""
        self._answers: asyncio.Queue[int] = asyncio.Queue()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    async def command(self, opcode: int, parameters: bytes = b"") -> None:
        """Send a command and wait for its status. Raises OSError if it is refused."""
        self._transport.write(struct.pack("<BHB", 1, opcode, len(parameters)) + parameters)
        if status := await self._answers.get():
            raise OSError(f"the air refused HCI command {opcode:#06x} with status {status:#04x}")

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= 3 and len(self._buffer) >= 3 + self._buffer[2]:
            size = 3 + self._buffer[2]
            packet, self._buffer = self._buffer[:size], self._buffer[size:]
            if packet[1] == 0x0E:
                self._answers.put_nowait(packet[6])
            elif packet[1] == 0x3E and packet[3] == 2:
                self._scanner.on_report(packet[5:])

    def connection_lost(self, _: Exception | None) -> None:
        self._answers.put_nowait(0xFF)

    def close(self) -> None:
        """Hang up."""
        self._transport.close()


class AirScanner(BaseBleakScanner):
    """Scans the air at `air`. Subclassed by `scanner_backend` with its settings.

    merge_s: report an address once and then not again for so long, as BlueZ and iOS do.
    """

    air = "127.0.0.1:0"
    name = ""
    merge_s = 0.0

    def __init__(
        self,
        detection_callback: Any = None,
        service_uuids: Any = None,
        scanning_mode: str = "active",
        **_: Any,
    ) -> None:
        super().__init__(detection_callback, service_uuids)
        self._is_active = scanning_mode == "active"
        self._hci: _Hci | None = None
        self._reported: dict[str, float] = {}

    async def start(self) -> None:
        """Connect and scan. Raises EnvironmentFault if there is no air."""
        self.seen_devices = {}
        self._reported = {}
        host, port = parse_air(self.air)
        loop = asyncio.get_running_loop()
        try:
            _, self._hci = await loop.create_connection(lambda: _Hci(self), host, port)
        except OSError as error:
            raise EnvironmentFault(
                f"There is no virtual air at {self.air}.", "Start one with: fanal sim start"
            ) from error
        await self._hci.command(_RESET)
        if self.name:
            await self._hci.command(_SET_NAME, self.name.encode())
        await self._hci.command(_SET_EVENT_MASK, b"\xff" * 8)
        scan = struct.pack("<BHHBB", self._is_active, 0x10, 0x10, 0, 0)
        await self._hci.command(_SCAN_PARAMETERS, scan)
        await self._hci.command(_SCAN_ENABLE, b"\1\0")

    async def stop(self) -> None:
        """Hang up."""
        if self._hci is not None:
            self._hci.close()
            self._hci = None

    def on_report(self, report: bytes) -> None:
        """Take one advertising report: kind, address type, address, length, data, RSSI."""
        kind, address_type, raw, size = struct.unpack_from("<BB6sB", report)
        if kind == _SCAN_RSP:
            return
        address = raw[::-1].hex(":").upper()
        if self._is_merged(address):
            return
        rssi_dbm = struct.unpack_from("b", report, 9 + size)[0]
        data = advertisement(report[9 : 9 + size], rssi_dbm, (address_type, kind))
        device = self.create_or_update_device(address, address, data.local_name, None, data)
        if self.is_allowed_uuid(data.service_uuids):
            self.call_detection_callbacks(device, data)

    def _is_merged(self, address: str) -> bool:
        if not self.merge_s:
            return False
        now = asyncio.get_running_loop().time()
        if now - self._reported.get(address, -self.merge_s) < self.merge_s:
            return True
        self._reported[address] = now
        return False


def advertisement(data: bytes, rssi_dbm: int, platform_data: tuple[Any, ...]) -> AdvertisementData:
    """Return what bleak makes of advertising data. Broken AD structures end the reading."""
    name: str | None = None
    tx_power: int | None = None
    uuids: list[str] = []
    services: dict[str, bytes] = {}
    makers: dict[int, bytes] = {}
    while len(data) > 1 and 0 < data[0] < len(data):
        kind, value, data = data[1], data[2 : 1 + data[0]], data[1 + data[0] :]
        if kind in (0x02, 0x03):
            pairs = range(0, len(value) - 1, 2)
            uuids += [_BASE_UUID.format(int.from_bytes(value[i : i + 2], "little")) for i in pairs]
        elif kind in (0x06, 0x07) and len(value) >= 16:
            uuids.append(str(UUID(bytes=value[15::-1])))
        elif kind in (0x08, 0x09):
            name = value.decode(errors="replace")
        elif kind == 0x0A and value:
            tx_power = int.from_bytes(value[:1], "little", signed=True)
        elif kind == 0x16 and len(value) >= 2:
            services[_BASE_UUID.format(int.from_bytes(value[:2], "little"))] = value[2:]
        elif kind == 0xFF and len(value) >= 2:
            makers[int.from_bytes(value[:2], "little")] = value[2:]
    return AdvertisementData(name, makers, services, uuids, tx_power, rssi_dbm, platform_data)


def scanner_backend(air: str, *, name: str = "", merge_s: float = 0.0) -> type[AirScanner]:
    """Return the backend class for the air at "HOST:PORT", for `BleakScanner(backend=...)`.

    name: chooses this listener's own loss and strength in the air's settings. merge_s: hear an
    address once per so many seconds, as behind a filter for duplicates.
    """
    parse_air(air)
    return type("AirScanner", (AirScanner,), {"air": air, "name": name, "merge_s": merge_s})
