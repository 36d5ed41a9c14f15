"""Whether this Linux can hear: the adapter, its switches, its service, and who may use it."""

from fanal.doctor import distribution
from fanal.doctor.distribution import Distribution
from fanal.doctor.finding import Finding, bad, good, unchecked
from fanal.doctor.system import System, is_running

ADAPTERS = "/sys/class/bluetooth"
RFKILL = "/sys/class/rfkill"

_BUS_SOCKETS = ("/run/dbus/system_bus_socket", "/var/run/dbus/system_bus_socket")
_DAEMONS = ("/usr/libexec/bluetooth/bluetoothd", "/usr/lib/bluetooth/bluetoothd",
            "/usr/sbin/bluetoothd")  # fmt: skip
_GROUP = "bluetooth"
_USB_WIRELESS = "e0"
_REFUSALS = ("access denied", "accessdenied", "not allowed", "permission denied", "rejected send")


def bluetooth(system: System) -> list[Finding]:
    """Check from the metal up; what lies above the first failure is not looked at."""
    linux = distribution.of(system)
    rows = []
    for row in (
        adapter(system, linux), switches(system), bus(system, linux), daemon(system, linux)
    ):  # fmt: skip
        rows.append(row)
        if row.outcome == "fail":
            return rows
    return [*rows, access(system, linux)]


def adapters(system: System) -> list[str]:
    """Return the names of the adapters, such as "hci0"."""
    # a connection that is open has an entry of its own there: hci0:64
    names = system.names(ADAPTERS)
    return [name for name in names if name.startswith("hci") and ":" not in name]


def adapter(system: System, linux: Distribution) -> Finding:
    """Find an adapter that the kernel drives."""
    found = adapters(system)
    if found:
        return good("Bluetooth", f"adapter {', '.join(found)}")
    for name in system.names("/sys/bus/usb/devices"):
        folder = f"/sys/bus/usb/devices/{name}"
        if system.read(f"{folder}/bDeviceClass") == _USB_WIRELESS:
            ids = f"{system.read(f'{folder}/idVendor')}:{system.read(f'{folder}/idProduct')}"
            return bad(
                "Bluetooth",
                f"an adapter ({ids}) is plugged in, but the kernel drives none",
                "Load its driver; the kernel's log says if its firmware is missing.",
                "sudo modprobe btusb",
                "sudo dmesg | grep -i bluetooth",
            )
    return bad(
        "Bluetooth",
        "no adapter: `fanal listen` and `verify --air` cannot hear",
        "Plug in a USB Bluetooth adapter. Everything on the wire works without.",
    )


def switches(system: System) -> Finding:
    """Look at rfkill: the software's switch, and the one on the case."""
    for name in system.names(RFKILL):
        folder = f"{RFKILL}/{name}"
        if system.read(f"{folder}/type") != "bluetooth":
            continue
        which = system.read(f"{folder}/name") or name
        if system.read(f"{folder}/hard") == "1":
            return bad(
                "Bluetooth switch",
                f"{which} is switched off by a switch of this computer",
                "Use its wireless switch or aeroplane key, or switch it on in the firmware set-up.",
            )
        if system.read(f"{folder}/soft") == "1":
            return bad(
                "Bluetooth switch", f"{which} is blocked by software", "Unblock it:",
                "sudo rfkill unblock bluetooth",
            )  # fmt: skip
    return good("Bluetooth switch", "not blocked")


def bus(system: System, linux: Distribution) -> Finding:
    """Reach the system's D-Bus, through which every program uses Bluetooth."""
    address = system.variable("DBUS_SYSTEM_BUS_ADDRESS")
    if address and not address.startswith("unix:path="):
        return good("D-Bus", f"at {address.partition(':')[0]}, not tried")
    paths = (address[len("unix:path=") :].partition(",")[0],) if address else _BUS_SOCKETS
    if any(system.connects(path) for path in paths):
        return good("D-Bus", "answers")
    if any(system.node(path) is not None for path in paths):
        return bad("D-Bus", f"{paths[0]} is there, but nobody answers", "Start it:",
                   linux.start("dbus"))  # fmt: skip
    return bad("D-Bus", "does not run here", "Start it; a container needs the socket of its host.",
               linux.start("dbus"))  # fmt: skip


def daemon(system: System, linux: Distribution) -> Finding:
    """Find the service of BlueZ."""
    if is_running(system, "bluetoothd"):
        return good("bluetoothd", "runs")
    if any(system.node(path) is not None for path in _DAEMONS):
        return bad("bluetoothd", "is installed, but does not run", "Start it:",
                   linux.start("bluetooth"))  # fmt: skip
    fix, command = linux.install("bluez")
    return bad("bluetoothd", "is not installed", fix, *filter(None, (command,)))


def access(system: System, linux: Distribution) -> Finding:
    """Ask BlueZ one question as this user: is the adapter on?"""
    for name in adapters(system):
        asked = system.run(
            "busctl", "--system", "--timeout=4", "get-property", "org.bluez", f"/org/bluez/{name}",
            "org.bluez.Adapter1", "Powered",
        )  # fmt: skip
        if asked is None:
            return unchecked(
                "Bluetooth access", "there is no `busctl` to ask with, or it did not answer",
                "Run `bluetoothctl show`: it must say `Powered: yes`.",
            )  # fmt: skip
        text = asked.text.lower()
        if asked.exit_code == 0 and text.endswith("true"):
            return good("Bluetooth access", f"{name} is on, and you may use it")
        if asked.exit_code == 0:
            return bad("Bluetooth access", f"{name} is switched off", "Switch it on:",
                       "bluetoothctl power on")  # fmt: skip
        if any(word in text for word in _REFUSALS):
            return _refused(system)
    return bad("Bluetooth access", "bluetoothd does not know the adapter", "Start it anew:",
               linux.restart("bluetooth"))  # fmt: skip


def _refused(system: System) -> Finding:
    groups = system.groups()
    if _GROUP in groups.database and _GROUP not in groups.session:
        return bad(
            "Bluetooth access",
            f"you are in the group {_GROUP}, but this login began before",
            "Log out of the desktop and in again, or restart.",
        )
    if _GROUP in groups.existing and _GROUP not in groups.session:
        return bad(
            "Bluetooth access", "you may not use Bluetooth",
            "Join the group, then log out of the desktop and in again:",
            f"sudo usermod -aG {_GROUP} $USER",
        )  # fmt: skip
    return bad(
        "Bluetooth access",
        "you may not use Bluetooth from this session",
        "Work at the computer's own desktop, not over ssh: a rule of D-Bus (bluetooth.conf) or"
        " polkit allows it there.",
    )
