"""`fanal support`: one file for whoever helps, with what helps and nothing that harms."""

import hashlib
import io
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from fanal.error import FanalError, IntegrityError, UsageError
from fanal.keyring import write_private
from fanal.redaction import Redactor
from fanal.support_parts import Member, Sources, json_member, parts

LEFT_OUT = (
    "every key, passphrase and certificate; the files *.age and registry.db",
    "sites, places, labels, notes; names of people and batches; public keys of beacons",
    "your user name, the name of this computer, its network; folders outside the system",
    "what was heard, and when; settings; what error messages said, except for batches",
)

_NEVER = (b"AGE-SECRET-KEY-", b"PRIVATE KEY-----", b"age-encryption.org", b"SQLite format 3")


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
    members = list(parts(sources, redactor))
    members.append(_manifest(members, sources.system.now()))
    _require_clean(members, redactor)
    write_private(out, _zipped(members, sources.system.now()))
    with zipfile.ZipFile(out) as archive:
        if archive.testzip() is not None or archive.namelist() != [m.name for m in members]:
            raise IntegrityError(f"{out} reads back damaged.", "The disk may be failing.")
    return Packed(out, tuple(members))


# -- the file


def _manifest(members: Iterable[Member], now: datetime) -> Member:
    inside = [
        {"name": m.name, "what": m.what, "bytes": len(m.content),
         "sha256": hashlib.sha256(m.content).hexdigest()}
        for m in members
    ]  # fmt: skip
    listed = {"made": now.isoformat(timespec="seconds"), "inside": inside, "left_out": LEFT_OUT}
    return json_member("manifest.json", "this list, with sums, and what was left out", listed)


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
    with zipfile.ZipFile(buffer, "w") as archive:
        for member in members:
            # a zip knows no year before 1980, and a clock that is wrong is a reason to ask for help
            date = moment if 1980 <= moment[0] <= 2107 else (1980, 1, 1, 0, 0, 0)
            info = zipfile.ZipInfo(member.name, date)
            archive.writestr(info, member.content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()
