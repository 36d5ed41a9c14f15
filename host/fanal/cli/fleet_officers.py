"""`fanal fleet officers`: who opens the fleet by a key of their own."""

import sys
from pathlib import Path
from typing import Any

import click

from fanal.cli import choice, console

_COPIES = (
    "Whatever was copied of this folder before, that officer still opens. If they knew the"
    " passphrase, choose another one with --new-passphrase-file. A key that may be in wrong hands"
    " means a new fleet: nobody can take back what was read."
)


@click.group(
    "officers",
    epilog="""\b
Examples:
  fanal fleet officers add age1ql3z7hjy54pw3hyww5...
  fanal fleet officers list
  fanal fleet officers remove age1ql3z...

Each officer makes a key with `age-keygen` and opens the fleet by --identity FILE.
""",
)
def officers_group() -> None:
    """Say who opens the fleet by an age key, beside the passphrase."""


@officers_group.command(
    "add",
    epilog="""\b
Examples:
  fanal fleet officers add age1ql3z7hjy54pw3hyww5...
  fanal fleet officers add age1... --identity my-key.txt

`age-keygen` comes with age (apt install age, brew install age, age-encryption.org).
Exit codes: 0 fine, also if it is one already; 2 not a key of age; 4 wrong passphrase or identity.
""",
)
@click.argument("recipient", metavar="AGE1...")
@console.unlock_options
@console.json_option
@console.pass_session
def add_command(
    session: console.Session, recipient: str, passphrase_file: Path | None, as_json: bool
) -> None:
    """Let the owner of an age key open the fleet, all of it.

    Compare the key with its owner, by telephone: whoever put another one in its place would get
    everything.
    """
    from fanal import age_file

    age_file.recipient(recipient)
    done = _run(session, passphrase_file, do="add", recipient=recipient)
    _say(done, as_json, "Added" if done["changed"] else "Already an officer, nothing changed:")


@officers_group.command(
    "list",
    epilog="""\b
Examples:
  fanal fleet officers list
  fanal fleet officers list --identity my-key.txt --json
""",
)
@console.unlock_options
@console.json_option
@console.pass_session
def list_command(session: console.Session, passphrase_file: Path | None, as_json: bool) -> None:
    """Show which age keys open the fleet.

    They are inside of the seal: a list in clear could be changed by whoever can write here.
    """
    _say(_run(session, passphrase_file, do="list"), as_json, None)


@officers_group.command(
    "remove",
    short_help="Take a key off: seal all of the folder anew.",
    epilog="""\b
Examples:
  fanal fleet officers remove age1ql3z7hjy54pw3hyww5...
  fanal fleet officers remove age1... --new-passphrase-file /run/secrets/new

Exit codes: 0 fine, 1 no officer of that key, 2 not a key of age, 4 wrong passphrase or identity.
""",
)
@click.argument("recipient", metavar="AGE1...")
@click.option(
    "--new-passphrase-file", type=click.Path(path_type=Path, dir_okay=False),
    help="The folder's passphrase from now on; else it stays (by --identity it is asked for).",
)  # fmt: skip
@choice.yes_option
@console.unlock_options
@console.json_option
@console.pass_session
def remove_command(
    session: console.Session,
    recipient: str,
    new_passphrase_file: Path | None,
    yes: bool,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    """Seal the fleet's folder anew, so that this key does not open it any more."""
    from fanal import age_file
    from fanal.keyring import check_passphrase

    age_file.recipient(recipient)
    choice.ask(_COPIES, "Seal it anew?", yes)
    opener = console.read_opener(session, passphrase_file)
    new = ""
    if new_passphrase_file is not None:
        new = console.read_secret_file(new_passphrase_file)
    elif opener.identity is not None:
        new = console.read_passphrase(None, is_new=True)
    if new:
        check_passphrase(new)
    from fanal import sealed_work

    with console.steps() as on_step:
        on_step("Sealing everything anew")
        done = sealed_work.run("officers", session.fleet_dir, opener, do="remove",
                               recipient=recipient, passphrase=new).values  # fmt: skip
    _say(done, as_json, "Removed")
    console.note(f"{console.mark('warn', sys.stderr)}  {_COPIES}")


def _run(session: console.Session, passphrase_file: Path | None, **wanted: Any) -> dict[str, Any]:
    from fanal import sealed_work

    opener = console.read_opener(session, passphrase_file)
    with console.steps() as on_step:
        on_step("Opening the keyring")
        return sealed_work.run("officers", session.fleet_dir, opener, **wanted).values


def _say(done: dict[str, Any], as_json: bool, what: str | None) -> None:
    if as_json:
        console.print_json({"ok": True, **done})
        return
    if what is not None:
        click.echo(f"{console.mark('ok')}  {what}")
    for recipient in done["officers"]:
        click.echo(recipient)
    if not done["officers"]:
        console.note("Only the passphrase opens this fleet.")
