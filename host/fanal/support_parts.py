"""What a support file is made of: parts, each of fields that are named here, one by one.

What is added elsewhere later stays out until somebody has thought about it. Free text goes through
a Redactor. A part that fails says so in its place, since a computer on which something fails is
the reason for all of this.
"""

import hashlib
import json
import platform
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from fanal.batch import BATCHES, JOURNAL, PLAN
from fanal.doctor.finding import Finding
from fanal.doctor.own import Own
from fanal.doctor.packages import requirement
from fanal.doctor.system import System
from fanal.error import FanalError
from fanal.firmware_image import FirmwareImage
from fanal.ports import Port
from fanal.redaction import Redactor
from fanal.registry import Beacon
from fanal.schema import SCHEMA_VERSION

_JOURNAL_FIELDS = (
    "time", "number", "event", "step", "outcome", "mac", "chip", "beacon_id", "seconds", "station",
    "tool", "image_sha256", "firmware_sha256",
)  # fmt: skip
_NAMING = ("label", "site", "place", "notes")  # columns of a batch's rows
_TECHNICIAN = re.compile(r'"technician": "((?:[^"\\]|\\.)*)"')
_MOST_LINES = 5000


@dataclass(frozen=True)
class Sources:
    """What a support file is made from; each is called once, and may fail.

    beacons: None without a registry. errors: what `error_log.last` returns.
    """

    fleet_dir: Path
    system: System
    own: Callable[[], Own]
    doctor: Callable[[], Sequence[Finding]]
    ports: Callable[[], Sequence[Port]]
    beacons: Callable[[], Sequence[Beacon] | None]
    errors: Callable[[], Sequence[Mapping[str, Any]]]


@dataclass(frozen=True)
class Member:
    """One file inside. what: in words."""

    name: str
    what: str
    content: bytes


def json_member(name: str, what: str, value: Any) -> Member:
    """Return a value as a file."""
    return Member(name, what, json.dumps(value, indent=1, ensure_ascii=False).encode() + b"\n")


def parts(sources: Sources, redactor: Redactor) -> Iterator[Member]:
    """Return all parts, none of which raises."""
    makers: tuple[tuple[str, str, Callable[[], Any]], ...] = (
        ("about.json", "versions of Fanal, Python, packages, firmware and system",
         lambda: _about(sources, redactor)),
        ("doctor.json", "the rows of `fanal doctor`", lambda: _doctor(sources.doctor(), redactor)),
        ("ports.json", "what is attached; nothing was asked or opened",
         lambda: [_port(port, redactor) for port in sources.ports()]),
        ("registry.json", "how many beacons in which state, their ids and boards",
         lambda: _registry(sources.beacons())),
        ("errors.json", "which commands failed lately, when, and where in the code",
         lambda: list(sources.errors())),
    )  # fmt: skip
    for name, what, make in makers:
        yield json_member(name, what, _or_why_not(make))
    for number, path in enumerate(_journals(sources.fleet_dir), 1):
        what = f"the steps of batch {number}: which board, what, when, how it ended"
        lines = _or_why_not(partial(_journal, path, redactor))
        yield json_member(f"batch-{number}.json", what, lines)


def _or_why_not(make: Callable[[], Any]) -> Any:
    try:
        return make()
    except FanalError as problem:
        return {"unavailable": problem.code}
    except Exception as problem:  # noqa: BLE001 - whatever fails here is what help is needed for
        return {"unavailable": type(problem).__name__}


def _about(sources: Sources, redactor: Redactor) -> dict[str, Any]:
    system, own = sources.system, sources.own()
    names = sorted({requirement(text).name for text in system.requirements()} | {"fanal"})
    release = (system.read("/etc/os-release") or "").splitlines()
    fields = ("ID=", "VERSION_ID=", "VERSION_CODENAME=", "ID_LIKE=")
    return {
        "packages": {name: system.package(name) for name in names},
        "python": ".".join(map(str, system.python)),
        "implementation": platform.python_implementation(),
        "platform": system.platform,
        "kernel": redactor.text(platform.release()),
        "machine": platform.machine(),
        "distribution": [redactor.text(line) for line in release if line.startswith(fields)],
        "utc_offset": datetime.now().astimezone().strftime("%z"),
        "firmware": _firmware(own),
        "images": own.images if isinstance(own.images, dict) else None,
    }


def _firmware(own: Own) -> dict[str, Any] | None:
    if not isinstance(own.firmware, FirmwareImage):
        return None
    manifest = own.firmware.manifest
    digest = hashlib.sha256(manifest.to_json().encode()).hexdigest()
    return {
        "version": manifest.version, "protocol": manifest.protocol,
        "micropython": manifest.micropython, "files": len(manifest.files),
        "manifest_sha256": digest,
    }  # fmt: skip


def _doctor(rows: Sequence[Finding], redactor: Redactor) -> list[dict[str, Any]]:
    return [
        {
            "name": row.name,
            "outcome": row.outcome,
            "reason": redactor.text(row.reason),
            "fix": redactor.text(row.fix),
            "commands": [redactor.text(command) for command in row.commands],
        }
        for row in rows
    ]


def _port(port: Port, redactor: Redactor) -> dict[str, Any]:
    attached, known = port.attached, port.known
    return {
        "port": redactor.text(attached.port),
        "description": redactor.text(attached.description),
        "usb": None if attached.vid is None else f"{attached.vid:04x}:{attached.pid or 0:04x}",
        "mac": attached.mac,
        "in_use_by": None if port.holder is None else redactor.text(port.holder),
        "beacon_id": None if known is None else known.beacon_id,
        "state": None if known is None else known.state,
    }


def _registry(beacons: Sequence[Beacon] | None) -> dict[str, Any] | None:
    if beacons is None:
        return None
    return {
        "schema": SCHEMA_VERSION,
        "states": dict(Counter(beacon.state for beacon in beacons)),
        "revoked": sum(beacon.revocation is not None for beacon in beacons),
        "beacons": [
            {
                "beacon_id": beacon.beacon_id, "state": beacon.state, "mac": beacon.mac,
                "chip": beacon.chip, "station": beacon.station,
                "is_revoked": beacon.revocation is not None,
            }
            for beacon in beacons
        ],
    }  # fmt: skip


def names_to_withhold(fleet_dir: Path, beacons: Iterable[Beacon]) -> set[str]:
    """Return sites, places, labels, notes and people that registry and batches know of."""
    found = {text for beacon in beacons for text in (beacon.site, beacon.place)}
    for path in (fleet_dir / BATCHES).glob(f"*/{PLAN}"):
        found.add(path.parent.name)
        with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            for row in json.loads(path.read_text())["rows"]:
                found |= {str(row.get(name) or "") for name in _NAMING}
    for path in _journals(fleet_dir):
        with suppress(OSError):
            technicians = _TECHNICIAN.findall(path.read_text(encoding="utf-8", errors="replace"))
            with suppress(ValueError):
                found |= {json.loads(f'"{name}"') for name in technicians}
    return found - {""}


def _journals(fleet_dir: Path) -> list[Path]:
    """Return the journals of all batches, in the order in which they were begun to be written."""
    try:
        return sorted((fleet_dir / BATCHES).glob(f"*/{JOURNAL}"), key=lambda p: p.stat().st_mtime)
    except OSError:
        return []


def _journal(path: Path, redactor: Redactor) -> dict[str, Any]:
    """Return a journal's lines, reasons without names, and how many could not be read."""
    lines, unread = [], 0
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines()[-_MOST_LINES:]:
        entry: Any = None
        with suppress(ValueError):
            entry = json.loads(line)
        if isinstance(entry, dict):
            kept = {name: entry[name] for name in _JOURNAL_FIELDS if name in entry}
            reason = redactor.text(str(entry.get("reason") or ""))
            lines.append({**kept, "reason": reason} if reason else kept)
        else:
            unread += 1
    return {"lines": lines, "unread": unread}
