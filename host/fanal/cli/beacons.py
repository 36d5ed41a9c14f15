"""`fanal list`: the beacons of the fleet."""

from typing import TYPE_CHECKING

import click

from fanal.beacon_name import shown
from fanal.cli import choice, console

if TYPE_CHECKING:
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
    if as_json:
        console.print_json({"ok": True, "beacons": [public(beacon) for beacon in beacons]})
    elif beacons:
        _show(beacons)
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


def _show(beacons: "list[Beacon]") -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for heading in ("Beacon", "Site", "Place", "Profile", "State", "Newest\nevent"):
        table.add_column(heading, justify="right" if "event" in heading else "left")
    for b in beacons:
        newest = str(b.newest_event) if b.newest_event else "-"
        cells = (shown(b.beacon_id), b.site, b.place, b.profile, state(b), newest)
        table.add_row(*(Text(cell) for cell in cells))
    console.out().print(table)
