"""Serial ports of this computer: which there are, and why one cannot be opened."""

import os
from pathlib import Path

from serial.tools import list_ports

from fanal.error import DeviceError, EnvironmentFault, FanalError


def find_port(port: str | None = None) -> str:
    """Return `port` if it is there, or the only USB serial port there is.

    Raises DeviceError, listing what there is.
    """
    if port is not None:
        if not exists(port):
            raise why_not(port)
        return port
    ports = [p for p in list_ports.comports() if p.vid is not None]
    found: dict[str, str] = {p.device: p.description for p in ports}
    if len(found) == 1:
        return next(iter(found))
    if not found:
        raise DeviceError(
            "No beacon is connected: there is no USB serial port.",
            "Plug one in with a cable that carries data, or name its port with --port.",
            code="no_port",
        )
    listed = ", ".join(f"{device} ({text})" for device, text in sorted(found.items()))
    raise DeviceError(
        f"There are {len(found)} serial ports: {listed}.",
        "Say which one with --port.",
        code="several_ports",
    )


def exists(port: str) -> bool:
    """Say whether the port is there. Windows names are no files: they count as there."""
    return os.name == "nt" or os.path.exists(port)


def why_not(port: str) -> FanalError:
    """Return the error that says why `port` did not open."""
    if not exists(port):
        return DeviceError(
            f"There is no port {port}.", "Check the cable and the name.", code="no_port", port=port
        )
    if os.name != "nt" and not os.access(port, os.R_OK | os.W_OK):
        return EnvironmentFault(
            f"You are not allowed to open {port}.",
            f"Run `sudo usermod -aG {_group(port)} $USER`, log out and in, and try again.",
            code="permission",
            port=port,
        )
    if not _is_serial(port):
        return DeviceError(
            f"{port} is not a serial port.", "Check the name.", code="no_port", port=port
        )
    holder = _holder(port)
    return EnvironmentFault(
        f"{port} is in use by {holder or 'another program'}.",
        "Close that program, or wait until it is done, and try again.",
        code="port_busy",
        port=port,
    )


def _is_serial(port: str) -> bool:
    if os.name == "nt":
        return True
    try:
        handle = os.open(port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError:
        return Path(port).is_char_device()  # locked, or failing: not to be told from here
    try:
        return os.isatty(handle)
    finally:
        os.close(handle)


def _group(port: str) -> str:
    try:
        group = Path(port).group()
    except (KeyError, OSError):
        return "dialout"
    return "dialout" if group == "root" else group  # nobody is to be told to join root


def _holder(port: str) -> str | None:
    """Return "PID (name)" of the process that locked or opened the port, where /proc tells."""
    try:
        status = os.stat(port)
    except OSError:
        return None
    # the lock names its owner; a mere open handle may be a board's own supervisor
    for process in [*_lockers(status), *_openers(status)]:
        if process != os.getpid():
            return f"process {process} ({_name(process)})"
    return None


def _lockers(status: os.stat_result) -> list[int]:
    inode = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    try:
        rows = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    except OSError:
        return []
    return [int(row[4]) for row in rows if inode in row and row[4].isdigit()]


def _openers(status: os.stat_result) -> list[int]:
    found = []
    for folder in Path("/proc").glob("[0-9]*/fd"):
        try:
            handles = list(folder.iterdir())
        except OSError:
            continue  # another user's process, or one that just ended
        if any(_opens(handle, status) for handle in handles):
            found.append(int(folder.parent.name))
    return found


def _opens(handle: Path, status: os.stat_result) -> bool:
    try:
        return os.path.samestat(handle.stat(), status)
    except OSError:
        return False


def _name(process: int) -> str:
    try:
        return Path(f"/proc/{process}/comm").read_text().strip()
    except OSError:
        return "unknown"
