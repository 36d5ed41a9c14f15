"""`fanal provision`: give a beacon its identity."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from fanal.beacon_name import shown
from fanal.cli import choice, console
from fanal.error import UsageError


@click.command(
    epilog="""\b
Examples:
  fanal provision --site shelter-3 --place "room 12, under the desk"
  fanal provision --port /dev/ttyACM0 --site depot --profile carried
  fanal provision --site shelter-3 --set hold_ms=4000 --set vibrate=true
""",
)
@console.port_option
@choice.beacon_option
@click.option("--site", required=True, metavar="NAME", help="Where it belongs, in one word.")
@click.option("--place", metavar="TEXT", help="Where exactly, for the responder.")
@click.option(
    "--profile", type=click.Choice(["fixed", "carried"]),
    help="fixed: stays in its place (default); carried: goes along with a person or a load.",
)  # fmt: skip
@click.option(
    "--set", "assignments", multiple=True, metavar="NAME=VALUE", help="A setting of the beacon."
)
@click.option("--replace", is_flag=True, help="Retire another identity registered for this board.")
@click.option("--wipe", metavar="ID", help="First erase this identity from the board, for good.")
@console.unlock_options
@console.json_option
@console.pass_session
def provision_command(
    session: console.Session,
    port: str | None,
    beacon: str | None,
    site: str,
    place: str | None,
    profile: str | None,
    assignments: tuple[str, ...],
    replace: bool,
    wipe: str | None,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    """Give the attached beacon its identity, and register it.

    If it is interrupted, by a cable, a cut of power or Ctrl-C, run it again: it goes on where it
    stopped. Run on a provisioned beacon, it changes what differs and nothing else.
    """
    from fanal import anchor, unlocking
    from fanal.board_link import BoardLink
    from fanal.log_checkpoint import checkpoint_or_why
    from fanal.provision import Request, provision
    from fanal.registry import PROVISIONED, REGISTRY_FILE, Registry
    from fanal.serial_port import find_port

    settings = dict(_assignment(text) for text in assignments)
    with Registry(session.fleet_dir / REGISTRY_FILE) as registry:
        only = choice.chosen_id(registry, beacon)
        request = Request(site, place, profile, settings, replace, choice.wiped_id(wipe), only)
        port = find_port(port)
        opener = console.read_opener(session, passphrase_file)
        with console.steps() as on_step:
            on_step("Opening the keyring")
            station = unlocking.station(session.fleet_dir, opener)
            on_step(f"Waiting for the beacon on {port}")
            with BoardLink(port, on_waiting=console.ask_for_reset) as board:
                done = provision(board, station, registry, request, on_step=on_step)
        is_new = done.changed and registry.custody(done.beacon_id)[-1].what == PROVISIONED
        if why := checkpoint_or_why(registry, station, anchor.default_folder()):
            console.note(why)
    if as_json:
        console.print_json({"ok": True, "port": port, **asdict(done)})
        return
    name, what = shown(done.beacon_id), "Already provisioned, nothing changed"
    if done.changed:
        what = "Provisioned" if is_new else "Changed"
    where = f"{done.site}, {done.place}" if done.place else done.site
    click.echo(f"{console.mark('ok')}  {what}: {name}  {where}  ({done.profile})")
    if done.faults:
        click.echo(f"{console.mark('warn')}  The board reports: {', '.join(done.faults)}")
    if is_new:
        console.note(f"Write {name} on its label. A hub hears of it by the next `fanal hub enrol`.")
    console.note(f"Next: `fanal verify --port {port}`")


def _assignment(text: str) -> tuple[str, Any]:
    """Return (name, value) of NAME=VALUE; a value that is not JSON is text."""
    name, separator, value = text.partition("=")
    if not name or not separator:
        raise UsageError(f"--set wants NAME=VALUE, not {text!r}.", "For example --set hold_ms=4000")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
