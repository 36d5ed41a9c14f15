"""`fanal history`: what was done to a beacon, and when."""

from datetime import datetime
from typing import TYPE_CHECKING

import click

from fanal.cli import console

if TYPE_CHECKING:
    from fanal.history import History


@click.command(
    epilog="""\b
Examples:
  fanal history K7Q2-9XMD
  fanal history K7Q29XMD --json
""",
)
@click.argument("beacon")
@console.json_option
@console.pass_session
def history_command(session: console.Session, beacon: str, as_json: bool) -> None:
    """Show what was done to a beacon, oldest first, in this computer's time.

    BEACON is its id, typed or scanned from its label. Retired ones have a history too.
    """
    from fanal.beacon_lookup import find
    from fanal.cli.beacons import public
    from fanal.history import history
    from fanal.registry import REGISTRY_FILE, Registry

    with Registry(session.fleet_dir / REGISTRY_FILE) as registry:
        found = history(registry, find(registry, beacon))
    if as_json:
        lines = [{"at_ms": x.at_ms, "what": x.what, "detail": x.detail} for x in found.lines]
        console.print_json({"ok": True, "beacon": public(found.beacon), "history": lines})
    else:
        _show(found)


def _show(found: "History") -> None:
    from rich.table import Table
    from rich.text import Text

    from fanal.beacon_name import shown
    from fanal.cli.beacons import state
    from fanal.whereabouts import shown as place_shown

    beacon = found.beacon
    where = place_shown(beacon.site, beacon.place)
    click.echo(f"{shown(beacon.beacon_id)}  {where}  ({beacon.profile})  {state(beacon)}")
    table = Table(box=None, pad_edge=False)
    for heading in ("When", "What", "Detail"):
        table.add_column(heading, no_wrap=heading != "Detail")
    for line in found.lines:
        table.add_row(local_time(line.at_ms), Text(line.what), Text(line.detail))
    console.out().print(table)


def local_time(at_ms: int) -> str:
    """Return a time, Unix milliseconds, as this computer's clock tells it."""
    return datetime.fromtimestamp(at_ms / 1000).astimezone().strftime("%Y-%m-%d %H:%M:%S %z")
