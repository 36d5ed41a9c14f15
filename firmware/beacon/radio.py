"""Bluetooth: advertises one frame, and changes the address with the unit. SPEC 2.4, 2.6."""

from micropython import const

# A non-resolvable private address, fresh each time it is set.
_NRPA = const(3)
_EMPTY = b""


class Radio:
    """The radio. It is off, and its module not even imported, until the first `start`."""

    def __init__(self, interval_ms):
        self._interval_us = interval_ms * 1000
        self._ble = None
        self._address = None

    def on(self):
        """Switch on without transmitting: the chip's random generator needs it."""
        if self._ble is None:
            import bluetooth

            self._ble = bluetooth.BLE()
        self._ble.active(True)

    def off(self):
        """Stop transmitting and switch off."""
        if self._ble is not None:
            self._ble.active(False)
            self._ble = None

    def stop(self):
        """Stop transmitting."""
        if self._ble is not None:
            self._ble.gap_advertise(None)

    def start(self, data):
        """Advertise 31 bytes from a new address. Return False, silent, if that fails.

        While advertising, the controller refuses a new address and MicroPython says nothing:
        so stop, set, compare, start.
        """
        try:
            self.on()
            self._ble.gap_advertise(None)
            if not self.renew():
                self.off()
                return False
            self._advertise(data)
        except OSError:
            self.off()
            return False
        return True

    def show(self, data):
        """Advertise other 31 bytes from the same address. Return False, silent, if that fails."""
        try:
            self._advertise(data)
        except OSError:
            self.off()
            return False
        return True

    def renew(self):
        """Take a new address and return whether it is new. On, and not advertising."""
        before = self._ble.config("mac")
        self._ble.config(addr_mode=_NRPA)
        address = self._ble.config("mac")
        if address == before or address == self._address:
            return False
        self._address = address
        return True

    def _advertise(self, data):
        self._ble.gap_advertise(
            self._interval_us, adv_data=data, resp_data=_EMPTY, connectable=False
        )


class NoRadio:
    """The radio of a board that has none that is known here."""

    def on(self):
        """Do nothing."""

    def off(self):
        """Do nothing."""
