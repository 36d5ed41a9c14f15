"""`fanal registry`: all records as a file, back again, and those of a station brought in."""

from dataclasses import asdict
from pathlib import Path

import click

from fanal.cli import console, log_tail
from fanal.cli.out_file import OutFile
from fanal.error import BatchError
from fanal.printable import printable

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.group(
    epilog="""\b
Examples:
  fanal registry export
  fanal registry merge station-3-2026-01-31.fanal.age
"""
)
def registry_group() -> None:
    """Take the records out, or bring those of a station in."""


@registry_group.command(
    "export",
    short_help="Write all records to a file; at a station signed for, and sealed.",
    epilog="""\b
Examples:
  fanal registry export                                   at a station
  fanal registry export --out beacons.csv --format csv    in the office

Exit codes: 0 fine; 1 nobody said what to seal to (--plain), or other commands write all the time;
4 wrong passphrase, or a log that nobody may sign for (`fanal log verify` says why).
""",
)
@click.option("--out", type=OutFile(), metavar="FILE",
              help="Where to write it, by default station-NUMBER-DAY.fanal.age here.")  # fmt: skip
@click.option(
    "--format", "form", type=click.Choice(["json", "csv"]), default="json", show_default=True,
    help="csv opens in a spreadsheet; both hold everything.",
)  # fmt: skip
@click.option(
    "--seal/--plain", "wish", default=None,
    help="Sealed for the fleet's officer, as a station does by default; or in clear.",
)  # fmt: skip
@click.option("--unsigned", is_flag=True, help="Do not sign for the log.")
@console.unlock_options
@console.json_option
@console.pass_session
def export_command(
    session: console.Session,
    out: Path | None,
    form: str,
    wish: bool | None,
    unsigned: bool,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    """Write all records to a file: beacons with their places, history, log. No key is in it.

    At a station it asks for the passphrase, signs for the log, and seals the file so that only the
    fleet's officer can read it: send it by any way. In the officer's own folder the file is in
    clear, and so says which beacon is where, unless you say --seal.
    """
    from datetime import datetime

    from fanal import registry_export, sealed_work
    from fanal.own_folder import require_other
    from fanal.registry import REGISTRY_FILE, Registry

    folder = session.fleet_dir
    is_station = registry_export.is_station(folder)
    is_sealed = is_station if wish is None else wish
    is_signed = (is_station or is_sealed) and not unsigned
    with Registry(folder / REGISTRY_FILE) as registry:
        if out is None:
            day = datetime.now().astimezone().date()
            name = registry_export.file_name(registry.home(), form, day, is_sealed=is_sealed)
            out = Path(name)
        require_other(out)
        if not (is_sealed or is_signed):
            told = asdict(registry_export.export_plain(registry, out, form))
    if is_sealed or is_signed:
        opener = console.read_opener(session, passphrase_file)
        with console.steps() as on_step:
            on_step("Opening the keyring and writing the records")
            told = sealed_work.run("export", folder, opener, out=out.absolute(), form=form,
                                   sealed=is_sealed, signed=is_signed).values  # fmt: skip
    if as_json:
        console.print_json({"ok": True, "file": str(out), "format": form, **told})
    else:
        how = "sealed for the fleet's officer" if is_sealed else "in clear"
        what = f"{console.beacons(told['beacons'])} with all records, {how}"
        click.echo(f"{console.mark('ok')}  {what}: {out}")
    if not is_sealed:
        console.note("It says which beacon is where. Keep it from other people.")
    elif is_station:
        console.note("Send it to the officer, by any way. There: `fanal registry merge FILE`.")


@registry_group.command(
    "import",
    short_help="Make a registry from a file, where there is none.",
    epilog="""\b
Examples:
  fanal --fleet ~/fleets/copy registry import exported.json

Exit codes: 0 fine, 1 sealed, and its keys are not here, 2 there is a registry already, 4 not an
export, altered, or sealed to another fleet.
""",
)
@click.argument("file", type=_FILE)
@console.unlock_options
@console.json_option
@console.pass_session
def import_command(
    session: console.Session, file: Path, passphrase_file: Path | None, as_json: bool
) -> None:
    """Make a registry from an exported FILE where there is none: exactly what was exported.

    The file is checked first: its log has to say what its records say. A sealed one needs the
    officer's keys in that folder, and the passphrase. For a whole fleet that was lost, keys and
    all, there is `fanal fleet restore`.
    """
    from fanal.registry_import import import_registry, require_none

    require_none(session.fleet_dir)  # before anybody types a passphrase
    done = import_registry(_read(session, file, passphrase_file), session.fleet_dir)
    if as_json:
        console.print_json({"ok": True, **asdict(done), "path": str(done.path)})
        return
    what = f"{console.beacons(done.beacons)}, {done.entries} entries"
    click.echo(f"{console.mark('ok')}  {what}: {done.path}")
    if done.unsigned:
        click.echo(f"{console.mark('warn')}  Nobody signed for {done.unsigned} entries of its log.")


@registry_group.command(
    "merge",
    epilog="""\b
Examples:
  fanal registry merge station-3-2026-01-31.fanal.age
  fanal registry merge station-3.json --unsigned     by hand from that laptop

Exit codes: 0 fine, also if nothing is new; 1 not a file to merge here; 4 altered, sealed to another
fleet, nobody signed for it, or the wrong passphrase; 6 some records contradict and were left out.
""",
)
@click.argument("file", type=_FILE)
@click.option("--unsigned", is_flag=True, help="Take what its station did not sign for.")
@console.unlock_options
@console.json_option
@console.pass_session
def merge_command(
    session: console.Session,
    file: Path,
    unsigned: bool,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    """Bring the records of a station in, from the FILE that it exported.

    A sealed file asks for the passphrase. The station has to have signed, as its export does.
    Higher event numbers win, and every revocation counts; histories are united; what contradicts is
    named and left out. The station's log is kept beside this one. The same file twice changes
    nothing.
    """
    from fanal.registry import REGISTRY_FILE, Registry
    from fanal.registry_merge import merge

    Registry(session.fleet_dir / REGISTRY_FILE).close()  # before anybody types a passphrase
    data = _read(session, file, passphrase_file)
    with Registry(session.fleet_dir / REGISTRY_FILE) as registry:
        done = merge(registry, data, is_unsigned_fine=unsigned)
        log_tail.say(registry, done.is_news)
    if as_json:
        console.print_json({"ok": not done.conflicts, "changed": done.is_news, **asdict(done)})
    else:
        news = f"{console.beacons(len(done.added), 'new')}, {len(done.changed)} changed"
        what = news if done.added or done.changed else "nothing new"
        if done.is_news and what != news:
            what += " but history and log"
        click.echo(f"{console.mark('ok')}  Station {done.station}: {what}")
        for number in done.revoked:
            click.echo(f"{console.mark('warn')}  Station {number} is revoked from now on, by the"
                       " word of this file")  # fmt: skip
        for conflict in done.conflicts:
            click.echo(f"{console.mark('fail')}  {printable(conflict.sentence)}")
        if done.unsigned:
            click.echo(
                f"{console.mark('warn')}  The station did not sign for {done.unsigned} entries of"
                " its log."
            )
    if done.conflicts:
        click.get_current_context().exit(BatchError.exit_code)


def _read(session: console.Session, file: Path, passphrase_file: Path | None) -> bytes:
    """Return an exported file; a sealed one as it is opened with the fleet's keys."""
    from fanal import age_file, bounded_file, sealed_work
    from fanal.error import FanalError, UsageError
    from fanal.keyring import OFFICER_FILE
    from fanal.registry_copy import MOST_BYTES

    data = bounded_file.read(file, MOST_BYTES, "an exported registry")
    if not age_file.is_age(data):
        return data
    if not (session.fleet_dir / OFFICER_FILE).exists():
        raise FanalError(
            f"{file} is sealed for a fleet's officer, whose keys are not in {session.fleet_dir}.",
            "Run the command on the officer's computer; check --fleet.",
            code="no_secret",
        )
    del data  # the child reads it itself, and this process needs the room
    if not file.is_file():
        raise UsageError(
            f"{file} is sealed, and no file of its own.", "Save it in a file, and name that."
        )
    opener = console.read_opener(session, passphrase_file)
    with console.steps() as on_step:
        on_step("Opening the keyring and the file")
        return sealed_work.run("records", session.fleet_dir, opener, file=file.absolute()).raw
