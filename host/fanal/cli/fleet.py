"""`fanal fleet`: create a fleet, say who opens it, back it up, restore it."""

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


for _command in (officers_group, backup_command, restore_command):
    fleet_group.add_command(_command)
