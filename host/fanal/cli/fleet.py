"""`fanal fleet`: create a fleet."""

from dataclasses import asdict
from pathlib import Path

import click

from fanal.cli import console


@click.group(
    epilog="""\b
Examples:
  fanal fleet init
  fanal --fleet ~/fleets/north fleet init
"""
)
def fleet_group() -> None:
    """Create a fleet and its keys."""


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

    Everything goes into one folder: copy it to a safe place. Without the passphrase nobody can
    use its keys, and nobody can restore a lost passphrase.
    """
    from fanal import fleet, keyring

    fleet.require_free(session.fleet_dir)
    passphrase = console.read_passphrase(passphrase_file, is_new=True)
    keyring.check_passphrase(passphrase)
    console.note("Creating the keys: a few seconds.")
    created = fleet.create(session.fleet_dir, passphrase)
    if as_json:
        console.print_json({"ok": True, **asdict(created)})
        return
    click.echo(f"{console.mark('ok')}  Created {created.name} in {created.folder}")
    console.note("Back that folder up, and keep the passphrase somewhere else.")
    console.note("Next: attach a beacon and run `fanal provision --site NAME`.")
