"""`fanal fleet`: create a fleet, show it, say who opens it, back it up, restore it."""

from dataclasses import asdict
from pathlib import Path

import click

from fanal.cli import console
from fanal.cli.fleet_backup import backup_command, restore_command
from fanal.cli.fleet_officers import officers_group


@click.group(
    epilog="""\b
Examples:
  fanal fleet init
  fanal --fleet ~/fleets/north fleet init
  fanal fleet officers add age1...                 she opens it by her own key
  fanal fleet show                                 the fingerprint to publish
  fanal fleet backup --out north.backup --shares 3/5
"""
)
def fleet_group() -> None:
    """Create a fleet and its keys; back it up."""


@fleet_group.command(
    "init",
    epilog="""\b
Examples:
  fanal fleet init
  fanal --fleet ~/fleets/north fleet init
  fanal fleet init --passphrase-file /run/secrets/fleet
""",
)
@console.passphrase_option
@console.json_option
@console.pass_session
def init_command(session: console.Session, passphrase_file: Path | None, as_json: bool) -> None:
    """Create a fleet, its keys and its station 0 on this computer.

    Everything goes into one folder; `fanal fleet backup` makes a copy for a safe place. Without the
    passphrase nobody can use its keys, and nobody can restore a lost passphrase.
    """
    from fanal import fleet, keyring, sealed_work

    fleet.require_free(session.fleet_dir)
    passphrase = console.read_passphrase(passphrase_file, is_new=True)
    keyring.check_passphrase(passphrase)
    console.note("Creating the keys: a few seconds.")
    opener = sealed_work.Opener(passphrase)
    created = sealed_work.run("init", session.fleet_dir, opener).values
    if as_json:
        console.print_json({"ok": True, **created})
        return
    click.echo(f"{console.mark('ok')}  Created {created['name']} in {created['folder']}")
    console.note("Back it up (`fanal fleet backup`), and keep the passphrase somewhere else.")
    console.note("Next: attach a beacon and run `fanal provision --site NAME`.")


@fleet_group.command(
    "show",
    epilog="""\b
Examples:
  fanal fleet show           what to publish, and to read out by telephone
  fanal fleet show --json

It asks for no passphrase, and shows no secret.
""",
)
@console.json_option
@console.pass_session
def show_command(session: console.Session, as_json: bool) -> None:
    """Show by what others know this fleet for yours.

    Publish the SHA-256 of its key: whoever checks a proof of its log compares all 64 digits.
    """
    from fanal.fleet_show import show
    from fanal.registry import REGISTRY_FILE, Registry

    with Registry(session.fleet_dir / REGISTRY_FILE) as registry:
        shown = show(registry)
    if as_json:
        console.print_json({"ok": True, "folder": session.fleet_dir, **asdict(shown)})
        return
    retired = f", and {shown.known - shown.beacons} retired" * (shown.known > shown.beacons)
    restored = f"  (restored: epoch {shown.epoch})" * (shown.epoch > 0)
    groups = [shown.sha256[at : at + 4] for at in range(0, len(shown.sha256), 4)]
    click.echo(shown.fleet)
    click.echo(f"    SHA-256 of its key    {' '.join(groups[:8])}")
    click.echo(f"                          {' '.join(groups[8:])}")
    click.echo(f"    a new station sees    {shown.fingerprint}")
    click.echo(f"    beacons               {shown.beacons} in service{retired}")
    click.echo(f"    stations              {shown.stations}, of which this is {shown.station}")
    click.echo(f"    log                   {shown.log}{restored}")


for _command in (officers_group, backup_command, restore_command):
    fleet_group.add_command(_command)
