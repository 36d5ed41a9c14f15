"""`fanal hub enrol` and `fanal hub accept`: the officer's part, and the hub's."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fanal.cli import choice, console
from fanal.cli.hub_folder import hub_option
from fanal.cli.out_file import OutFile
from fanal.error import EnvironmentFault, UsageError

if TYPE_CHECKING:
    from fanal.hub.enrolment import Accepted, Made
    from fanal.hub.keys import HubKeyring
    from fanal.hub.request import Request

_COMPARE = (
    "Compare those letters with the hub's, by telephone: whoever put another line in the place of"
    " the hub's would get all of it."
)
_MOST_BYTES = 256 << 20  # some 200,000 beacons


@click.command(
    "enrol",
    epilog="""\b
Examples:
  fanal hub enrol --to fanal-hub:age1...:K7Q2-... --out enrolment.age
  fanal hub enrol --to request.txt --out enrolment.age
  fanal hub enrol --here                     officer and hub on one computer

Again after every change of the fleet: a new beacon, another place, a revocation.
Exit codes: 0 fine, 1 no fleet, 2 not a hub's line, 4 wrong passphrase.
""",
)
@click.option(
    "--to", metavar="LINE|FILE",
    help="The line that `fanal hub init` printed at the hub, or a file that holds it.",
)  # fmt: skip
@click.option("--here", is_flag=True, help="The hub is on this computer: enrol it, and accept.")
@click.option("--out", type=OutFile(), help="The file to write.")
@hub_option
@click.option(
    "--hub-passphrase-file", type=click.Path(path_type=Path, dir_okay=False),
    help="With --here: the hub's passphrase; or set FANAL_HUB_PASSPHRASE.",
)  # fmt: skip
@choice.yes_option
@console.unlock_options
@console.json_option
@console.pass_session
def enrol_command(
    session: console.Session,
    to: str | None,
    here: bool,
    out: Path | None,
    hub: Path,
    hub_passphrase_file: Path | None,
    yes: bool,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    """Make the file for a hub: the officer's part.

    The file is sealed to that hub. It holds what opens the volunteers' reports, and the next event
    key of every beacon: no root, no signing key, nothing of events that are over.
    """
    from fanal.hub import keys

    if here == (to is not None) or here == (out is not None):
        raise UsageError("Name the hub by --to and the file by --out, or use --here alone.")
    request = keys.request_of(hub) if here else _request(str(to))
    made = _made(session, request, out, yes, passphrase_file)
    if out is not None:
        from fanal.keyring import write_private

        write_private(out, made.sealed)
        _say_made(made, request, out, as_json)
        return
    keyring = _unlocked(hub, hub_passphrase_file)
    _say_accepted(_accepted(hub, keyring, made.sealed), as_json)


@click.command(
    "accept",
    epilog="""\b
Examples:
  fanal hub accept enrolment.age
  fanal hub accept enrolment.age --hub /srv/fanal --json

Exit codes: 0 fine, also if there was nothing new; 1 older than what the hub has; 4 not for
this hub, of another fleet, or damaged.
""",
)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@hub_option
@console.passphrase_option
@console.json_option
def accept_command(file: Path, hub: Path, passphrase_file: Path | None, as_json: bool) -> None:
    """Take the officer's file: the hub's part.

    Twice is fine, and nothing ever moves back.
    FILE is from `fanal hub enrol`. The first one ties this hub to its fleet. A running hub needs a
    restart after the first one only.
    """
    try:
        with file.open("rb") as source:
            sealed = source.read(_MOST_BYTES)
    except OSError as problem:
        raise EnvironmentFault(
            f"{file} cannot be read: {problem.strerror}.", "Name the file that the officer sent."
        ) from None
    keyring = _unlocked(hub, passphrase_file)
    _say_accepted(_accepted(hub, keyring, sealed), as_json)


def _request(to: str) -> "Request":
    """Return the request in a line, or in the file of that name. Raises UsageError."""
    from fanal.hub.request import parse

    path = Path(to)
    if not to.startswith("fanal-hub:") and path.is_file():
        to = path.read_bytes()[:4096].decode("utf-8", "replace")
    return parse(to)


def _made(
    session: console.Session,
    request: "Request",
    out: Path | None,
    yes: bool,
    passphrase_file: Path | None,
) -> "Made":
    """Show the officer what goes where, ask, and make it."""
    from fanal import high_water, keyring, sealed_work
    from fanal.hub.enrolment import Made
    from fanal.registry import REGISTRY_FILE, Registry

    keyring.require_officer(session.fleet_dir)
    with Registry(session.fleet_dir / REGISTRY_FILE) as registry:
        count = len(registry.watched())
        choice.ask(
            f"The hub {request.fingerprint} will open what volunteers hear, and follow"
            f" {console.beacons(count)} of the fleet in {session.fleet_dir}."
            f" {_COMPARE if out else ''}",
            "Are the letters the same?" if out else "Shall it?",
            yes,
        )
    opener = console.read_opener(session, passphrase_file)
    with console.steps() as on_step:
        on_step("Opening the keyring and making the file")
        done = sealed_work.run("enrol", session.fleet_dir, opener, request=request.line,
                               state=high_water.default_folder())  # fmt: skip
    made = Made(done.raw, **done.values)
    if made.behind:
        warning = console.mark("warn", sys.stderr)
        console.note(f"{warning}  The registry is older than what this computer has heard of"
                     f" {console.beacons(made.behind)}: was it copied back? What they say may be a"
                     " replay, until each shows a newer event: the hub marks it.")  # fmt: skip
    return made


def _unlocked(folder: Path, passphrase_file: Path | None) -> "HubKeyring":
    from fanal.hub import founding, keys

    if not founding.is_founded(folder):
        raise keys.no_hub(folder)
    passphrase = console.read_passphrase(passphrase_file, whose="hub")
    with console.steps() as on_step:
        on_step("Opening the hub's keys")
        return keys.HubKeyring.unlock(folder, passphrase)


def _accepted(folder: Path, keyring: "HubKeyring", sealed: bytes) -> "Accepted":
    from fanal.cli.hub_folder import open_store
    from fanal.hub.enrolment import accept

    with open_store(folder) as store, console.steps() as on_step:
        on_step("Checking every certificate")
        return accept(store, keyring, sealed)


def _say_made(made: "Made", request: "Request", out: Path, as_json: bool) -> None:
    if as_json:
        console.print_json({
            "ok": True, "fleet": made.fleet, "beacons": made.beacons, "revoked": made.revoked,
            "behind": made.behind, "hub": request.fingerprint, "out": out,
        })  # fmt: skip
        return
    click.echo(f"{console.mark('ok')}  {made.fleet}: {console.beacons(made.beacons)},"
               f" {made.revoked} revoked, for the hub {request.fingerprint}: {out}")  # fmt: skip
    console.note("Only that hub can open it. There: `fanal hub accept FILE`.")


def _say_accepted(done: "Accepted", as_json: bool) -> None:
    if as_json:
        console.print_json({"ok": True, **asdict(done)})
        return
    tied = ", which this hub belongs to from now on" if done.is_first else ""
    click.echo(f"{console.mark('ok')}  {done.fleet}{tied}")
    click.echo(f"    beacons: {done.added} added, {done.changed} changed, {done.unchanged} as"
               f" before, {done.retired} newly retired, {done.revoked} revoked")  # fmt: skip
    if done.is_first:
        console.note("Next: `fanal hub user add NAME --role officer`, then `fanal hub`.")
    if done.unsure:
        warning = console.mark("warn", sys.stderr)
        console.note(f"{warning}  What comes from {console.beacons(done.unsure)} may be a replay,"
                     " until each shows a newer event: it alarms as ever, and is marked. Either"
                     " this hub heard nothing of the newest event that is known, or the registry"
                     " was restored or copied back.")  # fmt: skip
    if done.is_outdated:
        warning = console.mark("warn", sys.stderr)
        console.note(f"{warning}  The file comes from a copy of the registry that knows nothing of"
                     " a restore that this hub was told of. No mark was taken away. Ask the officer"
                     " which folder is the fleet's.")  # fmt: skip
    if done.missing:
        warning = console.mark("warn", sys.stderr)
        console.note(f"{warning}  {done.missing} beacons of this hub are not in the file. They are"
                     " watched as before; is the officer's folder an old copy?")  # fmt: skip
