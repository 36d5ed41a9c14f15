"""`fanal hub site`: where the sites of installed beacons are."""

import sys
from pathlib import Path

import click

from fanal.cli import console
from fanal.cli.hub_folder import at_option, hub_option, open_store, shown_position
from fanal.error import UsageError


@click.group(
    "site",
    epilog="""\b
Examples:
  fanal hub site list
  fanal hub site set shelter-3 --at 52.5163,13.3777,20
""",
)
def site_group() -> None:
    """Say where the sites of beacons are.

    An alert of a beacon that is installed shows it at once.
    """


@site_group.command("list", epilog="\b\nExamples:\n  fanal hub site list --json\n")
@hub_option
@console.json_option
def list_command(hub: Path, as_json: bool) -> None:
    """Show the sites of all beacons, and where they are."""
    from fanal.hub import sites
    from fanal.hub.incident_record import as_json as as_object

    with open_store(hub) as store:
        found = sites.listed(store)
    if as_json:
        console.print_json({"ok": True, "sites": [as_object(one) for one in found]})
        return
    if not found:
        console.note("No site yet: they come with the beacons that an officer enrols.")
    for one in found:
        where = shown_position(one.position) if one.position else "nobody said where"
        beacons = "beacon " if one.beacons == 1 else "beacons"
        click.echo(f"{one.name:<24} {one.beacons:>5} {beacons}   {where}")


@site_group.command(
    "set",
    epilog="""\b
Examples:
  fanal hub site set shelter-3 --at 52.5163,13.3777,20
  fanal hub site set shelter-3 --unknown
""",
)
@click.argument("site")
@at_option
@click.option("--unknown", is_flag=True, help="Forget where it is.")
@hub_option
@console.json_option
def set_command(site: str, at: str | None, unknown: bool, hub: Path, as_json: bool) -> None:
    """Say where SITE is."""
    from fanal.hub import sites
    from fanal.position import typed

    if unknown == (at is not None):
        raise UsageError("Give one of --at and --unknown.")
    position = None if at is None else typed(at)
    with open_store(hub) as store:
        if position is None:
            sites.forget(store, site)
            changed = True
        else:
            changed = sites.put(store, site, position)
        is_used = any(one.name == site and one.beacons for one in sites.listed(store))
    if as_json:
        console.print_json({"ok": True, "site": site, "changed": changed})
        return
    what = f"is at {shown_position(position)}" if position else "is nowhere from now on"
    click.echo(f"{console.mark('ok')}  {site} {what}{'' if changed else ', as before'}")
    if position is not None and not is_used:
        warning = console.mark("warn", sys.stderr)
        console.note(f"{warning}  No beacon of this hub is at a site of that name: compare it with"
                     " `fanal hub site list`.")  # fmt: skip
