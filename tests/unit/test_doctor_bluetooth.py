"""The doctor on hearing: the adapter, its switches and service, and the radio it shares."""

import pytest
from fanal.doctor import bluetooth
from fanal.doctor.finding import FAIL, OK, UNCHECKED, WARN
from fanal.doctor.shared_radio import shared_radio
from fanal.doctor.system import Done, Node

from tests.unit.paper_system import (
    ARCH,
    DEBIAN,
    FEDORA,
    STRANGE,
    SUSE,
    PaperSystem,
    healthy,
    row,
    told,
)


def radio(system: PaperSystem, name: str):
    return told(row(bluetooth.bluetooth(system), name))


# -- Bluetooth


def test_no_adapter():
    system = healthy()
    del system.files["/sys/class/bluetooth/hci0/type"]
    rows = bluetooth.bluetooth(system)
    assert [told(row) for row in rows] == [
        (FAIL, "no adapter: `fanal listen` and `verify --air` cannot hear",
         "Plug in a USB Bluetooth adapter. Everything on the wire works without.", ()),
    ]  # fmt: skip


def test_an_adapter_without_a_driver():
    system = healthy()
    del system.files["/sys/class/bluetooth/hci0/type"]
    system.plug("1-9", "8087:0026", bDeviceClass="e0")
    assert radio(system, "Bluetooth") == (
        FAIL, "an adapter (8087:0026) is plugged in, but the kernel drives none",
        "Load its driver; the kernel's log says if its firmware is missing.",
        ("sudo modprobe btusb", "sudo dmesg | grep -i bluetooth"),
    )  # fmt: skip


def test_a_connection_is_no_adapter():
    system = healthy()
    system.files["/sys/class/bluetooth/hci0:64/type"] = "link"
    assert bluetooth.adapters(system) == ["hci0"]


def test_rfkill_soft_and_hard():
    system = healthy()
    system.files["/sys/class/rfkill/rfkill0/soft"] = "1"
    assert radio(system, "Bluetooth switch") == (
        FAIL, "hci0 is blocked by software", "Unblock it:", ("sudo rfkill unblock bluetooth",),
    )  # fmt: skip
    system.files["/sys/class/rfkill/rfkill0/hard"] = "1"
    assert radio(system, "Bluetooth switch") == (
        FAIL, "hci0 is switched off by a switch of this computer",
        "Use its wireless switch or aeroplane key, or switch it on in the firmware set-up.", (),
    )  # fmt: skip
    system.files["/sys/class/rfkill/rfkill0/type"] = "wlan"
    assert radio(system, "Bluetooth switch")[0] == OK


def test_no_bus():
    system = healthy()
    system.sockets = set()
    assert radio(system, "D-Bus") == (
        FAIL, "does not run here", "Start it; a container needs the socket of its host.",
        ("sudo systemctl enable --now dbus",),
    )  # fmt: skip
    system.nodes["/run/dbus/system_bus_socket"] = Node("root", 0o666, True)
    assert radio(system, "D-Bus")[1] == ("/run/dbus/system_bus_socket is there, but nobody answers")
    system.variables["DBUS_SYSTEM_BUS_ADDRESS"] = "unix:path=/tmp/bus,guid=1"
    system.sockets = {"/tmp/bus"}
    assert radio(system, "D-Bus")[0] == OK
    system.variables["DBUS_SYSTEM_BUS_ADDRESS"] = "tcp:host=x"
    assert radio(system, "D-Bus")[0] == OK


@pytest.mark.parametrize(
    ("release", "command"),
    [
        (DEBIAN, "sudo apt install bluez"),
        (FEDORA, "sudo dnf install bluez"),
        (ARCH, "sudo pacman -S bluez"),
        (SUSE, "sudo zypper install bluez"),
    ],
)
def test_no_bluez(release, command):
    system = healthy(release)
    del system.files["/proc/812/comm"]
    expected = (FAIL, "is not installed", "Install it:", (command,))
    assert radio(system, "bluetoothd") == expected


def test_no_bluez_on_a_system_that_nobody_knows():
    system = healthy(STRANGE)
    del system.files["/proc/812/comm"]
    assert radio(system, "bluetoothd")[2:] == (
        "Install the package bluez with this system's package manager.", (),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("init", "command"),
    [
        ("/run/systemd/system", "sudo systemctl enable --now bluetooth"),
        ("/run/openrc", "sudo rc-service bluetooth start"),
        ("/run/other", "sudo service bluetooth start"),
    ],
)
def test_a_service_that_does_not_run(init, command):
    system = healthy()
    del system.files["/proc/812/comm"]
    del system.nodes["/run/systemd/system"]
    system.nodes[init] = Node("root", 0o755, True)
    system.nodes["/usr/libexec/bluetooth/bluetoothd"] = Node("root", 0o755, True)
    assert radio(system, "bluetoothd") == (
        FAIL, "is installed, but does not run", "Start it:", (command,),
    )  # fmt: skip


def test_an_adapter_that_is_off():
    system = healthy()
    system.commands["busctl"] = Done(0, "b false")
    assert radio(system, "Bluetooth access") == (
        FAIL, "hci0 is switched off", "Switch it on:", ("bluetoothctl power on",),
    )  # fmt: skip


def test_an_adapter_that_the_service_does_not_know():
    system = healthy()
    system.commands["busctl"] = Done(1, "Failed to get property Powered: Unknown object '/o'.")
    assert radio(system, "Bluetooth access") == (
        FAIL, "bluetoothd does not know the adapter", "Start it anew:",
        ("sudo systemctl restart bluetooth",),
    )  # fmt: skip


REFUSED = Done(1, "Failed to get property Powered on interface org.bluez.Adapter1: Access denied")


def test_a_user_who_may_not():
    system = healthy()
    system.commands["busctl"] = REFUSED
    system.session = system.database = {"tech"}
    assert radio(system, "Bluetooth access") == (
        FAIL, "you may not use Bluetooth",
        "Join the group, then log out of the desktop and in again:",
        ("sudo usermod -aG bluetooth $USER",),
    )  # fmt: skip
    system.database = {"tech", "bluetooth"}
    assert radio(system, "Bluetooth access") == (
        FAIL, "you are in the group bluetooth, but this login began before",
        "Log out of the desktop and in again, or restart.", (),
    )  # fmt: skip
    system.existing = set()
    system.database = {"tech"}
    assert radio(system, "Bluetooth access") == (
        FAIL, "you may not use Bluetooth from this session",
        "Work at the computer's own desktop, not over ssh: a rule of D-Bus (bluetooth.conf) or"
        " polkit allows it there.", (),
    )  # fmt: skip


def test_nothing_to_ask_the_service_with():
    system = healthy()
    del system.commands["busctl"]
    assert radio(system, "Bluetooth access") == (
        UNCHECKED, "there is no `busctl` to ask with, or it did not answer",
        "Run `bluetoothctl show`: it must say `Powered: yes`.", (),
    )  # fmt: skip


def test_the_second_adapter_counts_too():
    system = healthy()
    system.files["/sys/class/bluetooth/hci1/type"] = "primary"
    system.commands["busctl"] = Done(1, "Unknown object")
    answers = {"/org/bluez/hci1": Done(0, "b true")}
    system.run = lambda *command: answers.get(command[5], Done(1, "Unknown object"))
    assert radio(system, "Bluetooth access")[1] == "hci1 is on, and you may use it"


# -- a shared radio


def with_wifi(system, *, maker="0x8086", state="up", usb="8087:0026", removable="fixed"):
    system.links["/sys/class/bluetooth/hci0/device"] = "/sys/devices/pci0/usb1/1-14/1-14:1.0"
    vendor, product = usb.split(":")
    system.files |= {
        "/sys/devices/pci0/usb1/1-14/idVendor": vendor,
        "/sys/devices/pci0/usb1/1-14/idProduct": product,
        "/sys/devices/pci0/usb1/1-14/removable": removable,
        "/sys/class/net/wlan0/operstate": state,
        "/sys/class/net/wlan0/wireless/status": "0",
        "/sys/class/net/lo/operstate": "unknown",
        "/sys/devices/pci0/0000:00:14.3/vendor": maker,
    }
    system.links["/sys/class/net/wlan0/device"] = "/sys/devices/pci0/0000:00:14.3"
    return system


def test_bluetooth_and_wifi_on_one_chip():
    (one,) = shared_radio(with_wifi(PaperSystem()))
    assert told(one) == (
        WARN, "hci0 seems to share one chip with Wi-Fi (wlan0, in use): it hears less",
        "Use a network cable, and switch Wi-Fi off while you listen or run `verify --air`"
        " (`unblock` brings it back):",
        ("sudo rfkill block wlan",),
    )  # fmt: skip


def test_another_adapter_is_the_way_out():
    system = with_wifi(PaperSystem())
    system.files["/sys/class/bluetooth/hci1/type"] = "primary"
    system.links["/sys/class/bluetooth/hci1/device"] = "/sys/devices/pci0/usb1/1-2/1-2:1.0"
    system.files["/sys/devices/pci0/usb1/1-2/idVendor"] = "0bda"
    (one,) = shared_radio(system)
    assert one.fix == (
        "Listen with the other adapter (--adapter hci1), or switch Wi-Fi off meanwhile"
        " (`unblock` brings it back):"
    )


@pytest.mark.parametrize(
    "other",
    [
        {"state": "down"},
        {"usb": "0a12:0001", "removable": "unknown"},  # a stick beside an Intel card
        {"maker": "0x10ec", "usb": "0bda:8771", "removable": "removable"},
    ],
)
def test_radios_that_do_not_disturb_each_other(other):
    (one,) = shared_radio(with_wifi(PaperSystem(), **other))
    assert one.outcome == OK


@pytest.mark.parametrize(
    ("maker", "usb"), [("0x10ec", "0bda:b00b"), ("0x14c3", "13d3:3563"), ("0x168c", "0cf3:e300")]
)
def test_cards_of_other_makers(maker, usb):
    (one,) = shared_radio(with_wifi(PaperSystem(), maker=maker, usb=usb, removable="unknown"))
    assert one.outcome == WARN


def test_a_chip_that_is_soldered_on():
    system = with_wifi(PaperSystem())
    system.links["/sys/class/bluetooth/hci0/device"] = (
        "/sys/devices/platform/soc/fe201000.serial/serial0/serial0-0"
    )
    assert shared_radio(system)[0].outcome == WARN


def test_no_wifi_no_row():
    assert shared_radio(healthy()) == []
    system = with_wifi(PaperSystem())
    del system.files["/sys/class/bluetooth/hci0/type"]
    assert shared_radio(system) == []
