"""What keeps a record of a station's file out of the officer's registry, each reason with a name.

A station signs for what it says of its own beacons. It has no say in those of others, nor in what
no beacon can be: an id of another key, more events than a beacon lives to see.
"""

import json
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from fanal_protocol import keys
from sqlalchemy import select
from sqlalchemy.orm import Session

from fanal import certificate
from fanal.beacon_name import shown
from fanal.beacon_record import MOST_EVENT
from fanal.error import IntegrityError
from fanal.printable import printable
from fanal.schema import RETIRED, BeaconRow, StationRow

_MOST_LETTERS = 400  # a hub takes no more
LATEST_MS = 253_370_764_800_000  # the last year that a calendar has, wherever one is


@dataclass(frozen=True)
class Conflict:
    """A record of the file that contradicts this registry, and was left out.

    code: id_clash, clone, mac_in_use, other_station, chain, nonsense, station_clash; not_trusted:
    a revoked station's word about what is known here; or station_revoked: it was taken in, and
    revoked.
    """

    code: str
    sentence: str
    beacon_id: str | None = None


def tidied(told: dict[str, Any]) -> dict[str, Any]:
    """Return a row of the file with no letter that a terminal obeys, and nothing out of reach."""
    return {name: _tidied(name, value) for name, value in told.items()}


def contradiction(
    session: Session,
    row: BeaconRow | None,
    told: dict[str, Any],
    station: int,
    fleet: x509.Certificate,
) -> tuple[str, str] | None:
    """Return (code, sentence) of what keeps a beacon of a station's file out, or None.

    row: of that id here, if any. told: of the file, tidied. station: whose file it is.
    """
    if row is not None and row.public_key != told["public_key"]:
        return "id_clash", "another key has this id here."
    if keys.beacon_id(told["public_key"]) != told["id"]:
        return "id_clash", "its id is not that of its key."
    if row is not None and row.mac != told["mac"]:
        return "clone", f"its key is on {told['mac']}, and here on {row.mac}: one is a copy."
    if told["station"] != station or (row and row.station != told["station"]):
        whose = told["station"] if row is None else row.station
        return "other_station", f"it is a beacon of station {whose}."
    if told["certificate"] is not None and not _is_certified(session, told, fleet):
        return "chain", "its certificate is not good."
    if why := _nonsense(told):
        return "nonsense", why
    return _in_use(session, row, told)


def _nonsense(told: dict[str, Any]) -> str | None:
    for event in (told["newest_event"], told["horizon"]):
        if not 0 <= event <= MOST_EVENT:
            return f"it says that it had {event} events."
    try:
        is_object = isinstance(json.loads(told["settings"]), dict)
    except (ValueError, RecursionError):
        is_object = False
    return None if is_object else "its settings are unreadable."


def _in_use(
    session: Session, row: BeaconRow | None, told: dict[str, Any]
) -> tuple[str, str] | None:
    if told["state"] == RETIRED or told["mac"] is None or (row and row.state == RETIRED):
        return None
    active = session.scalar(
        select(BeaconRow).where(
            BeaconRow.mac == told["mac"], BeaconRow.state != RETIRED, BeaconRow.id != told["id"]
        )
    )
    if active is None:
        return None
    return "mac_in_use", (
        f"its board {told['mac']} is that of {shown(active.id)} here, which is in service: retire"
        " that one first."
    )


def _is_certified(session: Session, told: dict[str, Any], fleet: x509.Certificate) -> bool:
    station = session.get(StationRow, told["station"])
    if station is None:
        return False
    try:
        certificate.verify_chain(
            certificate.from_der(told["certificate"]), certificate.from_der(station.certificate),
            fleet, beacon_id=told["id"], public_key=told["public_key"],
        )  # fmt: skip
    except IntegrityError:
        return False
    return True


def _tidied(name: str, value: Any) -> Any:
    if isinstance(value, str) and name != "settings":
        return printable(value, _MOST_LETTERS)
    if isinstance(value, int) and name.endswith("_ms"):
        return min(max(value, 0), LATEST_MS)
    return value
