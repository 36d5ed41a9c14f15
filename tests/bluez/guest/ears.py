"""Bleak's own scanner in the virtual machine, each callback as one JSON line.

    ears.py active|duplicates|passive

`duplicates` asks BlueZ for DuplicateData. `passive` needs `bluetoothd --experimental`.
"""

import asyncio
import json
import sys
import time

import bleak
from bleak.args.bluez import OrPattern
from bleak.assigned_numbers import AdvertisementDataType

_UUID = "0000f5a1-0000-1000-8000-00805f9b34fb"
_SERVICE_DATA = OrPattern(0, AdvertisementDataType.SERVICE_DATA_UUID16, b"\xa1\xf5")

_HOW = {
    "active": {},
    "duplicates": {"bluez": {"filters": {"DuplicateData": True}}},
    "passive": {"scanning_mode": "passive", "bluez": {"or_patterns": [_SERVICE_DATA]}},
}


def tell(device, data):
    """Print one callback."""
    payload = data.service_data.get(_UUID)
    print(json.dumps({
        "t_s": time.monotonic(), "address": device.address, "rssi": data.rssi,
        "payload": payload and payload.hex(),
    }), flush=True)  # fmt: skip


async def main(how):
    """Scan until killed."""
    async with bleak.BleakScanner(tell, **_HOW[how]):
        print(json.dumps({"scans": how}), flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
