"""`fanal support`: one file for whoever helps."""

import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fanal.cli import console
from fanal.cli.out_file import OutFile
from fanal.error import FanalError

if TYPE_CHECKING:
    from fanal.ports import Port
    from fanal.registry import Beacon
    from fanal.support import Packed


@click.command(
    epilog="""\b
Examples:
  fanal support
  fanal support --out /media/stick/help.zip
  fanal support --json
""",
)
@click.option(
    "--out", metavar="FILE.zip", type=OutFile(dir_okay=True),
    help="Where to write it; a folder will do. Default: a new file here.",
)  # fmt: skip
@console.json_option
@console.pass_session
def support_command(session: console.Session, out: Path | None, as_json: bool) -> None:
    """Pack one file for the person who helps you.

    In it are versions, the doctor's rows, ports and the states of beacons.
    No key, no place and no name is in it, and it says itself what is in it and what was left
    out. It opens no port and needs no passphrase. Look into it before you send it.
    """
    with console.steps() as on_step:
        on_step("Looking at this computer")
        packed = _pack(session.fleet_dir.absolute(), _name(out))
    if as_json:
        inside = [{"name": m.name, "what": m.what, "bytes": len(m.content)} for m in packed.members]
        console.print_json(
            {"ok": True, "file": packed.path, "inside": inside, "left_out": packed.left_out}
        )
    else:
        _show(packed)


def _name(out: Path | None) -> Path:
    name = f"fanal-support-{datetime.now():%Y%m%d-%H%M%S}.zip"
    if out is None:
        return Path(name)
    return out / name if out.is_dir() else out


def _pack(fleet_dir: Path, out: Path) -> "Packed":
    from functools import cache

    from fanal import error_log
    from fanal.doctor.belongings import look
    from fanal.doctor.examination import examine
    from fanal.doctor.system import ThisSystem
    from fanal.redaction import Redactor
    from fanal.support import support
    from fanal.support_parts import Sources, names_to_withhold

    system = ThisSystem()
    own = cache(lambda: look(fleet_dir))
    beacons = cache(lambda: _beacons(fleet_dir))
    try:
        registered = beacons() or []
    except FanalError:
        registered = []  # its place in the file says so
    sources = Sources(
        fleet_dir=fleet_dir,
        system=system,
        own=own,
        doctor=lambda: examine(system, fleet_dir, own()),
        ports=lambda: _ports(fleet_dir),
        beacons=beacons,
        errors=lambda: error_log.last(fleet_dir),
    )
    names = names_to_withhold(fleet_dir, registered)
    return support(out, sources, Redactor.of_this_computer(fleet_dir, names))


def _beacons(fleet_dir: Path) -> "list[Beacon] | None":
    from fanal.registry import REGISTRY_FILE, Registry

    try:
        with Registry(fleet_dir / REGISTRY_FILE) as registry:
            return registry.beacons()
    except FanalError as problem:
        if problem.code == "no_fleet":
            return None
        raise


def _ports(fleet_dir: Path) -> "list[Port]":
    """Return what is attached; a registry that does not open costs only what it knows of it."""
    from fanal.ports import ports
    from fanal.registry import REGISTRY_FILE, Registry

    try:
        with Registry(fleet_dir / REGISTRY_FILE) as registry:
            return list(ports(registry))
    except FanalError:
        return list(ports(None))


def _show(packed: "Packed") -> None:
    size = packed.path.stat().st_size
    click.echo(f"{console.mark('ok')}  {packed.path}  ({-(-size // 1024)} KB)")
    click.echo("In it:")
    width = max(len(member.name) for member in packed.members)
    for member in packed.members:
        line = f"  {member.name:{width}}  {member.what}"
        click.echo(console.folded(line, width + 4, sys.stdout))
    click.echo("Left out:")
    for what in packed.left_out:
        click.echo(console.folded(f"  {what}", 4, sys.stdout))
    console.note("Look into it before you send it; it is plain text in a zip.")
