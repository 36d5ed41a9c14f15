"""A volunteer's laptop: the machine with an adapter on an air, and its Bluetooth service."""

import asyncio
import sys
from contextlib import suppress

from tests.bluez.kernel import GUEST, ROOT
from tests.bluez.machine import HOST, Machine, Program

ADDRESS = "02:00:00:00:00:01"
NAME = "laptop"
_START_S = 120


class Laptop:
    """machine: booted. Each of the two parts can fail by itself."""

    def __init__(self, machine: Machine, air_address: str) -> None:
        self.machine = machine
        self._air_port = air_address.rpartition(":")[2]
        self._adapter: Program | None = None
        self._service: Program | None = None

    async def plug_in(self) -> None:
        """Attach the adapter."""
        script, address = str(GUEST / "bridge.py"), ADDRESS.replace(":", "")
        self._adapter = await self.machine.start(
            sys.executable, "-I", script, HOST, self._air_port, NAME, address
        )
        await self._adapter.wait_until(lambda it: it.out, _START_S)
        assert self._adapter.out == ["hci0"], self._adapter.err

    async def unplug(self) -> None:
        """Take the adapter away."""
        assert self._adapter is not None
        await self._adapter.stop(9)

    async def start_service(self, *options: str) -> None:
        """Start bluetoothd, and wait until it has the adapter and switched it on."""
        self._service = await self.machine.start("bluetoothd", "-n", *options)
        await self.powered()

    async def kill_service(self) -> None:
        """Kill bluetoothd."""
        assert self._service is not None
        await self._service.stop(9)

    async def powered(self) -> None:
        """Wait until the adapter is on."""
        async with asyncio.timeout(_START_S):
            while "Powered: yes" not in await self._show():
                await asyncio.sleep(0.2)

    async def power(self, state: str) -> None:
        """Switch the adapter "on" or "off", as a person does."""
        done = await self.machine.run("bluetoothctl", "power", state)
        assert done.exit_code == 0, done.out

    async def _show(self) -> str:
        done = await self.machine.run("bluetoothctl", "show")
        return "\n".join(done.out)

    async def fanal(self, *words: str, **env: str) -> Program:
        """Start the command as it is in this tree."""
        return await self.machine.start(
            sys.executable, "-B", "-m", "fanal", *words, PYTHONPATH=str(ROOT), **env
        )

    async def script(self, name: str, *words: str) -> Program:
        """Start one of our scripts in the machine."""
        return await self.machine.start(sys.executable, "-B", str(GUEST / name), *words)

    async def close(self) -> None:
        """End both parts."""
        for part in (self._service, self._adapter):
            if part is not None:
                with suppress(AssertionError):
                    await part.stop(9)
