"""`fanal list`: the beacons of the fleet."""

from typing import TYPE_CHECKING

import click

from fanal.beacon_name import shown
from fanal.cli import choice, console

if TYPE_CHECKING:
    from fanal.beacon_record import Revocation
    from fanal.registry import Beacon


@click.command(
    epilog="""\b
Examples:
  fanal list
  fanal list --all --json
  fanal list --beacon K7Q2-9XMD
""",
)
@click.option("--all", "retired", is_flag=True, help="Show retired beacons too.")
@click.option("--beacon", metavar="ID", help="Show only this one, retired or not; scan its label.")
@console.json_option
@console.pass_session
def list_command(
    session: console.Session, retired: bool, beacon: str | None, as_json: bool
) -> None:
    """Show the beacons of the fleet: where each is, and what was last heard of it."""
    from fanal.beacons import listed
    from fanal.registry import REGISTRY_FILE, Registry

    with Registry(session.fleet_dir / REGISTRY_FILE) as registry:
        only = choice.chosen_id(registry, beacon)
        beacons = listed(registry, retired=retired, only=only)
        told = {one.number: one.revocation for one in registry.stations()}
    if as_json:
        console.print_json({"ok": True, "beacons": [
            {**public(b), "station_revoked": _reason(told.get(b.station))} for b in beacons
        ]})  # fmt: skip
    elif beacons:
        _show(beacons, {number for number, revocation in told.items() if revocation is not None})
    else:
        console.note("No beacon yet. Attach one and run `fanal provision --site NAME`.")


def public(beacon: "Beacon") -> dict[str, object]:
    """Return the JSON form of a beacon."""
    told = beacon.revocation
    return {
        "beacon_id": beacon.beacon_id, "site": beacon.site, "place": beacon.place,
        "profile": beacon.profile, "state": beacon.state, "newest_event": beacon.newest_event,
        "mac": beacon.mac, "station": beacon.station, "last_ms": beacon.last_ms,
        "revoked": None if told is None else {"at_ms": told.at_ms, "reason": told.reason},
    }  # fmt: skip


def state(beacon: "Beacon") -> str:
    """Return the state of a beacon, and whether it was revoked, in words."""
    if beacon.revocation is None:
        return beacon.state
    return f"{beacon.state}, REVOKED ({beacon.revocation.reason})"


def _reason(revocation: "Revocation | None") -> str | None:
    return None if revocation is None else revocation.reason


def _show(beacons: "list[Beacon]", revoked_stations: set[int]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for heading in ("Beacon", "Site", "Place", "Profile", "State", "Newest\nevent"):
        table.add_column(heading, justify="right" if "event" in heading else "left")
    for b in beacons:
        newest = str(b.newest_event) if b.newest_event else "-"
        now = state(b)
        if b.station in revoked_stations and b.revocation is None:
            now += f", station {b.station} REVOKED"
        cells = (shown(b.beacon_id), b.site, b.place, b.profile, now, newest)
        table.add_row(*(Text(cell) for cell in cells))
    console.out().print(table)
