"""`fanal reassign`: a beacon is somewhere else now."""

from dataclasses import asdict

import click

from fanal.cli import console, log_tail


@click.command(
    epilog="""\b
Examples:
  fanal reassign K7Q2-9XMD --site depot --place "gate, left post"
  fanal reassign K7Q29XMD --site depot     forgets its old place too
""",
)
@click.argument("beacon")
@click.option("--site", required=True, metavar="NAME", help="Where it belongs now, in one word.")
@click.option("--place", metavar="TEXT", help="Where exactly, for the responder.")
@console.json_option
@console.pass_session
def reassign_command(
    session: console.Session, beacon: str, site: str, place: str | None, as_json: bool
) -> None:
    """Say where a beacon is from now on. Its board is not needed.

    BEACON is its id, typed or scanned from its label. A `fanal listen` that runs shows the new
    place within seconds.
    """
    from fanal.beacon_lookup import find
    from fanal.beacon_name import shown
    from fanal.reassign import reassign
    from fanal.registry import REGISTRY_FILE, Registry
    from fanal.whereabouts import shown as place_shown

    with Registry(session.fleet_dir / REGISTRY_FILE) as registry:
        found = find(registry, beacon)
        done = reassign(registry, found, site=site, place=place)
        log_tail.say(registry, done.changed)
    if as_json:
        console.print_json({"ok": True, **asdict(done)})
        return
    name, now = shown(done.beacon_id), place_shown(done.site, done.place)
    if not done.changed:
        click.echo(f"{console.mark('ok')}  {name} is at {now} already, nothing changed")
        return
    was = place_shown(done.old_site, done.old_place)
    click.echo(f"{console.mark('ok')}  {name} is now at {now}; it was at {was}")
    if found.revocation is not None:
        click.echo(f"{console.mark('warn')}  It is revoked ({found.revocation.reason})")
    if not done.place:
        console.note("No place is given: responders know the site only. Add one with --place.")
    console.note("A hub shows it from the next `fanal hub enrol` on.")
