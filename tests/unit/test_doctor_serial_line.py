"""The doctor on the way to a board: drivers, permissions, and who else wants the port."""

import subprocess

import pytest
from fanal.doctor import power, serial_line
from fanal.doctor.finding import FAIL, OK, WARN

from tests.unit.paper_system import (
    ARCH,
    DEBIAN,
    FEDORA,
    STRANGE,
    SUSE,
    UBUNTU,
    PaperSystem,
    healthy,
    row,
    told,
)

REPLUG = "Then unplug the boards and plug them in again."
RELOAD = "sudo udevadm control --reload"


def serial(system: PaperSystem, name: str):
    return told(row(serial_line.serial_line(system), name))


# -- the serial line


def test_a_port_of_a_group_that_one_is_not_in():
    system = healthy()
    system.plug("1-2", "10c4:ea60", "ttyUSB0", usable=False)
    system.session = system.database = {"tech"}
    assert serial(system, "serial permission") == (
        FAIL, "/dev/ttyUSB0 belongs to the group dialout, you do not",
        "Join the group, then log out of the desktop and in again:",
        ("sudo usermod -aG dialout $USER",),
    )  # fmt: skip


def test_the_group_is_that_of_the_port_whatever_the_distribution():
    system = healthy(ARCH)
    system.plug("1-2", "303a:1001", "ttyACM3", usable=False, group="uucp")
    system.session = system.database = {"tech"}
    assert serial(system, "serial permission")[3] == ("sudo usermod -aG uucp $USER",)


def test_a_group_that_this_login_does_not_have_yet():
    system = healthy()
    system.plug("1-2", "10c4:ea60", "ttyUSB0", usable=False)
    system.session = {"tech"}
    assert serial(system, "serial permission") == (
        FAIL, "you are in the group dialout, but this login began before",
        "Log out of the desktop and in again, or restart; for one terminal it is enough to run:",
        ("newgrp dialout",),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("group", "mode", "wanted"), [("root", 0o660, "dialout"), ("dialout", 0o600, "dialout")]
)
def test_a_port_of_root_alone(group, mode, wanted):
    system = healthy()
    system.plug("1-2", "10c4:ea60", "ttyUSB0", usable=False, group=group, mode=mode)
    assert serial(system, "serial permission") == (
        FAIL, "/dev/ttyUSB0 belongs to root alone",
        f"Let udev give serial ports to the group {wanted}. {REPLUG}",
        ("echo 'SUBSYSTEM==\"tty\", KERNEL==\"ttyUSB*|ttyACM*\", GROUP=\"dialout\", "
         "MODE=\"0660\"' | sudo tee /etc/udev/rules.d/60-fanal.rules", RELOAD),
    )  # fmt: skip


def test_a_port_that_something_else_forbids():
    system = healthy()
    system.plug("1-2", "10c4:ea60", "ttyUSB0", usable=False)
    assert serial(system, "serial permission")[3] == ("getfacl /dev/ttyUSB0",)


def test_a_port_without_a_device_file():
    system = healthy()
    del system.nodes["/dev/ttyUSB0"]
    assert serial(system, "serial permission") == (
        FAIL, "the kernel has /dev/ttyUSB0, but there is no such file",
        "In a container: start it with that device. Elsewhere: make the files anew.",
        ("sudo udevadm trigger --subsystem-match=tty",),
    )  # fmt: skip


@pytest.mark.parametrize(("release", "group"), [(DEBIAN, "dialout"), (ARCH, "uucp")])
def test_without_a_board_the_usual_group_is_a_warning(release, group):
    system = PaperSystem(release)
    system.session = system.database = {"tech"}
    assert serial(system, "serial permission") == (
        WARN, f"you are not in the group {group}",
        "Join the group, then log out of the desktop and in again:",
        (f"sudo usermod -aG {group} $USER",),
    )  # fmt: skip
    system.database = {"tech", group}
    assert serial(system, "serial permission")[3] == (f"newgrp {group}",)
    system.session = {"tech", group}
    assert serial(system, "serial permission")[0] == OK
    system.session, system.is_root = set(), True
    assert serial(system, "serial permission")[0] == OK


@pytest.mark.parametrize(
    ("ids", "what", "module"),
    [
        ("10c4:ea60", "CP210x (10c4:ea60)", "cp210x"),
        ("1a86:7523", "CH340 (1a86:7523)", "ch341"),
        ("0403:6001", "FT232R (0403:6001)", "ftdi_sio"),
        ("303a:1001", "a chip's own USB port (303a:1001)", "cdc_acm"),
    ],
)
def test_a_board_without_a_driver(ids, what, module):
    system = PaperSystem()
    system.plug("1-3", ids)
    assert serial(system, "serial ports") == (
        FAIL, f"{what} is plugged in, but has no port: the kernel has no driver for it",
        f"Load the driver {module}; if that fails, this kernel was built without it.",
        (f"sudo modprobe {module}",),
    )  # fmt: skip


def test_a_board_that_a_virtual_machine_took():
    system = PaperSystem()
    system.plug("1-3", "1a86:7523", driver="usbfs")
    assert serial(system, "serial ports") == (
        FAIL,
        "CH340 (1a86:7523) is plugged in, but has no port: a program took it from the kernel",
        "A virtual machine, or a driver for something else: close it, and plug in again.", (),
    )  # fmt: skip


def test_linux_inside_windows():
    system = PaperSystem()
    system.files["/proc/version"] = "Linux version 5.15.90.1-microsoft-standard-WSL2"
    assert serial(system, "WSL") == (
        WARN, "this Linux runs inside Windows, which keeps USB and Bluetooth to itself",
        "Use Fanal on Windows itself, or attach each board with usbipd there:",
        ("usbipd attach --wsl --busid BUSID",),
    )  # fmt: skip


# -- brltty


RULES = "/usr/lib/udev/rules.d/85-brltty.rules"
CH340 = 'ENV{PRODUCT}=="1a86/7523/*", ENV{BRLTTY_BRAILLE_DRIVER}="bm", GOTO="brltty_usb_run"\n'
CP2102 = (
    'ENV{PRODUCT}=="10c4/ea60/*", ATTRS{manufacturer}=="Silicon Labs", '
    'ATTRS{product}=="CP2102 USB to UART Bridge Controller", GOTO="brltty_usb_run"\n'
)
OF_ONE_MAKER = (
    'ENV{PRODUCT}=="403/6001/*", ATTRS{manufacturer}=="Somebody", GOTO="brltty_usb_run"\n'
)
WARNED = "If nobody here reads braille use the first command, else the others."
MASK = "sudo ln -s /dev/null /etc/udev/rules.d/85-brltty.rules"


@pytest.mark.parametrize(
    ("release", "removal"),
    [
        (DEBIAN, "sudo apt remove brltty"),
        (UBUNTU, "sudo apt remove brltty"),
        (FEDORA, "sudo dnf remove brltty"),
        (ARCH, "sudo pacman -R brltty"),
        (SUSE, "sudo zypper remove brltty"),
    ],
)
@pytest.mark.parametrize("line", [CH340, CP2102])
def test_brltty_lies_in_wait(release, removal, line):
    system = healthy(release)
    system.rules(RULES, line)
    assert serial(system, "brltty") == (
        WARN, f"{RULES} takes USB serial adapters for braille displays", f"{WARNED} {REPLUG}",
        (removal, MASK, RELOAD),
    )  # fmt: skip


def test_brltty_took_a_board():
    system = PaperSystem()
    system.plug("1-3", "1a86:7523", driver="usbfs")
    system.rules(RULES, CH340)
    assert serial(system, "brltty")[0] == FAIL
    assert serial(system, "serial ports") == (
        FAIL, "CH340 (1a86:7523) is plugged in, but has no port: brltty took it",
        "See the row `brltty`.", (),
    )  # fmt: skip


def test_a_system_that_nobody_knows_gets_what_works_anywhere():
    system = PaperSystem(STRANGE)
    system.rules(RULES, CH340)
    assert serial(system, "brltty")[2:] == (
        f"Keep it away from serial adapters. {REPLUG}", (MASK, RELOAD),
    )  # fmt: skip


@pytest.mark.parametrize("text", [f"# {CH340}", f"  #{CP2102}", OF_ONE_MAKER, "", "\x00\xff"])
def test_rules_of_brltty_that_do_no_harm(text):
    system = healthy()
    system.rules(RULES, text)
    assert serial(system, "brltty")[0] == OK


def test_a_rule_that_is_masked_is_not_in_force():
    system = healthy()
    system.rules(RULES, CH340)
    system.rules("/etc/udev/rules.d/85-brltty.rules", "")
    assert serial(system, "brltty")[0] == OK


# -- ModemManager


def ignoring(*vendors):
    return "".join(f'ATTRS{{idVendor}}=="{v}", ENV{{ID_MM_DEVICE_IGNORE}}="1"\n' for v in vendors)


def test_modem_manager_talks_to_boards():
    system = healthy()
    system.process(77, "ModemManager")
    outcome, reason, fix, commands = serial(system, "ModemManager")
    assert (outcome, reason) == (
        WARN, "runs: it may hold a board's port for the first seconds, and type into it",
    )  # fmt: skip
    assert fix == f"Tell it to leave boards alone. {REPLUG}"
    assert commands == (
        'echo \'ATTRS{idVendor}=="303a|10c4|1a86|0403", ENV{ID_MM_DEVICE_IGNORE}="1"\''
        " | sudo tee -a /etc/udev/rules.d/99-fanal-modemmanager.rules",
        RELOAD,
    )


def test_what_it_tells_to_type_is_what_it_looks_for(tmp_path):
    system = healthy()
    system.process(77, "ModemManager")
    command = serial(system, "ModemManager")[3][0].split(" | ")[0]
    written = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    system.rules("/etc/udev/rules.d/99-fanal-modemmanager.rules", written.stdout)
    assert serial(system, "ModemManager")[0] == OK


def test_modem_manager_that_ignores_only_some():
    system = healthy()
    system.process(77, "ModemManager")
    system.rules("/etc/udev/rules.d/99-x.rules", ignoring("303a", "10C4", "0403"))
    assert '"1a86"' in serial(system, "ModemManager")[3][0]
    system.rules("/etc/udev/rules.d/99-x.rules", "#" + ignoring("1a86"))
    assert serial(system, "ModemManager")[0] == WARN


# -- hubs


def test_a_hub_without_a_supply():
    system = PaperSystem()
    system.plug("1-4", "05e3:0608", bDeviceClass="09", bmAttributes="a0", product="USB2.0 Hub")
    for number in range(1, 4):
        system.plug(f"1-4.{number}", "303a:1001", f"ttyACM{number}", bMaxPower="500mA")
    (one,) = power.hubs(system)
    assert told(one) == (
        WARN,
        "USB2.0 Hub: 3 with a serial port; without a supply of its own it has 500 mA for them, and"
        " they declare up to 1500 mA",
        "Use a hub with a supply, or fewer boards at once: one that browns out vanishes in the"
        " middle of flashing.", (),
    )  # fmt: skip
    system.files["/sys/bus/usb/devices/1-4/bmAttributes"] = "e0"
    assert power.hubs(system)[0].outcome == OK


@pytest.mark.parametrize("attributes", ["zz", "", "a0"])
def test_a_hub_that_says_nonsense(attributes):
    system = PaperSystem()
    system.plug("1-4", "05e3:0608", bDeviceClass="09", bmAttributes=attributes)
    assert power.hubs(system) == []  # no board on it
    system.plug("1-4.1", "10c4:ea60", "ttyUSB0", bMaxPower="nonsense")
    assert power.hubs(system)[0].outcome == OK
