"""`fanal list`: the beacons of the fleet."""

from typing import TYPE_CHECKING

import click

from fanal.cli import console

if TYPE_CHECKING:
    from fanal.registry import Beacon


@click.command(
    epilog="""\b
Examples:
  fanal list
  fanal list --all --json
""",
)
@click.option("--all", "retired", is_flag=True, help="Show retired beacons too.")
@console.json_option
@console.pass_session
def list_command(session: console.Session, retired: bool, as_json: bool) -> None:
    """Show the beacons of the fleet: where each is, and what was last heard of it."""
    from fanal.beacons import listed
    from fanal.registry import REGISTRY_FILE, Registry

    with Registry(session.fleet_dir / REGISTRY_FILE) as registry:
        beacons = listed(registry, retired=retired)
    if as_json:
        console.print_json({"ok": True, "beacons": [_public(beacon) for beacon in beacons]})
    elif beacons:
        _show(beacons)
    else:
        console.note("No beacon yet. Connect one and run `fanal provision --site NAME`.")


def _public(beacon: "Beacon") -> dict[str, object]:
    return {
        "beacon_id": beacon.beacon_id, "site": beacon.site, "place": beacon.place,
        "profile": beacon.profile, "state": beacon.state, "newest_event": beacon.newest_event,
        "mac": beacon.mac, "station": beacon.station, "last_ms": beacon.last_ms,
    }  # fmt: skip


def _show(beacons: "list[Beacon]") -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for heading in ("Beacon", "Site", "Place", "Profile", "State", "Newest event"):
        table.add_column(heading, justify="right" if heading == "Newest event" else "left")
    for b in beacons:
        newest = str(b.newest_event) if b.newest_event else "-"
        cells = (b.beacon_id, b.site, b.place, b.profile, b.state, newest)
        table.add_row(*(Text(cell) for cell in cells))
    console.out().print(table)
