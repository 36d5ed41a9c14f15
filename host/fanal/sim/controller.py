"""A Bluetooth controller on the virtual air, spoken to by HCI: Bumble's, put right.

Bumble 0.0.236 drops ADV_SCAN_IND and ADV_NONCONN_IND of the legacy commands, reads intervals as
milliseconds, repeats the advertising data as scan response and lets the address change while
advertising. The commands concerned are answered here; everything else is Bumble's.
"""

from __future__ import annotations

import asyncio
from typing import Any

from bumble import hci, link
from bumble.controller import Controller
from bumble.transport.common import PacketParser

from fanal.sim.air import (
    ADV_IND,
    ADV_SCAN_IND,
    MOST_DATA,
    PUBLIC,
    SCAN_RSP,
    Air,
    Frame,
)

_UNIT_S = 0.000625
_MOST_DELAY_S = 0.010  # advDelay, Core Vol 6 Part B 4.4.2.2
_SCANNABLE = (ADV_IND, ADV_SCAN_IND)

# commands of our own: tell the controller its address or, of a listener, its name
SET_ADDRESS = 0xFC01
SET_NAME = 0xFC02


class AirLink(link.LocalLink):
    """Bumble's link, on which nothing but connections could still travel: there are none."""

    def send_advertising_pdu(self, sender_controller: Any, packet: Any) -> None:
        """Nothing: advertising goes through the air (`AirController`)."""


class AirController(Controller):
    """One controller for one host. `name` is set by the host and chooses its reception."""

    def __init__(self, air: Air, air_link: AirLink, host: Any) -> None:
        super().__init__("air", host_sink=host, link=air_link)
        self.air = air
        self._parameters: hci.HCI_LE_Set_Advertising_Parameters_Command | None = None
        self._data = b""
        self._scan_response = b""
        self._timer: asyncio.TimerHandle | None = None
        self._is_active_scan = False
        self._loop = asyncio.get_running_loop()

    def close(self) -> None:
        """The host is gone: silence."""
        self._stop()
        self.air.stop_hearing(self)
        self.link.remove_controller(self)

    # Bumble's own versions format every packet for a log that nobody reads

    def on_packet(self, packet: bytes) -> None:
        """Take one HCI packet of the host."""
        if packet[0] == hci.HCI_COMMAND_PACKET:
            opcode = packet[1] | packet[2] << 8
            if opcode in (SET_ADDRESS, SET_NAME):
                self._on_own(opcode, packet[4:])
                return
        self.on_hci_packet(hci.HCI_Packet.from_bytes(packet))

    def on_hci_packet(self, packet: hci.HCI_Packet) -> None:
        """Take a parsed packet; only commands mean anything here."""
        if isinstance(packet, hci.HCI_Command):
            self.on_hci_command_packet(packet)

    def send_hci_packet(self, packet: hci.HCI_Packet) -> None:
        """Send to the host."""
        if self.host:
            self.host.on_packet(bytes(packet))

    def _on_own(self, opcode: int, parameters: bytes) -> None:
        if opcode == SET_ADDRESS:
            self._public_address = hci.Address(parameters, hci.Address.PUBLIC_DEVICE_ADDRESS)
        else:
            self.name = parameters.decode()
        self.host.on_packet(bytes((4, 0x0E, 4, 1, opcode & 0xFF, opcode >> 8, 0)))

    # --- advertising ---

    @property
    def is_advertising(self) -> bool:
        """Does it advertise?"""
        return self._timer is not None

    def on_hci_reset_command(self, command: Any) -> Any:
        """Forget everything."""
        self._stop()
        self.air.stop_hearing(self)
        self.le_scan_enable = False
        self._data = self._scan_response = b""
        self._parameters = None
        return super().on_hci_reset_command(command)

    def on_hci_le_set_random_address_command(self, command: Any) -> Any:
        """Refused while advertising or scanning (Core Vol 4 Part E 7.8.4)."""
        if self.is_advertising or self.le_scan_enable:
            return _status(hci.HCI_ErrorCode.COMMAND_DISALLOWED_ERROR)
        self._random_address = command.random_address
        return _status(hci.HCI_ErrorCode.SUCCESS)

    def on_hci_le_set_advertising_parameters_command(self, command: Any) -> Any:
        """Refused while advertising; intervals are in units of 0.625 ms (7.8.5)."""
        if self.is_advertising:
            return _status(hci.HCI_ErrorCode.COMMAND_DISALLOWED_ERROR)
        least, most = command.advertising_interval_min, command.advertising_interval_max
        if not 0x20 <= least <= most <= 0x4000:
            return _status(hci.HCI_ErrorCode.INVALID_COMMAND_PARAMETERS_ERROR)
        self._parameters = command
        return _status(hci.HCI_ErrorCode.SUCCESS)

    def on_hci_le_set_advertising_data_command(self, command: Any) -> Any:
        """Take effect with the next frame (7.8.7)."""
        return self._load("_data", bytes(command.advertising_data))

    def on_hci_le_set_scan_response_data_command(self, command: Any) -> Any:
        """Kept apart from the advertising data (7.8.8)."""
        return self._load("_scan_response", bytes(command.scan_response_data))

    def _load(self, name: str, data: bytes) -> Any:
        if len(data) > MOST_DATA:
            return _status(hci.HCI_ErrorCode.INVALID_COMMAND_PARAMETERS_ERROR)
        setattr(self, name, data)
        return _status(hci.HCI_ErrorCode.SUCCESS)

    def on_hci_le_set_advertising_enable_command(self, command: Any) -> Any:
        """Start, at once, or stop (7.8.9)."""
        self._stop()
        if command.advertising_enable:
            if self._parameters is None:
                return _status(hci.HCI_ErrorCode.COMMAND_DISALLOWED_ERROR)
            self._timer = self._loop.call_later(0, self._advertise)
        return _status(hci.HCI_ErrorCode.SUCCESS)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _advertise(self) -> None:
        assert self._parameters is not None
        interval_s = self._parameters.advertising_interval_min * _UNIT_S
        delay_s = self.air.random.uniform(0, _MOST_DELAY_S)
        self._timer = self._loop.call_later(interval_s + delay_s, self._advertise)
        is_public = self._parameters.own_address_type == PUBLIC
        address = self.public_address if is_public else self.random_address
        self.air.transmit(
            Frame(
                self.air.now_ms(),
                bytes(reversed(bytes(address))),
                PUBLIC if is_public else 1,
                int(self._parameters.advertising_type),
                self._data,
                bytes(reversed(bytes(self.public_address))),
                self._scan_response,
            )
        )

    # --- scanning ---

    def on_hci_le_set_scan_parameters_command(self, command: Any) -> Any:
        """Remember whether it asks (7.8.10)."""
        self._is_active_scan = bool(command.le_scan_type)
        return super().on_hci_le_set_scan_parameters_command(command)

    def on_hci_le_set_scan_enable_command(self, command: Any) -> Any:
        """Begin or end to hear (7.8.11)."""
        answer = super().on_hci_le_set_scan_enable_command(command)
        if self.le_scan_enable:
            self.air.start_hearing(self)
        else:
            self.air.stop_hearing(self)
        return answer

    def hear(self, frame: Frame, rssi_dbm: int) -> None:
        """Report a frame to the host, and what its sender answers if we ask."""
        self._report(frame.kind, frame, frame.data, rssi_dbm)
        if self._is_active_scan and frame.kind in _SCANNABLE and frame.scan_response:
            self._report(SCAN_RSP, frame, frame.scan_response, rssi_dbm)

    def _report(self, kind: int, frame: Frame, data: bytes, rssi_dbm: int) -> None:
        # an LE Advertising Report (7.7.65.2) with one report
        body = bytes((2, 1, kind, frame.address_type)) + frame.address[::-1]
        body += bytes((len(data),)) + data + bytes((rssi_dbm & 0xFF,))
        self.host.on_packet(bytes((4, 0x3E, len(body))) + body)


class _Connection(asyncio.Protocol):
    """One TCP client with a controller of its own."""

    def __init__(self, server: AirServer) -> None:
        self._server = server

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._controller = AirController(self._server.air, self._server.link, self)
        self._parser = PacketParser(self._controller)
        self._server.connections.add(self)

    def on_packet(self, packet: bytes) -> None:
        """Send one HCI packet to the client."""
        self._transport.write(packet)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connection_lost(self, _: Exception | None) -> None:
        self._controller.close()
        self._server.connections.discard(self)

    def close(self) -> None:
        """Hang up."""
        self._transport.abort()


class AirServer:
    """HCI over TCP: each client of `port` gets a controller on `air`."""

    def __init__(self, air: Air) -> None:
        self.air = air
        self.link = AirLink()
        self.connections: set[_Connection] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    async def start(self, port: int = 0, host: str = "127.0.0.1") -> None:
        """Listen; port 0 takes a free one. Raises OSError if the port is taken."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), host, port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Hang up on everyone."""
        if self._server is not None:
            self._server.close()
        for connection in tuple(self.connections):
            connection.close()


def _status(code: hci.HCI_ErrorCode) -> hci.HCI_StatusReturnParameters:
    return hci.HCI_StatusReturnParameters(code)
