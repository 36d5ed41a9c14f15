"""Programs that take a board's port for something else: a braille display, a modem."""

import re

from fanal.doctor.distribution import Distribution
from fanal.doctor.finding import Finding, bad, doubtful, good
from fanal.doctor.system import System, is_running
from fanal.doctor.usb import BRIDGES, UsbDevice

RULES = ("/etc/udev/rules.d", "/run/udev/rules.d", "/usr/lib/udev/rules.d", "/lib/udev/rules.d")
RELOAD = "sudo udevadm control --reload"
REPLUG = "Then unplug the boards and plug them in again."

_PRODUCT = re.compile(r'ENV\{PRODUCT\}=="([0-9a-f]+/[0-9a-f]+)/', re.IGNORECASE)
# a rule that names the maker of a braille display leaves other adapters alone; this names none
_ANYONES = "CP2102 USB to UART Bridge Controller"
_VENDORS = ("303a", "10c4", "1a86", "0403")
_IGNORE_FILE = "/etc/udev/rules.d/99-fanal-modemmanager.rules"


def brltty(system: System, linux: Distribution, plugged: list[UsbDevice]) -> Finding:
    """Find the driver for braille displays that takes ordinary serial adapters for one."""
    rules = braille_rules(system)
    if not rules:
        return good("brltty", "takes no serial adapter away")
    taken = [d for d in plugged if not d.ports and d.ids in braille_ids(system)]
    make = bad if taken else doubtful
    masks = [f"sudo ln -s /dev/null /etc/udev/rules.d/{path.rpartition('/')[2]}" for path in rules]
    removal = linux.remove("brltty")
    if removal:
        fix = "If nobody here reads braille use the first command, else the others."
    else:
        fix = "Keep it away from serial adapters."
    return make(
        "brltty",
        f"{next(iter(rules))} takes USB serial adapters for braille displays",
        f"{fix} {REPLUG}",
        *([removal] if removal else []),
        *masks,
        RELOAD,
    )


def braille_rules(system: System) -> dict[str, set[str]]:
    """Return the rules files in force that give ordinary adapters to brltty, and which ones."""
    found = {}
    for path, text in _rules(system).items():
        ids = {grabbed for line in text.splitlines() if (grabbed := _grabbed(line)) is not None}
        if "brltty" in path and ids:
            found[path] = ids
    return found


def _grabbed(line: str) -> str | None:
    """Return "vid:pid" of the ordinary adapter that a line of brltty's rules takes, or None."""
    match = _PRODUCT.search(line)
    if match is None or line.lstrip().startswith("#"):
        return None
    # udev writes them without zeros in front
    ids = ":".join(part.zfill(4) for part in match.group(1).lower().split("/"))
    is_narrow = "ATTRS{" in line and _ANYONES not in line
    return ids if ids in BRIDGES and not is_narrow else None


def braille_ids(system: System) -> set[str]:
    """Return "vid:pid" of all that brltty takes."""
    return set().union(*braille_rules(system).values())


def modem_manager(system: System, plugged: list[UsbDevice]) -> Finding:
    """Find the service that talks to a new serial port to see whether it is a modem."""
    if not is_running(system, "ModemManager"):
        return good("ModemManager", "does not run")
    text = "\n".join(_in_force(text) for text in _rules(system).values())
    open_to_it = [vendor for vendor in _VENDORS if not _is_ignored(text, vendor)]
    if not open_to_it:
        return good("ModemManager", "runs, and is told to leave serial adapters alone")
    rule = f'ATTRS{{idVendor}}=="{"|".join(open_to_it)}", ENV{{ID_MM_DEVICE_IGNORE}}="1"'
    return doubtful(
        "ModemManager",
        "runs: it may hold a board's port for the first seconds, and type into it",
        f"Tell it to leave boards alone. {REPLUG}",
        f"echo '{rule}' | sudo tee -a {_IGNORE_FILE}",
        RELOAD,
    )


def _is_ignored(rules: str, vendor: str) -> bool:
    return any(
        re.search(rf'idVendor\}}=="([^"]*\|)?{vendor}["|]', line, re.IGNORECASE)
        and re.search(r'ID_MM_(DEVICE|PORT)_IGNORE\}="1"', line)
        for line in rules.splitlines()
    )


def _rules(system: System) -> dict[str, str]:
    """Return path -> text of udev's rules; a name in /etc hides the same in /usr/lib."""
    found: dict[str, str] = {}
    seen: set[str] = set()
    for folder in RULES:
        for name in system.names(folder):
            if name.endswith(".rules") and name not in seen:
                seen.add(name)
                found[f"{folder}/{name}"] = system.read(f"{folder}/{name}") or ""
    return found


def _in_force(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
