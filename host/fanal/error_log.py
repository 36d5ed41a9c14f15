"""The last failures of commands on this fleet, for whoever helps: which, when, where in the code.

No sentence of theirs is kept, since a sentence may name a place. A log that cannot be written
must not hide the failure itself, so nothing here ever raises.
"""

import json
import re
import traceback
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fanal.error import FanalError, UsageError
from fanal.private_file import write_private

ERRORS_FILE = "errors.jsonl"
MOST = 50

_FIELDS = ("at", "fanal", "command", "code", "exit_code", "type", "where")
_WORD = re.compile(r"[a-z_]{1,40}")  # a board may call its refusal what it likes
_MOST_FRAMES = 8
_LONGEST_FILE = 1 << 18


def note(fleet_dir: Path, command: str | None, problem: FanalError, cause: Exception) -> None:
    """Keep one failure in the fleet's folder, if there is a fleet; usage errors are not kept.

    problem: as it was told. cause: the exception, of which type and place in the code are kept.
    """
    with suppress(Exception):  # a folder of somebody else, a disk that is full, anything
        if not isinstance(problem, UsageError) and (fleet_dir / "registry.db").exists():
            _append(fleet_dir / ERRORS_FILE, _entry(command, problem, cause))


def last(fleet_dir: Path) -> list[dict[str, Any]]:
    """Return the failures that were kept, oldest first; what cannot be read is left out."""
    found = []
    for line in _lines(fleet_dir / ERRORS_FILE):
        with suppress(ValueError):
            entry = json.loads(line)
            if isinstance(entry, dict):
                found.append({name: entry.get(name) for name in _FIELDS})
    return found


def _entry(command: str | None, problem: FanalError, cause: Exception) -> dict[str, Any]:
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "fanal": version("fanal"),
        "command": command,
        "code": problem.code if _WORD.fullmatch(problem.code) else "other",
        "exit_code": problem.exit_code,
        "type": type(cause).__name__,
        "where": [
            f"{Path(frame.filename).name}:{frame.lineno} {frame.name}"
            for frame in traceback.extract_tb(cause.__traceback__)[-_MOST_FRAMES:]
        ],
    }


def _append(path: Path, line: dict[str, Any]) -> None:
    lines = [*_lines(path), json.dumps(line)][-MOST:]
    write_private(path, "".join(f"{one}\n" for one in lines).encode())


def _lines(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            text = file.read(_LONGEST_FILE).decode("utf-8", "replace")
    except OSError:
        return []
    return [line for line in text.splitlines() if line.strip()]
