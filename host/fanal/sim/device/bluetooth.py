# bluetooth.BLE as the ESP32 has it (NimBLE), over HCI to the virtual air.
import socket
import struct

import _bench
import board

_ENODEV = 19
_EIO = 5
_EINVAL = 22

_RESET = 0x0C03
_SET_RANDOM_ADDRESS = 0x2005
_SET_PARAMETERS = 0x2006
_SET_DATA = 0x2008
_SET_SCAN_RESPONSE = 0x2009
_SET_ENABLE = 0x200A
_VENDOR_SET_ADDRESS = 0xFC01

_ADV_IND = 0
_ADV_SCAN_IND = 2
_PUBLIC = 0
_RANDOM = 1
_MOST_DATA = 31
# Bluetooth 4.2 and before: these types need 100 ms or more
_LEAST_UNITS = 160 if board.chip == "esp32" else 32

FLAG_READ = 2
FLAG_WRITE = 8
FLAG_NOTIFY = 16


class _Hci:
    """The controller behind its socket: one command, one status."""

    def __init__(self):
        self._socket = socket.socket()
        self._socket.connect(socket.getaddrinfo("127.0.0.1", board.air_port)[0][-1])
        self._event = bytearray(3)

    def command(self, opcode, parameters=b""):
        """Return the status of the controller's answer; 0 is success."""
        return self.commands(((opcode, parameters),))[0]

    def commands(self, commands):
        """Send several (opcode, parameters) at once; return their statuses."""
        out = b""
        for opcode, parameters in commands:
            out += struct.pack("<BHB", 1, opcode, len(parameters)) + parameters
        _bench.sync()
        self._socket.write(out)
        statuses = []
        caught = False
        while len(statuses) < len(commands):
            try:
                _, event, size = self._exactly(3)
                body = self._exactly(size)
            except KeyboardInterrupt:
                caught = True
                continue
            if event == 0x0E:
                statuses.append(body[3])
        if caught:
            raise KeyboardInterrupt
        return statuses

    def _exactly(self, size):
        data = b""
        while len(data) < size:
            part = self._socket.read(size - len(data))
            if not part:
                raise OSError(_ENODEV)
            data += part
        return data

    def close(self):
        self._socket.close()


class BLE:
    """The one radio of the board: every BLE() is the same object."""

    _only = None

    def __new__(cls):
        if BLE._only is None:
            radio = BLE._only = object.__new__(cls)
            radio._hci = None
            radio._handler = None
            radio._address_type = _PUBLIC
            radio._random_address = bytes(6)
            radio._name = b"ESP32"
        return BLE._only

    def active(self, is_active=None):
        if is_active and self._hci is None:
            self._hci = _Hci()
            self._hci.command(_RESET)
            self._hci.command(_VENDOR_SET_ADDRESS, _reversed(board.mac))
            self._address_type = _PUBLIC
        elif is_active is not None and not is_active and self._hci is not None:
            self._hci.close()
            self._hci = None
        return self._hci is not None

    def _need(self):
        if self._hci is None:
            raise OSError(_ENODEV)
        return self._hci

    def irq(self, handler):
        if handler is not None and not callable(handler):
            raise ValueError("invalid handler")
        self._handler = handler

    def config(self, *names, **settings):
        if names and settings:
            raise TypeError("can't specify pos and kw args")
        if settings:
            for name, value in settings.items():
                self._set(name, value)
            return None
        if len(names) != 1:
            raise TypeError("must query one param")
        if names[0] == "mac":
            self._need()
            if self._address_type == _PUBLIC:
                return (_PUBLIC, bytes(board.mac))
            return (_RANDOM, self._random_address)
        if names[0] == "gap_name":
            return self._name
        if names[0] == "mtu":
            return 256
        if names[0] == "rxbuf":
            return 512
        raise ValueError("unknown config param")

    def _set(self, name, value):
        if name == "addr_mode":
            self._set_address_mode(value)
        elif name == "gap_name":
            self._need()
            self._name = bytes(value, "utf8") if isinstance(value, str) else bytes(value)
        elif name not in ("mtu", "rxbuf", "bond", "mitm", "io", "le_secure"):
            raise ValueError("unknown config param")

    def _set_address_mode(self, mode):
        hci = self._need()
        if mode == 0:
            self._address_type = _PUBLIC
            return
        if mode not in (1, 2, 3):
            raise OSError(_EINVAL)
        address = bytearray(board.urandom(6))
        address[0] = address[0] & 0x3F | (0, 0xC0, 0x40, 0)[mode]
        # while advertising the controller refuses, and the port does not look at its answer
        if hci.command(_SET_RANDOM_ADDRESS, _reversed(address)) == 0:
            self._random_address = bytes(address)
        self._address_type = _RANDOM

    def gap_advertise(self, interval_us, adv_data=None, *, resp_data=None, connectable=True):
        hci = self._need()
        if interval_us is None:
            hci.command(_SET_ENABLE, b"\0")
            return
        units = interval_us // 625
        steps = [(_SET_ENABLE, b"\0")]
        for opcode, data in ((_SET_DATA, adv_data), (_SET_SCAN_RESPONSE, resp_data)):
            # None leaves in force what the controller had before
            if data is not None:
                steps.append((opcode, _padded(data)))
        is_fit = 0x20 <= units <= 0x4000 and (connectable or units >= _LEAST_UNITS)
        if not is_fit or None in (step[1] for step in steps):
            hci.command(_SET_ENABLE, b"\0")
            raise OSError(_EIO)
        kind = _ADV_IND if connectable else _ADV_SCAN_IND
        parameters = struct.pack(
            "<HHBBB6sBB", units, units, kind, self._address_type, 0, bytes(6), 7, 0
        )
        steps.append((_SET_PARAMETERS, parameters))
        steps.append((_SET_ENABLE, b"\1"))
        if any(hci.commands(steps)):
            raise OSError(_EIO)


def _padded(data):
    """Return advertising data as HCI has it, or None if it is too long."""
    data = bytes(data, "utf8") if isinstance(data, str) else bytes(data)
    if len(data) > _MOST_DATA:
        return None
    return bytes((len(data),)) + data + bytes(_MOST_DATA - len(data))


def _reversed(address):
    return bytes(reversed(bytes(address)))
