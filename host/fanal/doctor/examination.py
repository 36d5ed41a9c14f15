"""`fanal doctor`: this computer, row by row."""

from pathlib import Path

from fanal.doctor import clock, packages, power
from fanal.doctor import own as of_fanal
from fanal.doctor.bluetooth import bluetooth
from fanal.doctor.elsewhere import macos, windows
from fanal.doctor.finding import FAIL, Finding, unchecked
from fanal.doctor.own import Own
from fanal.doctor.serial_line import serial_line
from fanal.doctor.shared_radio import shared_radio
from fanal.doctor.system import System
from fanal.error import EnvironmentFault


def examine(system: System, fleet_dir: Path, found: Own) -> list[Finding]:
    """Return all rows. found: what is Fanal's own here, see `own_things.look`."""
    rows = [packages.python(system), *packages.packages(system)]
    rows += of_fanal.own(system, fleet_dir, found)
    rows += [clock.clock(system, found.newest_ms)]
    if system.platform == "linux":
        rows += [clock.synchronised(system), *serial_line(system), *power.hubs(system)]
        rows += [*bluetooth(system), *shared_radio(system)]
    elif system.platform == "darwin":
        rows += macos(system)
    elif system.platform == "win32":
        rows += windows(system)
    else:
        rows.append(unchecked("this system", f"nothing is known of {system.platform}", ""))
    return rows


def exit_code(rows: list[Finding]) -> int:
    """Return 0 if nothing failed, 7 otherwise."""
    return EnvironmentFault.exit_code if any(row.outcome == FAIL for row in rows) else 0
