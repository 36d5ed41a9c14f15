"""`fanal registry`: all records as a file, back again, and those of a station brought in."""

from dataclasses import asdict
from pathlib import Path

import click

from fanal.cli import console, log_tail
from fanal.error import BatchError
from fanal.printable import printable

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.group(
    epilog="""\b
Examples:
  fanal registry export --out station-3.json
  fanal registry merge station-3.json
"""
)
def registry_group() -> None:
    """Take the records out, or bring those of a station in."""


@registry_group.command(
    "export",
    short_help="Write all records to a file, JSON or CSV.",
    epilog="""\b
Examples:
  fanal registry export --out station-3.json
  fanal registry export --out beacons.csv --format csv
""",
)
@click.option("--out", type=_FILE, required=True, metavar="FILE", help="Where to write it.")
@click.option(
    "--format", "form", type=click.Choice(["json", "csv"]), default="json", show_default=True,
    help="csv opens in a spreadsheet; both hold everything.",
)  # fmt: skip
@console.json_option
@console.pass_session
def export_command(session: console.Session, out: Path, form: str, as_json: bool) -> None:
    """Write all records to a file: beacons with their places, history, log. No key is in it.

    It says which beacon is where: keep it as you keep the registry. Before a station's file goes to
    the officer, `fanal log checkpoint` signs for it.
    """
    from fanal.keyring import require_other, write_private
    from fanal.registry import REGISTRY_FILE, Registry
    from fanal.registry_copy import export

    with Registry(session.fleet_dir / REGISTRY_FILE) as registry:
        require_other(session.fleet_dir, out)
        data = export(registry, form)
        beacons = len(registry.beacons())
    write_private(out, data)
    if as_json:
        console.print_json({"ok": True, "file": str(out), "beacons": beacons, "format": form})
        return
    click.echo(f"{console.mark('ok')}  {console.beacons(beacons)} with all records: {out}")
    console.note("It says which beacon is where. Keep it from other people.")


@registry_group.command(
    "import",
    short_help="Make a registry from a file, where there is none.",
    epilog="""\b
Examples:
  fanal --fleet ~/fleets/copy registry import exported.json

Exit codes: 0 fine, 2 there is a registry already, 4 not an export, or altered.
""",
)
@click.argument("file", type=_FILE)
@console.json_option
@console.pass_session
def import_command(session: console.Session, file: Path, as_json: bool) -> None:
    """Make a registry from an exported FILE where there is none: exactly what was exported.

    The file is checked first: its log has to say what its records say. For a whole fleet that was
    lost, keys and all, there is `fanal fleet restore`.
    """
    from fanal.registry_import import import_registry

    done = import_registry(_read(file), session.fleet_dir)
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
  fanal registry merge station-3.json
  fanal registry merge station-3.json --unsigned     by hand from that laptop

Exit codes: 0 fine, also if nothing is new; 1 not a file to merge here; 4 altered, or nobody signed
for it; 6 some records contradict and were left out.
""",
)
@click.argument("file", type=_FILE)
@click.option("--unsigned", is_flag=True, help="Take what its station did not sign for.")
@console.json_option
@console.pass_session
def merge_command(session: console.Session, file: Path, unsigned: bool, as_json: bool) -> None:
    """Bring the records of a station in, from the FILE that it exported.

    The station has to have signed for them (`fanal log checkpoint`). Higher event numbers win, and
    every revocation counts; histories are united; what contradicts is named and left out. The
    station's log is kept beside this one. The same file twice changes nothing.
    """
    from fanal.registry import REGISTRY_FILE, Registry
    from fanal.registry_merge import merge

    data = _read(file)
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


def _read(file: Path) -> bytes:
    from fanal import bounded_file
    from fanal.registry_copy import MOST_BYTES

    return bounded_file.read(file, MOST_BYTES, "an exported registry")
