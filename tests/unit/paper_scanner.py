"""A bleak backend whose air and whose failures are the test's."""

import asyncio
from typing import Any, ClassVar

from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData, BaseBleakScanner

OURS = "0000f5a1-0000-1000-8000-00805f9b34fb"


class Scanner(BaseBleakScanner):
    """A backend whose air and whose failures are the test's."""

    running: ClassVar[list["Scanner"]] = []
    failures: ClassVar[list[Exception | None]] = []  # one per start; None: hang
    starts = 0

    def __init__(self, callback: Any, service_uuids: Any, mode: str, **_: Any) -> None:
        assert service_uuids is None, "pages never match that filter"
        super().__init__(callback, service_uuids)

    async def start(self) -> None:
        Scanner.starts += 1
        if self.failures:
            failure = self.failures.pop(0)
            if failure is None:
                self.running.append(self)  # half started
                await asyncio.sleep(1e6)
            raise failure
        self.running.append(self)

    async def stop(self) -> None:
        self.running.remove(self)

    @classmethod
    def advertise(
        cls,
        payload: bytes | None = None,
        *,
        rssi: int | None = -60,
        uuids: tuple[str, ...] = (),
        uuid: str = OURS,
        address: str = "AA:BB",
    ) -> None:
        data = {} if payload is None else {uuid: payload}
        advert = AdvertisementData(None, {}, data, list(uuids), None, rssi, ())
        for scanner in cls.running:
            scanner.call_detection_callbacks(BLEDevice(address, None, None), advert)

    @classmethod
    def reset(cls) -> None:
        cls.running.clear()
        cls.failures.clear()
        cls.starts = 0
