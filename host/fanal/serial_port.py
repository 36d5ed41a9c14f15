"""Serial ports of this computer: which there are, whose, and why one cannot be opened.

A port is a device path, or a URL that pyserial opens (`rfc2217://HOST:PORT`, `socket://HOST:PORT`).
"""

import os
import re
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from serial.tools import list_ports
from serial.tools.list_ports_common import ListPortInfo

from fanal.error import DeviceError, EnvironmentFault, FanalError, UsageError

PORTS_VARIABLE = "FANAL_PORTS"

_ESPRESSIF = 0x303A
_MAC = re.compile(r"([0-9a-f]{2}:){5}[0-9a-f]{2}", re.IGNORECASE)
_CONNECT_S = 2.0


@dataclass(frozen=True)
class Attached:
    """A serial port, as its system describes it. Nothing was opened to learn this.

    usb_serial, vid, pid: of its USB device, None if it is none. mac: "aa:bb:cc:dd:ee:ff" of the
    chip behind it, None where only the board can tell (a chip's own USB port names it).
    """

    port: str
    description: str
    usb_serial: str | None = None
    vid: int | None = None
    pid: int | None = None
    mac: str | None = None


def attached() -> list[Attached]:
    """Return the USB serial ports, then those that the variable FANAL_PORTS names.

    The variable is for ports that no system lists, separated by spaces: RFC 2217 servers, virtual
    boards, other lines with a board behind.
    """
    found = [
        Attached(p.device, p.description or "", p.serial_number, p.vid, p.pid, _mac_of(p))
        for p in list_ports.comports()
        if p.vid is not None
    ]
    listed = {port.port for port in found}
    named = [port for port in os.environ.get(PORTS_VARIABLE, "").split() if port not in listed]
    return sorted(found, key=lambda port: port.port) + [
        Attached(port, f"named in {PORTS_VARIABLE}") for port in dict.fromkeys(named)
    ]


def find_port(port: str | None = None) -> str:
    """Return `port` if it is there, the port of a MAC address, or the only port there is.

    Raises DeviceError, listing what there is.
    """
    if port is not None and _MAC.fullmatch(port):
        return _port_of(port.lower())
    if port is not None:
        if not exists(port):
            raise why_not(port)
        return port
    ports = attached()
    if len(ports) == 1:
        return ports[0].port
    if not ports:
        raise DeviceError(
            "No beacon is connected: there is no USB serial port.",
            "Plug one in with a cable that carries data, or name its port with --port.",
            code="no_port",
        )
    listed = ", ".join(f"{found.port} ({found.description})" for found in ports)
    raise DeviceError(
        f"There are {len(ports)} serial ports: {listed}.",
        "Say which one with --port.",
        code="several_ports",
    )


def find_ports(ports: Sequence[str], is_all: bool = False) -> list[str]:
    """Return the ports that were named, all that are attached, or the only one there is.

    Raises DeviceError; UsageError for both at once.
    """
    if ports and is_all:
        raise UsageError("--port and --all contradict each other.", "Give one of them.")
    if is_all:
        found = [port.port for port in attached()]
        return found or [find_port()]
    return list(dict.fromkeys(find_port(port) for port in ports)) or [find_port()]


def come_back(port: str, mac: str, patience_s: float) -> str:
    """Return where the board of that MAC address is after a reset, waiting until it is there.

    A port of the chip's own goes and comes with a reset, and may come with another name.
    """
    deadline = time.monotonic() + patience_s
    while True:
        here = next((found.port for found in attached() if found.mac == mac), port)
        if exists(here) or time.monotonic() >= deadline:
            return here
        time.sleep(0.1)


def is_url(port: str) -> bool:
    """Say whether a port is reached over a network."""
    return "://" in port


def exists(port: str) -> bool:
    """Say whether the port is there. A URL counts as there: only opening it tells."""
    if is_url(port):
        return True
    if os.name == "nt":  # where ports are no files
        return port.upper() in {found.device.upper() for found in list_ports.comports()}
    return os.path.exists(port)


def why_not(port: str) -> FanalError:
    """Return the error that says why `port` did not open."""
    if is_url(port):
        return _why_not_url(port)
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
    return EnvironmentFault(
        f"{port} is in use by {holder(port) or 'another program'}.",
        "Close that program, or wait until it is done, and try again.",
        code="port_busy",
        port=port,
    )


def holder(port: str) -> str | None:
    """Return "process PID (NAME)" of what locked or opened the port, where /proc tells.

    A process of this one does not count; None where nobody has it, or nothing can be known.
    """
    try:
        status = os.stat(port)
    except OSError:
        return None
    # the lock names its owner; a mere open handle may be a board's own supervisor
    for process in [*_lockers(status), *_openers(status)]:
        if process != os.getpid():
            return f"process {process} ({_name(process)})"
    return None


def _mac_of(info: ListPortInfo) -> str | None:
    serial = info.serial_number or ""
    return serial.lower() if info.vid == _ESPRESSIF and _MAC.fullmatch(serial) else None


def _port_of(mac: str) -> str:
    for found in attached():
        if found.mac == mac:
            return found.port
    raise DeviceError(
        f"No port says that it belongs to {mac}.",
        "Only a chip with a USB port of its own does; for others name the port, or ask all boards"
        " with `fanal ports --probe`.",
        code="no_port",
    )


def _why_not_url(port: str) -> FanalError:
    try:
        where = urlsplit(port)
        address = (where.hostname or "", where.port or 0)
    except ValueError:
        address = ("", 0)
    if not all(address):
        return DeviceError(
            f"{port} is not a port's address.", "For example rfc2217://127.0.0.1:4000.",
            code="no_port", port=port,
        )  # fmt: skip
    try:
        socket.create_connection(address, _CONNECT_S).close()
    except OSError:
        return DeviceError(
            f"Nothing answers at {port}.", "Check the address, and that its server runs.",
            code="no_port", port=port,
        )  # fmt: skip
    return EnvironmentFault(
        f"{port} is in use by another program, or is no serial line.",
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
