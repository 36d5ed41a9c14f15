"""BlueZ watched from outside: what ends a scan on Linux without a word to whoever scans.

A scan ends when bluetoothd does, when its adapter is unplugged or switched off, when the message
bus is restarted; and bleak's callbacks just cease, as on a quiet air. The same signals tell when
it is worth trying again.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dbus_fast import Message
    from dbus_fast.aio import MessageBus

_SERVICE = "org.bluez"
_ADAPTER = "org.bluez.Adapter1"
_BUS = "org.freedesktop.DBus"
_OBJECTS = "org.freedesktop.DBus.ObjectManager"
_PROPERTIES = "org.freedesktop.DBus.Properties"

_RULES = (
    f"type='signal',sender='{_BUS}',member='NameOwnerChanged',arg0='{_SERVICE}'",
    f"type='signal',sender='{_SERVICE}',interface='{_OBJECTS}'",
    f"type='signal',sender='{_SERVICE}',interface='{_PROPERTIES}',arg0='{_ADAPTER}'",
)
_ANSWER_S = 15.0
_AGAIN_S = 5.0  # between two looks for a message bus that is not there


async def watch(changed: Callable[[], None]) -> None:
    """Call `changed` whenever adapters or their service come, go, or are switched; until cancelled.

    Without a message bus it waits for one. The state itself is not told: whoever scans starts
    the scan again and learns it from that.
    """
    while True:
        try:
            bus = await _listening(changed)
        except Exception:  # noqa: BLE001 - no bus, no permission: nothing to see, ever so long
            await asyncio.sleep(_AGAIN_S)
            continue
        try:
            await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]
        except Exception:  # noqa: BLE001, S110 - how it was lost does not matter
            pass
        finally:
            bus.disconnect()
        changed()
        await asyncio.sleep(_AGAIN_S)


async def _listening(changed: Callable[[], None]) -> "MessageBus":
    """Return a connection whose signals call `changed`. Raises whatever D-Bus raises."""
    from dbus_fast import BusType, Message
    from dbus_fast.aio import MessageBus

    bus = MessageBus(bus_type=BusType.SYSTEM)
    try:
        async with asyncio.timeout(_ANSWER_S):
            await bus.connect()
            for rule in _RULES:
                await bus.call(
                    Message(
                        destination=_BUS, path="/org/freedesktop/DBus", interface=_BUS,
                        member="AddMatch", signature="s", body=[rule],
                    )
                )  # fmt: skip
    except BaseException:
        bus.disconnect()
        raise
    bus.add_message_handler(lambda message: changed() if _tells(message) else None)
    return bus


def _tells(message: "Message") -> bool:
    """Say whether a signal may mean the end of a scan, or that one could be started."""
    body: list[Any] = message.body
    match message.member:
        case "NameOwnerChanged":
            return bool(body[0] == _SERVICE)
        case "InterfacesAdded" | "InterfacesRemoved":
            return _ADAPTER in body[1]
        case "PropertiesChanged":
            # Discovering changes too, at each start and stop of our own
            return bool(body[0] == _ADAPTER) and "Powered" in body[1]
    return False
