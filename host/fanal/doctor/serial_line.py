"""The way to a board on Linux: its driver, its device file, and who may open it."""

from fanal.doctor import distribution, usb
from fanal.doctor.distribution import Distribution
from fanal.doctor.finding import Finding, bad, doubtful, good
from fanal.doctor.rivals import RELOAD, REPLUG, braille_ids, brltty, modem_manager
from fanal.doctor.system import System
from fanal.doctor.usb import BRIDGES, UsbDevice


def serial_line(system: System) -> list[Finding]:
    """Check everything between the USB plug and the device file."""
    linux, plugged = distribution.of(system), usb.devices(system)
    rows = [ports(system, linux, plugged), permission(system, linux, plugged)]
    rows += [row for row in (wsl(system),) if row is not None]
    rows += [brltty(system, linux, plugged), modem_manager(system, plugged)]
    return rows


def ports(system: System, linux: Distribution, plugged: list[UsbDevice]) -> Finding:
    """Say which serial ports there are, and which plugged board has none."""
    without = [device for device in plugged if device.ids in BRIDGES and not device.ports]
    for device in without:
        chip, module = BRIDGES[device.ids]
        what = f"{chip} ({device.ids}) is plugged in, but has no port"
        if device.ids in braille_ids(system):
            return bad("serial ports", f"{what}: brltty took it", "See the row `brltty`.")
        if "usbfs" in device.drivers:
            return bad(
                "serial ports",
                f"{what}: a program took it from the kernel",
                "A virtual machine, or a driver for something else: close it, and plug in again.",
            )
        return bad(
            "serial ports",
            f"{what}: the kernel has no driver for it",
            f"Load the driver {module}; if that fails, this kernel was built without it.",
            f"sudo modprobe {module}",
        )
    found = sorted(port for device in plugged for port in device.ports)
    if not found:
        return good("serial ports", "none is plugged in")
    return good("serial ports", ", ".join(found))


def permission(system: System, linux: Distribution, plugged: list[UsbDevice]) -> Finding:
    """Check that this user may open the ports; where none is there, the group that could."""
    found = sorted(f"/dev/{port}" for device in plugged for port in device.ports)
    for path in found:
        node = system.node(path)
        if node is None:
            return bad(
                "serial permission",
                f"the kernel has {path}, but there is no such file",
                "In a container: start it with that device. Elsewhere: make the files anew.",
                "sudo udevadm trigger --subsystem-match=tty",
            )
        if not node.is_usable:
            return _may_not(system, linux, path, node.group, bool(node.mode & 0o060))
    if found:
        return good("serial permission", "every port may be opened")
    group = linux.serial_group
    groups = system.groups()
    if system.is_root or group in groups.session:
        who = "root" if system.is_root else f"in the group {group}"
        return good("serial permission", f"{who}; no port is there to try it on")
    if group not in groups.existing:
        return good("serial permission", "no port is there to try it on")
    if group in groups.database:
        return doubtful("serial permission", *_not_in_this_login(group))
    return doubtful("serial permission", f"you are not in the group {group}", *_join(group))


def _may_not(
    system: System, linux: Distribution, path: str, group: str, is_for_group: bool
) -> Finding:
    """Say why a port may not be opened."""
    if group == "root" or not is_for_group:
        wanted = linux.serial_group
        return bad(
            "serial permission",
            f"{path} belongs to root alone",
            f"Let udev give serial ports to the group {wanted}. {REPLUG}",
            f'echo \'SUBSYSTEM=="tty", KERNEL=="ttyUSB*|ttyACM*", GROUP="{wanted}", '
            'MODE="0660"\' | sudo tee /etc/udev/rules.d/60-fanal.rules',
            RELOAD,
        )
    groups = system.groups()
    if group in groups.session:
        return bad(
            "serial permission",
            f"{path} cannot be opened, though you are in its group {group}",
            "Look at its access list: something else than its group forbids it.",
            f"getfacl {path}",
        )
    if group in groups.database:
        return bad("serial permission", *_not_in_this_login(group))
    return bad("serial permission", f"{path} belongs to the group {group}, you do not",
               *_join(group))  # fmt: skip


def _not_in_this_login(group: str) -> tuple[str, str, str]:
    return (
        f"you are in the group {group}, but this login began before",
        "Log out of the desktop and in again, or restart; for one terminal it is enough to run:",
        f"newgrp {group}",
    )


def _join(group: str) -> tuple[str, str]:
    return (
        "Join the group, then log out of the desktop and in again:",
        f"sudo usermod -aG {group} $USER",
    )


def wsl(system: System) -> Finding | None:
    """Say that Windows' Linux sees no USB by itself; None elsewhere."""
    if "microsoft" not in (system.read("/proc/version") or "").lower():
        return None
    return doubtful(
        "WSL",
        "this Linux runs inside Windows, which keeps USB and Bluetooth to itself",
        "Use Fanal on Windows itself, or attach each board with usbipd there:",
        "usbipd attach --wsl --busid BUSID",
    )
