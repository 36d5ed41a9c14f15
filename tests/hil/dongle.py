"""A Bluetooth dongle as ears, through Bumble: a backend class for the ordinary BleakScanner.

TRANSPORT is Bumble's own: usb:0, serial:/dev/ttyACM0, tcp-client:HOST:PORT, ... Unlike a system's
Bluetooth it reports every packet, with the address from which it was sent.
"""

from typing import Any

from bleak.backends.scanner import BaseBleakScanner
from bumble.device import Advertisement, Device
from bumble.transport import open_transport
from fanal.sim.air_scanner import advertisement

_NAME = "fanal-hil"
_OWN_ADDRESS = "F0:F1:F2:F3:F4:F5"
_SCAN_MS = 10.0  # window and interval: it listens all the time


class DongleScanner(BaseBleakScanner):
    """Scans with the controller behind `transport`. Subclassed by `dongle_backend`."""

    transport = ""

    def __init__(
        self, detection_callback: Any = None, service_uuids: Any = None, *_: Any, **__: Any
    ) -> None:
        super().__init__(detection_callback, service_uuids)
        self._line: Any = None

    async def start(self) -> None:
        """Open the transport, reset the controller, scan. Raises whatever Bumble raises."""
        self.seen_devices = {}
        self._line = await open_transport(self.transport)
        device = Device.with_hci(_NAME, _OWN_ADDRESS, self._line.source, self._line.sink)
        device.on(Device.EVENT_ADVERTISEMENT, self._heard)
        await device.power_on()
        await device.start_scanning(
            legacy=True,
            active=False,
            scan_interval=_SCAN_MS,
            scan_window=_SCAN_MS,
            filter_duplicates=False,
        )

    async def stop(self) -> None:
        """Close the transport; the controller is reset at the next start."""
        line, self._line = self._line, None
        if line is not None:
            await line.close()

    def _heard(self, found: Advertisement) -> None:
        address = found.address.to_string(False)
        data = advertisement(found.data_bytes, found.rssi, (found.address.address_type,))
        known = self.create_or_update_device(address, address, data.local_name, found, data)
        if self.is_allowed_uuid(data.service_uuids):
            self.call_detection_callbacks(known, data)


def dongle_backend(transport: str) -> type[DongleScanner]:
    """Return the backend class for the dongle at a transport, for `Radio(backend=...)`."""
    return type("DongleScanner", (DongleScanner,), {"transport": transport})
