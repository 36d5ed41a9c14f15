"""The suite's own fleet: what it gives to a board that has no identity.

Its secrets lie in one private file of --hil-state and nowhere else. They are kept from run to run,
so that a board which an interrupted run left behind is known for the suite's own.
"""

import json
import secrets
from datetime import UTC, datetime
from pathlib import Path

from fanal import certificate
from fanal.event_keys import EventKeys
from fanal.keyring import Officer, Station, write_private
from fanal.registry import REGISTRY_FILE, Registry
from fanal.status import Status
from fanal_protocol import keys

SECRETS_FILE = "secrets.json"
SITE = "bench"

_STATION = 0
# more than a run of the suite has
_EVENTS = 256
_NAMES = ("root", "signing", "sealing", "station")


class SuiteFleet:
    """Station 0 of a fleet that exists for tests alone, and its registry."""

    def __init__(self, folder: Path) -> None:
        """Open the fleet in `folder`, or make it."""
        folder.mkdir(parents=True, exist_ok=True)
        root, signing, sealing, station = _secrets(folder / SECRETS_FILE)
        officer = Officer(root, signing, sealing)
        self.station = Station(_STATION, keys.station_root(root, _STATION), station)
        path = folder / REGISTRY_FILE
        self.registry = Registry(path) if path.exists() else _made(path, officer, self.station)

    def __repr__(self) -> str:
        return f"SuiteFleet({str(self.registry.path.parent)!r})"

    def close(self) -> None:
        """Close the registry."""
        self.registry.close()

    def knows(self, status: Status) -> bool:
        """Say whether a board's identity is one of this fleet."""
        return status.beacon_id is not None and self.registry.find(status.beacon_id) is not None

    def keys_of(self, public_key: bytes, event: int) -> EventKeys:
        """Return the keys of event `event`, from 1, of a beacon. public_key: 32 bytes."""
        event_key = keys.first_event_key(self.station.root, public_key)
        for _ in range(event - 1):
            event_key = keys.next_event_key(event_key)
        return EventKeys(keys.beacon_id(public_key), public_key, event, event_key)

    def offer(self, public_key: bytes) -> str:
        """Return E_1 of a beacon as its console takes it. A secret: never keep it in a variable."""
        return keys.first_event_key(self.station.root, public_key).hex()

    def all_keys(self) -> list[bytes]:
        """Return every secret that could show up somewhere: roots, seeds, event keys."""
        found = [self.station.root, self.station.signing]
        for beacon in self.registry.beacons():
            event_key = keys.first_event_key(self.station.root, beacon.public_key)
            for _ in range(_EVENTS):
                found.append(event_key)
                event_key = keys.next_event_key(event_key)
        return found


def _secrets(path: Path) -> list[bytes]:
    """Return the four secrets of 32 bytes in a file, made if there is none."""
    if not path.exists():
        text = json.dumps({name: secrets.token_hex(32) for name in _NAMES})
        write_private(path, text.encode())
    kept = json.loads(path.read_text())
    return [bytes.fromhex(kept[name]) for name in _NAMES]


def _made(path: Path, officer: Officer, station: Station) -> Registry:
    now = datetime.now(UTC)
    fleet = certificate.for_fleet(officer.signing_key, now)
    public_key = station.signing_key.public_key()
    issued = certificate.for_station(station.number, public_key, fleet, officer.signing_key, now)
    return Registry.create(
        path, certificate.to_der(fleet), {station.number: certificate.to_der(issued)}
    )
