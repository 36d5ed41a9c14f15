"""The watch over BlueZ against a real message bus; the BlueZ on it is the test's."""

import asyncio
import shutil
import sys
from typing import Any

import pytest

if sys.platform != "linux" or shutil.which("dbus-daemon") is None:
    pytest.skip("needs dbus-daemon", allow_module_level=True)

from dbus_fast import Message, MessageType, Variant
from dbus_fast.aio import MessageBus
from fanal import bluez

ADAPTER = "/org/bluez/hci0"
CONFIG = """<busconfig><type>system</type><listen>unix:path={path}</listen>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/>
<allow own="*"/></policy></busconfig>"""


class Bus:
    """A system bus of one's own."""

    def __init__(self, folder: Any) -> None:
        self.path = folder / "bus"
        self._config = folder / "bus.conf"
        self._config.write_text(CONFIG.format(path=self.path))
        self._daemon: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self._daemon = await asyncio.create_subprocess_exec(
            "dbus-daemon", f"--config-file={self._config}", "--nofork", "--nopidfile",
            "--print-address", stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert self._daemon.stdout is not None
        assert await self._daemon.stdout.readline()

    async def kill(self) -> None:
        if self._daemon is not None:
            self._daemon.kill()
            await self._daemon.wait()
            self._daemon = None
            self.path.unlink(missing_ok=True)

    async def connect(self) -> MessageBus:
        return await MessageBus(bus_address=f"unix:path={self.path}").connect()

    async def come_and_go_until(self, is_so: Any) -> None:
        """Be a bluetoothd that starts and ends, until it was noticed."""
        service = await self.connect()
        while not is_so():
            await service.request_name("org.bluez")
            await service.release_name("org.bluez")
        service.disconnect()


@pytest.fixture
async def bus(tmp_path, monkeypatch):
    bus = Bus(tmp_path)
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={bus.path}")
    monkeypatch.setattr(bluez, "_AGAIN_S", 0.01)
    await bus.start()
    yield bus
    await bus.kill()


def told(member: str, *body: Any) -> Message:
    """A signal as bluetoothd sends it."""
    signature, interface = {
        "InterfacesAdded": ("oa{sa{sv}}", "org.freedesktop.DBus.ObjectManager"),
        "InterfacesRemoved": ("oas", "org.freedesktop.DBus.ObjectManager"),
        "PropertiesChanged": ("sa{sv}as", "org.freedesktop.DBus.Properties"),
    }[member]
    return Message(
        message_type=MessageType.SIGNAL, path=ADAPTER, member=member, interface=interface,
        signature=signature, body=list(body),
    )  # fmt: skip


def switched(name: str, interface: str = "org.bluez.Adapter1") -> Message:
    return told("PropertiesChanged", interface, {name: Variant("b", False)}, [])


SIGNALS = [
    (told("InterfacesAdded", ADAPTER, {"org.bluez.Device1": {}}), False),
    (told("InterfacesAdded", ADAPTER, {"org.bluez.Adapter1": {}}), True),
    (told("InterfacesRemoved", ADAPTER, ["org.bluez.Device1"]), False),
    (told("InterfacesRemoved", ADAPTER, ["org.bluez.Device1", "org.bluez.Adapter1"]), True),
    (switched("Powered"), True),
    (switched("Discovering"), False),
]


async def test_the_service_and_its_adapters_are_told_and_nothing_else_is(bus):
    news: asyncio.Queue[None] = asyncio.Queue()
    watch = await bluez._listening(lambda: news.put_nowait(None))
    seen: asyncio.Queue[str] = asyncio.Queue()
    watch.add_message_handler(lambda message: seen.put_nowait(message.member))
    service = await bus.connect()
    await service.request_name("org.example")
    await service.request_name("org.bluez")
    async with asyncio.timeout(20):
        await news.get()
        for signal, is_news in SIGNALS:
            while not seen.empty():
                seen.get_nowait()
            await service.send(signal)
            while await seen.get() != signal.member:
                pass
            assert news.empty() != is_news, signal.body
            while not news.empty():
                news.get_nowait()
        # of a device it is not even sent
        await service.send(switched("Powered", "org.bluez.Device1"))
        service.disconnect()
        await news.get()
    assert news.empty()
    watch.disconnect()


async def test_a_bus_that_dies_is_told_and_the_next_one_is_watched(bus):
    news: asyncio.Queue[None] = asyncio.Queue()
    watching = asyncio.create_task(bluez.watch(lambda: news.put_nowait(None)))
    async with asyncio.timeout(20):
        await bus.come_and_go_until(lambda: not news.empty())
        while not news.empty():
            news.get_nowait()
        await bus.kill()
        await news.get()
        await bus.start()
        while not news.empty():
            news.get_nowait()
        await bus.come_and_go_until(lambda: not news.empty())
    watching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watching


async def test_without_a_bus_it_waits_for_one(bus):
    await bus.kill()
    news: asyncio.Queue[None] = asyncio.Queue()
    watching = asyncio.create_task(bluez.watch(lambda: news.put_nowait(None)))
    await asyncio.sleep(0)
    async with asyncio.timeout(20):
        await bus.start()
        await bus.come_and_go_until(lambda: not news.empty())
    watching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watching
