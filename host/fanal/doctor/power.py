"""Whether a USB hub has enough current for the boards on it, as far as they declare it."""

from fanal.doctor import usb
from fanal.doctor.finding import Finding, doubtful, good
from fanal.doctor.system import System

# what a computer's port gives to a hub without a supply of its own: USB 2.0, 7.2.1.1
_PORT_MA = 500


def hubs(system: System) -> list[Finding]:
    """Return a row if boards sit on a hub. Hubs and boards say of themselves what they like."""
    plugged = usb.devices(system)
    rows = []
    for hub in (device for device in plugged if device.is_hub):
        boards = [device for device in plugged if device.hub == hub.name and device.ports]
        wanted_ma = sum(board.most_ma or 0 for board in boards)
        if not boards:
            continue
        what = f"{hub.title or hub.ids}: {len(boards)} with a serial port"
        if hub.is_self_powered:
            rows.append(good("USB hub", f"{what}; it says that it has a supply of its own"))
        elif wanted_ma > _PORT_MA:
            rows.append(
                doubtful(
                    "USB hub",
                    f"{what}; without a supply of its own it has {_PORT_MA} mA for them, and they"
                    f" declare up to {wanted_ma} mA",
                    "Use a hub with a supply, or fewer boards at once: one that browns out"
                    " vanishes in the middle of flashing.",
                )
            )
        else:
            rows.append(good("USB hub", f"{what}; they declare {wanted_ma} mA of {_PORT_MA} mA"))
    return rows
