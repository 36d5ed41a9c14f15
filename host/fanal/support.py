"""`fanal support`: one file for whoever helps, with what helps and nothing that harms.

Each member is made of fields that are named here, one by one: what is added elsewhere later stays
out until somebody has thought about it. Free text goes through a Redactor. A part that fails says
so in its place, since a computer on which something fails is the reason for all of this.
"""

import hashlib
import io
import json
import platform
import re
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from fanal.doctor.finding import Finding
from fanal.doctor.own import Own
from fanal.doctor.packages import requirement
from fanal.doctor.system import System
from fanal.error import FanalError, IntegrityError, UsageError
from fanal.firmware_image import FirmwareImage
from fanal.keyring import write_private
from fanal.ports import Port
from fanal.redaction import Redactor
from fanal.registry import Beacon
from fanal.schema import SCHEMA_VERSION

BATCHES = "batches"
PLAN, JOURNAL = "plan.json", "journal.jsonl"

LEFT_OUT = (
    "every key, passphrase and certificate; the files *.age and registry.db",
    "sites, places, labels, notes; names of people and batches; public keys of beacons",
    "your user name, the name of this computer, its network; folders outside the system",
    "what was heard, and when; settings; what error messages said, except for batches",
)

_JOURNAL_FIELDS = (
    "at", "number", "event", "step", "outcome", "mac", "chip", "beacon_id", "seconds", "station",
    "tool", "image_sha256", "firmware_sha256",
)  # fmt: skip
_TECHNICIAN = re.compile(r'"technician": "((?:[^"\\]|\\.)*)"')
_MOST_LINES = 5000
_NEVER = (b"AGE-SECRET-KEY-", b"PRIVATE KEY-----", b"age-encryption.org", b"SQLite format 3")


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


@dataclass(frozen=True)
class Packed:
    """The file that was written, and what is in it."""

    path: Path
    members: tuple[Member, ...]
    left_out: tuple[str, ...] = LEFT_OUT


def support(out: Path, sources: Sources, redactor: Redactor) -> Packed:
    """Write the file, mode 0600, whole or not at all. Raises UsageError if there is one."""
    if out.exists():
        raise UsageError(f"{out} exists; it was not touched.", "Choose another name with --out.")
    members = list(_members(sources, redactor))
    members.append(_manifest(members, sources.system.now()))
    _require_clean(members, redactor)
    write_private(out, _zipped(members, sources.system.now()))
    with zipfile.ZipFile(out) as archive:
        if archive.testzip() is not None or archive.namelist() != [m.name for m in members]:
            raise IntegrityError(f"{out} reads back damaged.", "The disk may be failing.")
    return Packed(out, tuple(members))


# -- what is in it


def _members(sources: Sources, redactor: Redactor) -> Iterator[Member]:
    parts: tuple[tuple[str, str, Callable[[], Any]], ...] = (
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
    for name, what, make in parts:
        yield _json_member(name, what, _or_why_not(make))
    for number, path in enumerate(_journals(sources.fleet_dir), 1):
        what = f"the steps of batch {number}: which board, what, when, how it ended"
        lines = _or_why_not(partial(_journal, path, redactor))
        yield _json_member(f"batch-{number}.json", what, lines)


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
                found |= {str(row.get(name) or "") for name in ("label", "site", "notes")}
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


# -- the file


def _json_member(name: str, what: str, value: Any) -> Member:
    return Member(name, what, json.dumps(value, indent=1, ensure_ascii=False).encode() + b"\n")


def _manifest(members: Iterable[Member], now: datetime) -> Member:
    inside = [
        {"name": m.name, "what": m.what, "bytes": len(m.content),
         "sha256": hashlib.sha256(m.content).hexdigest()}
        for m in members
    ]  # fmt: skip
    listed = {"made": now.isoformat(timespec="seconds"), "inside": inside, "left_out": LEFT_OUT}
    return _json_member("manifest.json", "this list, with sums, and what was left out", listed)


def _require_clean(members: Iterable[Member], redactor: Redactor) -> None:
    """Stop before anything is written if a path of this user or a secret's head came through."""
    paths = [what.encode() for what, instead in redactor.paths if instead in ("~", "FLEET")]
    for member in members:
        if any(what in member.content for what in (*_NEVER, *paths)):
            raise FanalError(
                f"{member.name} would have held what it must not; nothing was written.",
                "Report this; `fanal doctor --json` and `fanal ports --json` hold the rest.",
                code="leak",
            )


def _zipped(members: Iterable[Member], now: datetime) -> bytes:
    buffer = io.BytesIO()
    moment = now.astimezone(UTC).timetuple()[:6]
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for member in members:
            # a zip knows no year before 1980, and a clock that is wrong is a reason to ask for help
            date = moment if 1980 <= moment[0] <= 2107 else (1980, 1, 1, 0, 0, 0)
            archive.writestr(zipfile.ZipInfo(member.name, date), member.content)
    return buffer.getvalue()
