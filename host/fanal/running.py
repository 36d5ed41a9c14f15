"""What runs on a board that answers at a MicroPython prompt: chip, image, partitions, Fanal."""

import contextlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fanal.app_info import APP_INFO_BYTES, AppInfo, read_app_info
from fanal.chips import CHIPS, Chip
from fanal.error import DeviceError, FanalError
from fanal.partition_table import Partition
from fanal.printable import printable
from fanal.repl import Repl, ScriptFailed

_MAC = re.compile(r"[0-9a-f]{12}")

# Any MicroPython answers this; what a machine does not have stays None.
_LOOK = f"""
import sys, json
from binascii import hexlify
found = {{"machine": getattr(sys.implementation, "_machine", ""), "banner": sys.version}}
try:
    import machine
    found["mac"] = hexlify(machine.unique_id()).decode()
except (ImportError, AttributeError):
    pass
try:
    from esp32 import Partition
    app = bytearray({APP_INFO_BYTES})
    Partition(Partition.RUNNING).readblocks(0, app, 0)
    found["app"] = hexlify(app).decode()
    found["partitions"] = [p.info()[:5] for t in (0, 1) for p in Partition.find(t)]
except (ImportError, OSError):
    pass
print(json.dumps(found))
"""


@dataclass(frozen=True)
class Running:
    """A board at its prompt.

    chip: None if it is no ESP32. mac: "aa:bb:cc:dd:ee:ff" or None. micropython: "1.28.0". app: the
    descriptor of the image that runs, None if there is none. partitions: in the order of their
    addresses, without the table's flags. status: what Fanal says of itself, None without Fanal.
    """

    machine: str
    chip: Chip | None
    mac: str | None
    micropython: str
    app: AppInfo | None
    partitions: tuple[Partition, ...]
    status: Mapping[str, Any] | None


def look(repl: Repl) -> Running:
    """Ask a board what runs on it, changing nothing. Raises DeviceError, BoardLost."""
    try:
        found = json.loads(repl.run(_LOOK))
        machine = printable(str(found["machine"]))
        mac = str(found.get("mac", ""))
        return Running(
            machine=machine,
            chip=_chip(machine),
            mac=bytes.fromhex(mac).hex(":") if _MAC.fullmatch(mac) else None,
            micropython=_version(printable(str(found["banner"]))),
            app=_app(found.get("app")),
            partitions=_partitions(found.get("partitions") or []),
            status=_status(repl),
        )
    except (LookupError, TypeError, ValueError, OverflowError, RecursionError):
        raise DeviceError(
            f"What the board on {repl.port} says of itself cannot be understood.",
            "Check the cable, and that one board alone is on this port.",
            code="garbage",
            port=repl.port,
        ) from None


def _chip(machine: str) -> Chip | None:
    """Return the chip of "... module with ESP32C3"; a board's own name may stand before it."""
    name = machine.rpartition(" with ")[2].strip().lower().replace("-", "")
    return CHIPS.get(name.split(" ")[0])


def _version(banner: str) -> str:
    """Return "1.28.0" of "3.4.0; MicroPython v1.28.0 on 2026-04-06"."""
    found = re.search(r"MicroPython v?(\S+)", banner)
    return found[1] if found else ""


def _app(text: str | None) -> AppInfo | None:
    if text is None:
        return None
    with contextlib.suppress(FanalError):
        return read_app_info(bytes.fromhex(text))
    return None


def _partitions(rows: list[list[Any]]) -> tuple[Partition, ...]:
    found = [Partition(str(row[4]), *(int(number) for number in row[:4])) for row in rows]
    return tuple(sorted(found, key=lambda partition: partition.address))


def _status(repl: Repl) -> Mapping[str, Any] | None:
    try:
        reply = json.loads(repl.run("from beacon import console\nconsole.status()"))
    except (ScriptFailed, ValueError, RecursionError):
        return None
    return reply if isinstance(reply, dict) and reply.get("ok") is True else None
