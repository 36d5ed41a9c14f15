"""macOS and Windows: what can be seen from here, and plainly what cannot."""

import re

from fanal.doctor.finding import Finding, bad, good, unchecked
from fanal.doctor.system import System

_POWER = re.compile(r"^\s*(?:State|Bluetooth Power): (On|Off)\b", re.MULTILINE)
_RUNNING = re.compile(r"STATE\s*:\s*(\d)")


def macos(system: System) -> list[Finding]:
    """Check Bluetooth's switch; the rest is in the settings."""
    asked = system.run("system_profiler", "SPBluetoothDataType")
    power = _POWER.search(asked.text) if asked is not None else None
    if power is None:
        row = unchecked("Bluetooth", "the system did not tell", "Look in System Settings.")
    elif power.group(1) == "Off":
        row = bad("Bluetooth", "is switched off", "Switch it on in System Settings, Bluetooth.")
    else:
        row = good("Bluetooth", "is on")
    return [
        row,
        unchecked(
            "Bluetooth access",
            "macOS asks once for each terminal program, and shows it nowhere else",
            "System Settings, Privacy & Security, Bluetooth: your terminal must be on.",
        ),
        unchecked(
            "serial drivers", "not looked at",
            "If a board shows no port, install the driver of its USB chip (CP210x, CH34x).",
        ),
        unchecked("shared radio", "not looked at", "Most Macs have one chip for both."),
    ]  # fmt: skip


def windows(system: System) -> list[Finding]:
    """Check Bluetooth's service; the rest is in the settings."""
    asked = system.run("sc", "query", "bthserv")
    state = _RUNNING.search(asked.text) if asked is not None else None
    if state is None:
        row = unchecked("Bluetooth", "the system did not tell", "Look in Settings, Bluetooth.")
    elif state.group(1) == "4":
        row = good("Bluetooth", "its service runs")
    else:
        row = bad("Bluetooth", "its service does not run", "In a terminal of the administrator:",
                  "sc start bthserv")  # fmt: skip
    return [
        row,
        unchecked(
            "Bluetooth switch", "not looked at",
            "Settings, Bluetooth & devices: Bluetooth must be on; no aeroplane mode.",
        ),
        unchecked(
            "serial drivers", "not looked at",
            "Device Manager, Ports (COM & LPT): a board without a port needs the driver of its"
            " USB chip (CP210x, CH34x).",
        ),
        unchecked(
            "fleet access", "who else may read the fleet's folder was not looked at",
            "Keep it in your own user folder.",
        ),
    ]  # fmt: skip
