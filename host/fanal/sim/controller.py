"""A Bluetooth controller on the virtual air, spoken to by HCI: Bumble's, put right.

Bumble 0.0.236 drops ADV_SCAN_IND and ADV_NONCONN_IND of the legacy commands, reads intervals as
milliseconds, repeats the advertising data as scan response and lets the address change while
advertising. The commands concerned are answered here; everything else is Bumble's.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
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
_INTERVALS = range(0x20, 0x4000 + 1)
_SCAN_INTERVALS = range(0x04, 0x4000 + 1)
_DEFAULT_INTERVAL_S = 0x800 * _UNIT_S
_CHANNELS = 0x07
_NO_ADDRESS = bytes(6)

_SUCCESS, _UNKNOWN, _DISALLOWED, _UNSUPPORTED, _INVALID = 0x00, 0x01, 0x0C, 0x11, 0x12


class AirLink(link.LocalLink):  # type: ignore[misc]  # Bumble is untyped to us
    """Bumble's link, on which nothing but connections could still travel: there are none."""

    def send_advertising_pdu(self, sender_controller: Any, packet: Any) -> None:
        """Nothing: advertising goes through the air (`AirController`)."""


class AirController(Controller):  # type: ignore[misc]
    """One controller for one host. `name` is set by the host and chooses its reception."""

    def __init__(self, air: Air, air_link: AirLink, host: Any) -> None:
        super().__init__("air", host_sink=host, link=air_link)
        self.air = air
        self._own_address = _NO_ADDRESS
        self._timer: asyncio.TimerHandle | None = None
        self._forget()
        self._loop = asyncio.get_running_loop()

    def _forget(self) -> None:
        self._address = _NO_ADDRESS
        self._address_type = PUBLIC
        self._kind = ADV_IND
        self._interval_s = _DEFAULT_INTERVAL_S
        self._data = self._scan_response = b""
        self._is_active_scan = False
        self._is_filtering = False
        self._known: set[tuple[int, bytes, bytes]] = set()
        self.le_scan_own_address_type = PUBLIC  # Bumble's begins as a random one

    def close(self) -> None:
        """The host is gone: silence."""
        self._stop()
        self.air.stop_hearing(self)
        self.link.remove_controller(self)

    def on_packet(self, packet: bytes) -> None:
        """Take one HCI packet of the host."""
        if packet[0] != hci.HCI_COMMAND_PACKET:
            return
        opcode, parameters = packet[1] | packet[2] << 8, packet[4:]
        if opcode in _COMMANDS:
            handler, size = _COMMANDS[opcode]
            is_fit = size is None or len(parameters) == size
            status = handler(self, parameters) if is_fit else _INVALID
        else:
            command = hci.HCI_Packet.from_bytes(packet)
            if hasattr(self, f"on_{command.name.lower()}"):
                self.on_hci_command_packet(command)
                return
            status = _UNKNOWN  # Bumble's would leave the host waiting
        self.host.on_packet(bytes((4, 0x0E, 4, 1, packet[1], packet[2], status)))

    def send_hci_packet(self, packet: hci.HCI_Packet) -> None:
        """Send to the host (Bumble's formats each for a log that nobody reads)."""
        self.host.on_packet(bytes(packet))

    def _on_set_address(self, parameters: bytes) -> int:
        self._own_address = parameters[::-1]
        # what it tells a host that asks (7.4.6); Linux takes no adapter without one
        self.public_address = hci.Address(parameters, hci.Address.PUBLIC_DEVICE_ADDRESS)
        return _SUCCESS

    def _on_set_name(self, parameters: bytes) -> int:
        self.name = parameters.decode()
        return _SUCCESS

    # --- advertising; the numbers are sections of Core Vol 4 Part E ---

    @property
    def is_advertising(self) -> bool:
        """Does it advertise?"""
        return self._timer is not None

    def _on_reset(self, _: bytes) -> int:
        """7.3.2: forget everything."""
        self._stop()
        self.air.stop_hearing(self)
        self.le_scan_enable = False
        self._forget()
        return _SUCCESS

    def _on_set_random_address(self, parameters: bytes) -> int:
        """7.8.4: refused while advertising or scanning. Zeros are no random address."""
        if self.is_advertising or self.le_scan_enable:
            return _DISALLOWED
        if parameters == _NO_ADDRESS:
            return _INVALID
        self._address = parameters[::-1]
        return _SUCCESS

    def _on_set_advertising_parameters(self, parameters: bytes) -> int:
        """7.8.5: refused while advertising; intervals are in units of 0.625 ms."""
        if self.is_advertising:
            return _DISALLOWED
        least, most, kind, address_type = struct.unpack_from("<HHBB", parameters)
        if least not in _INTERVALS or most not in _INTERVALS:
            return _UNSUPPORTED
        if least > most or not parameters[13] & _CHANNELS:
            return _INVALID
        self._interval_s, self._kind, self._address_type = least * _UNIT_S, kind, address_type
        return _SUCCESS

    def _on_set_advertising_data(self, parameters: bytes) -> int:
        """7.8.7: takes effect with the next frame."""
        if parameters[0] > MOST_DATA:
            return _INVALID
        self._data = parameters[1 : 1 + parameters[0]]
        return _SUCCESS

    def _on_set_scan_response_data(self, parameters: bytes) -> int:
        """7.8.8: kept apart from the advertising data."""
        if parameters[0] > MOST_DATA:
            return _INVALID
        self._scan_response = parameters[1 : 1 + parameters[0]]
        return _SUCCESS

    def _on_set_advertising_enable(self, parameters: bytes) -> int:
        """7.8.9: start, at once, or stop. A random address must have been set.

        When the first frame goes on air is the controller's choice: rootcanal lets a whole
        interval pass first.
        """
        if parameters[0] and self._address_type != PUBLIC and self._address == _NO_ADDRESS:
            return _INVALID
        self._stop()
        if parameters[0]:
            self._timer = self._loop.call_later(0, self._advertise)
        return _SUCCESS

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _advertise(self) -> None:
        delay_s = self.air.random.uniform(0, _MOST_DELAY_S)
        self._timer = self._loop.call_later(self._interval_s + delay_s, self._advertise)
        address = self._own_address if self._address_type == PUBLIC else self._address
        self.air.transmit(
            Frame(
                self.air.now_ms(),
                address,
                self._address_type,
                self._kind,
                self._data,
                self._own_address,
                self._scan_response,
            )
        )

    # --- scanning ---

    def on_hci_le_set_scan_parameters_command(self, command: Any) -> Any:
        """Check what Bumble does not, and remember whether it asks (7.8.10)."""
        interval, window = command.le_scan_interval, command.le_scan_window
        if interval not in _SCAN_INTERVALS or window not in _SCAN_INTERVALS:
            return hci.HCI_StatusReturnParameters(_UNSUPPORTED)
        if window > interval:
            return hci.HCI_StatusReturnParameters(_INVALID)
        self._is_active_scan = bool(command.le_scan_type)
        return super().on_hci_le_set_scan_parameters_command(command)

    def on_hci_le_set_scan_enable_command(self, command: Any) -> Any:
        """Begin or end to hear (7.8.11). A random address must have been set."""
        is_random = self.le_scan_own_address_type != PUBLIC
        if command.le_scan_enable and is_random and self._address == _NO_ADDRESS:
            return hci.HCI_StatusReturnParameters(_INVALID)
        answer = super().on_hci_le_set_scan_enable_command(command)
        self._is_filtering = bool(command.filter_duplicates)
        self._known.clear()
        if self.le_scan_enable:
            self.air.start_hearing(self)
        else:
            self.air.stop_hearing(self)
        return answer

    def hear(self, frame: Frame, rssi_dbm: int) -> None:
        """Report a frame to the host, and what its sender answers if we ask, if only nothing."""
        self._report(frame.kind, frame, frame.data, rssi_dbm)
        if self._is_active_scan and frame.kind in _SCANNABLE:
            self._report(SCAN_RSP, frame, frame.scan_response, rssi_dbm)

    def _report(self, kind: int, frame: Frame, data: bytes, rssi_dbm: int) -> None:
        if self._is_filtering and self._is_known(kind, frame.address, data):
            return
        # an LE Advertising Report (7.7.65.2) with one report
        body = bytes((2, 1, kind, frame.address_type)) + frame.address[::-1]
        body += bytes((len(data),)) + data + bytes((rssi_dbm & 0xFF,))
        self.host.on_packet(bytes((4, 0x3E, len(body))) + body)

    def _is_known(self, kind: int, address: bytes, data: bytes) -> bool:
        """Was this reported since the scan began? By the standard (Core Vol 6 Part B 4.4.3.5) data
        do not matter.
        """
        does_data_matter = self.air.reception_of(self).filters_by_data
        packet = (kind, address, data if does_data_matter else b"")
        if packet in self._known:
            return True
        self._known.add(packet)
        return False


# opcode -> what answers it, and how many bytes of parameters it has; None: any number
_COMMANDS: dict[int, tuple[Callable[[AirController, bytes], int], int | None]] = {
    0x0C03: (AirController._on_reset, 0),
    0x2005: (AirController._on_set_random_address, 6),
    0x2006: (AirController._on_set_advertising_parameters, 15),
    0x2008: (AirController._on_set_advertising_data, 1 + MOST_DATA),
    0x2009: (AirController._on_set_scan_response_data, 1 + MOST_DATA),
    0x200A: (AirController._on_set_advertising_enable, 1),
    # of our own: tell the controller its public address or, of a listener, its name
    0xFC01: (AirController._on_set_address, 6),
    0xFC02: (AirController._on_set_name, None),
}


class _Connection(asyncio.Protocol):
    """One TCP client with a controller of its own."""

    def __init__(self, server: AirServer) -> None:
        self._server = server
        self._answers: bytearray | None = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._controller = AirController(self._server.air, self._server.link, self)
        self._parser = PacketParser(self._controller)
        self._server.connections.add(self)

    def on_packet(self, packet: bytes) -> None:
        """Send one HCI packet to the client."""
        if self._answers is None:
            self._transport.write(packet)
        else:
            self._answers += packet

    def data_received(self, data: bytes) -> None:
        self._answers = bytearray()  # of one batch of commands, sent together
        self._parser.feed_data(data)
        self._transport.write(bytes(self._answers))
        self._answers = None

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
