"""`fanal station`: laptops that provision, each with a root and a signing key of its own."""

import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from fanal.cli import choice, console, log_tail
from fanal.cli.out_file import OutFile

_COMPARE_REQUEST = (
    "Compare those letters with the laptop's, by telephone: whoever put another line in the place"
    " of the laptop's would become the station."
)
_COMPARE_FLEET = (
    "Compare those letters with the officer's, by telephone: in somebody else's fleet your beacons"
    " would be theirs."
)


@click.group(
    epilog="""\b
Examples:
  fanal station request                       at the laptop: prints a line
  fanal station create --to LINE --number 3 --out s3.age
  fanal station join s3.age                   at the laptop
  fanal station revoke 3 --reason "laptop stolen"
"""
)
def station_group() -> None:
    """Let laptops provision, each for itself; stop trusting one."""


@station_group.command(
    "request",
    epilog="""\b
Examples:
  fanal station request
  fanal --fleet ~/fleets/north station request --json

Exit codes: 0 fine, also a second time; 2 there is a fleet in the folder already.
""",
)
@console.passphrase_option
@console.json_option
@console.pass_session
def request_command(session: console.Session, passphrase_file: Path | None, as_json: bool) -> None:
    """Make this laptop's keys, and print one line for the officer.

    Nothing in the line is secret, but whoever swaps it becomes the station instead: compare its
    last letters by telephone. A second time prints the line again.
    """
    from fanal import keyring, sealed_work, station
    from fanal.station_request import parse

    folder = session.fleet_dir
    asked = station.pending(folder)
    is_new = asked is None
    if asked is None:
        station.require_free(folder)
        passphrase = console.read_passphrase(passphrase_file, is_new=True)
        keyring.check_passphrase(passphrase)
        console.note("Creating the keys: a few seconds.")
        opener = sealed_work.Opener(passphrase)
        asked = parse(sealed_work.run("station request", folder, opener).values["line"])
    if as_json:
        console.print_json({"ok": True, "folder": folder, "is_new": is_new, "request": asked.line,
                            "fingerprint": asked.fingerprint})  # fmt: skip
        return
    click.echo(asked.line)
    console.note(f"Send that line to the fleet's officer, who compares: {asked.fingerprint}")
    console.note("Next: `fanal station join FILE` when the officer has sent it.")


@station_group.command(
    "create",
    short_help="Certify a laptop as a station: the officer's part.",
    epilog="""\b
Examples:
  fanal station create --to fanal-station:age1... --number 3 --out s3.age
  fanal station create --to request.txt --number 3 --out station-3.age

Again for the same laptop and number gives the same station.
Exit codes: 0 fine, 1 the number has another key, 2 not a laptop's line, 4 wrong passphrase.
""",
)
@click.option("--to", required=True, metavar="LINE|FILE",
              help="The line of `fanal station request`, or a file that holds it.")  # fmt: skip
@click.option("--number", required=True, type=click.IntRange(1, 0xFFFF),
              help="The station's number, never used for another laptop.")  # fmt: skip
@click.option("--out", required=True, type=OutFile(),
              help="The file to write.")  # fmt: skip
@choice.yes_option
@console.unlock_options
@console.json_option
@console.pass_session
def create_command(
    session: console.Session,
    to: str,
    number: int,
    out: Path,
    yes: bool,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    """Certify a laptop as a station, and make its file: the officer's part.

    The file is sealed to that laptop. It holds the root of that station and no other.
    """
    from fanal import keyring, sealed_work
    from fanal.registry import REGISTRY_FILE, Registry
    from fanal.station_request import PREFIX, parse

    path = Path(to)
    if not to.startswith(PREFIX) and path.is_file():
        to = path.read_bytes()[:4096].decode("utf-8", "replace")
    asked = parse(to)
    keyring.require_officer(session.fleet_dir)  # before anybody types a passphrase
    Registry(session.fleet_dir / REGISTRY_FILE).close()
    choice.ask(
        f"The laptop {asked.fingerprint} becomes station {number} of the fleet in"
        f" {session.fleet_dir}: it makes beacons that this fleet trusts. {_COMPARE_REQUEST}",
        "Are the letters the same?", yes,
    )  # fmt: skip
    opener = console.read_opener(session, passphrase_file)
    with console.steps() as on_step:
        on_step("Opening the keyring and making the file")
        made = sealed_work.run("station create", session.fleet_dir, opener, request=asked.line,
                               number=number, out=out.absolute()).values  # fmt: skip
    if why := made.pop("unsigned"):
        console.note(why)
    if as_json:
        console.print_json({"ok": True, **made, "out": out})
        return
    what = "" if made["is_new"] else ", as before"
    click.echo(f"{console.mark('ok')}  Station {number} of {made['fleet']}{what}: {out}")
    click.echo(f"    It is this fleet's if the laptop shows {made['fingerprint']}: say so by"
               " telephone.")  # fmt: skip
    console.note("Only that laptop can open it. There: `fanal station join FILE`.")


@station_group.command(
    "join",
    short_help="Be a station from now on: the laptop's part.",
    epilog="""\b
Examples:
  fanal station join station-3.age
  fanal station join station-3.age --yes --json

Exit codes: 0 fine, also if it was done before; 1 this laptop did not ask; 4 not for this laptop,
of another fleet, damaged, or the wrong passphrase.
""",
)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@choice.yes_option
@console.unlock_options
@console.json_option
@console.pass_session
def join_command(
    session: console.Session, file: Path, yes: bool, passphrase_file: Path | None, as_json: bool
) -> None:
    """Take the officer's file, and be a station from then on: the laptop's part.

    Twice is fine. Cut off, run it again.
    """
    from fanal import bounded_file, sealed_work
    from fanal.station_file import MOST_BYTES

    bounded_file.read(file, MOST_BYTES, "a station's file")  # before anybody types a passphrase
    opener = console.read_opener(session, passphrase_file)
    folder, path = session.fleet_dir, file.absolute()
    with console.steps() as on_step:
        on_step("Opening the file")
        offer = sealed_work.run("station look", folder, opener, file=path).values
    if not offer["is_joined"]:
        choice.ask(
            f"The fleet {offer['fingerprint']} makes this laptop its station {offer['number']}."
            f" {_COMPARE_FLEET}",
            "Are the letters the same?", yes,
        )  # fmt: skip
    with console.steps() as on_step:
        on_step("Writing the station's keys")
        done = sealed_work.run("station join", folder, opener, file=path,
                               fingerprint=offer["fingerprint"]).values  # fmt: skip
    if as_json:
        is_new = not done.pop("is_joined")
        console.print_json({"ok": True, **done, "is_new": is_new})
        return
    what = "already is" if done["is_joined"] else "is now"
    click.echo(f"{console.mark('ok')}  This laptop {what} station {done['number']} of"
               f" {done['fleet']} ({done['fingerprint']})")  # fmt: skip
    console.note("Next: attach a beacon and run `fanal provision --site NAME`.")


@station_group.command(
    "list",
    epilog="""\b
Examples:
  fanal station list
  fanal station list --json
""",
)
@console.json_option
@console.pass_session
def list_command(session: console.Session, as_json: bool) -> None:
    """Show the stations of the fleet. No passphrase is needed."""
    from fanal.registry import REGISTRY_FILE, Registry

    with Registry(session.fleet_dir / REGISTRY_FILE) as registry:
        stations, beacons = registry.stations(), registry.beacons()
    counts = {one.number: sum(b.station == one.number for b in beacons) for one in stations}
    if as_json:
        console.print_json({"ok": True, "stations": [
            {"number": one.number, "created_ms": one.created_ms, "beacons": counts[one.number],
             "revoked_ms": one.revocation.at_ms if one.revocation else None,
             "reason": one.revocation.reason if one.revocation else None}
            for one in stations
        ]})  # fmt: skip
        return
    for one in stations:
        line = (
            f"{one.number:5}  since {_day(one.created_ms)}  {console.beacons(counts[one.number])}"
        )
        if one.revocation is not None:
            line += f"  REVOKED {_day(one.revocation.at_ms)}: {one.revocation.reason}"
        click.echo(line)


@station_group.command(
    "revoke",
    epilog="""\b
Examples:
  fanal station revoke 3 --reason "laptop stolen"
  fanal station revoke 3 --reason lost --json

Exit codes: 0 fine, also if it was revoked before; 1 there is no such station.
""",
)
@click.argument("number", type=click.IntRange(0, 0xFFFF))
@click.option("--reason", required=True, metavar="TEXT", help="Why, in one line.")
@console.json_option
@console.pass_session
def revoke_command(session: console.Session, number: int, reason: str, as_json: bool) -> None:
    """Trust a station no more, for good. No passphrase is needed.

    Its beacons stay in service, since people rely on them, and what they send is marked. Replace
    them: whoever has the laptop and its passphrase can raise alerts in their names.
    """
    from fanal.registry import REGISTRY_FILE, Registry
    from fanal.station import revoke

    with Registry(session.fleet_dir / REGISTRY_FILE) as registry:
        done = revoke(registry, number, reason)
        log_tail.say(registry, done.changed)
    if as_json:
        console.print_json({"ok": True, "number": number, "reason": reason,
                            "beacons": done.beacons, "changed": done.changed})  # fmt: skip
        return
    what = "Revoked" if done.changed else "Revoked before for that reason, nothing changed:"
    click.echo(f"{console.mark('ok')}  {what} station {number} ({reason})")
    if done.beacons:
        console.note(f"{console.mark('warn', sys.stderr)}  In service, and marked from now on:"
                     f" {console.beacons(done.beacons)} of it. `fanal list` names them: replace"
                     " them.")  # fmt: skip
    console.note("Hubs learn of it by a new `fanal hub enrol`.")


def _day(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d")
