"""The newest event of each beacon that this computer heard, kept outside of the fleet's folder.

A registry that was copied back from yesterday, or restored from a backup, does not know what was
said since, and whoever recorded that can play it again as news. What is kept here knows, as long as
it is the same computer. It names beacons and numbers of events: no place, no time, no secret.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from fanal import file_set
from fanal.beacon_record import MOST_EVENT
from fanal.private_file import write_private

_LONGEST_NAME = 16  # hex digits of the digest


class HighWater:
    """The marks of one fleet in `folder`. A file that cannot be read or written counts as none."""

    def __init__(self, folder: Path, fleet_key: bytes) -> None:
        """fleet_key: the fleet's public key, 32 bytes."""
        name = hashlib.sha256(b"fanal/1 high water" + fleet_key).hexdigest()[:_LONGEST_NAME]
        self.path = folder / f"{name}.json"

    def read(self) -> dict[str, int]:
        """Return beacon id -> the newest event heard here."""
        try:
            told = json.loads(self.path.read_bytes())
        except (OSError, ValueError):
            return {}
        if not isinstance(told, dict):
            return {}
        return {name: event for name, event in told.items()
                if type(event) is int and 0 < event <= MOST_EVENT}  # fmt: skip

    def raise_to(self, newest: Mapping[str, int]) -> bool:
        """Keep newer events than those kept; return whether that was possible."""
        known = self.read()
        if all(known.get(name, 0) >= event for name, event in newest.items()):
            return True
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with file_set.alone(self.path.parent):
                known = self.read()
                for name, event in newest.items():
                    known[name] = max(event, known.get(name, 0))
                write_private(self.path, json.dumps(known, sort_keys=True).encode("ascii"))
        except OSError:
            return False
        return True


def default_folder() -> Path:
    """Return where this computer keeps the marks of all fleets."""
    import platformdirs

    return Path(platformdirs.user_state_dir("fanal", appauthor=False)) / "newest"
