"""What is asked of a rig once, before any test: is it there, what is it, what can it not do?"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from fanal.board_link import BoardLink
from fanal.firmware_image import Manifest, locate
from fanal.running import look as running_on
from fanal.status import Status, read_status

_UNKNOWN_CHIP = "unknown"
_NO_IMAGE = "unknown: this MicroPython shows no app partition"

# what only the interpreter can say of itself, whatever board it runs on
_ASK = """
import sys, json
f = {"platform": sys.platform, "wdt": False, "rtc": False, "trigger": False}
try:
    import machine
    f["wdt"] = hasattr(machine, "WDT")
    f["rtc"] = hasattr(machine, "RTC") and hasattr(machine.RTC, "memory")
except ImportError:
    pass
try:
    from beacon import console
    f["trigger"] = hasattr(console, "begin_self_test")
except ImportError:
    pass
print(json.dumps(f))
"""


@dataclass(frozen=True)
class Facts:
    """What a beacon is, as far as it can be known from the wire. Nothing here is secret.

    firmware, built: SHA-256 of the manifest that the files on the board would have, and of that of
    those built here, as in the results of `fanal deploy`. image: the SHA-256 that its MicroPython's
    own descriptor names, or why none.
    """

    name: str
    port: str
    machine: str
    chip: str
    mac: str | None
    micropython: str
    image: str
    version: str
    firmware: str
    built: str
    differing: tuple[str, ...]
    vault: str
    beacon_id: str | None
    settings: Mapping[str, Any]
    faults: tuple[str, ...]
    battery_mv: int | None
    heap_free: int
    abilities: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON can carry it."""
        return json.loads(json.dumps(asdict(self)))


def look(link: BoardLink, name: str) -> tuple[Facts, Status]:
    """Ask a board what it is. Raises FanalError."""
    status = read_status(link)
    running = running_on(link)
    told = json.loads(link.run(_ASK))
    files = link.call("hashes")["files"]
    manifest = locate().manifest
    built = manifest.files
    differing = sorted(
        path for path in files.keys() | built.keys() if files.get(path) != built.get(path)
    )
    here = replace(manifest, version=status.version, files=files)
    facts = Facts(
        name=name, port=link.port, machine=status.machine, chip=status.chip, mac=status.mac,
        micropython=running.micropython,
        image=running.app.elf_sha256 if running.app else _NO_IMAGE,
        version=status.version, firmware=digest(here),
        built=digest(manifest), differing=tuple(differing), vault=status.vault,
        beacon_id=status.beacon_id, settings=status.settings, faults=status.faults,
        battery_mv=status.battery_mv, heap_free=(running.status or {}).get("heap_free", 0),
        abilities=tuple(sorted(_abilities(status, told))),
    )  # fmt: skip
    return facts, status


def _abilities(status: Status, told: Mapping[str, Any]) -> set[str]:
    found = set()
    if status.chip != _UNKNOWN_CHIP:
        found |= {"radio", "sleep"}
    if status.vault == "partition":
        found.add("vault")
    if told["platform"] == "esp32" and told["wdt"]:
        found.add("watchdog")
    if told["rtc"]:
        found.add("rtc")
    if told["trigger"] and status.chip != _UNKNOWN_CHIP:
        found.add("trigger")
    return found


def digest(manifest: Manifest) -> str:
    """Return the SHA-256 of a manifest, hex."""
    return hashlib.sha256(manifest.to_json().encode()).hexdigest()
