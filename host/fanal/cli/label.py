"""`fanal label`: what is stuck on a beacon."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from fanal.cli import console
from fanal.cli.out_file import OutFile
from fanal.error import UsageError
from fanal.label_sheet import SHEETS, by_name

if TYPE_CHECKING:
    from fanal.registry import Beacon


@click.command(
    epilog="""\b
Examples:
  fanal label --all --format avery-l7160 --out labels.pdf
  fanal label --site shelter-3 --format avery-5160 --skip 4 --out rest.pdf
  fanal label K7Q2-9XMD --text A-017 --format thermal-29x62 --out label.png
\b
Formats:
"""
    + "\n".join(f"  {sheet.name:18} {sheet.title}" for sheet in SHEETS.values())
    + """

Print at 100 %, never "fit to page", and the first page on plain paper: hold it against the sheet.
""",
)
@click.argument("names", metavar="[BEACON]...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All beacons that are in service.")
@click.option("--site", metavar="SITE", help="All beacons that are in service there.")
@click.option("--text", metavar="TEXT", default="", help="Printed below the id, such as A-017.")
@click.option("--caption", metavar="TEXT", default="", help="One more line, of your own.")
@click.option(
    "--format", "sheet_name", metavar="FORMAT", required=True, help="What you print on; see below."
)
@click.option(
    "--out", "path", metavar="FILE", required=True,
    type=OutFile(), help="FILE.pdf or FILE.png.",
)  # fmt: skip
@click.option(
    "--skip", metavar="N", type=click.IntRange(min=0), default=0,
    help="So many labels of the first sheet are used already.",
)  # fmt: skip
@console.json_option
@console.pass_session
def label_command(
    session: console.Session,
    names: tuple[str, ...],
    everything: bool,
    site: str | None,
    text: str,
    caption: str,
    sheet_name: str,
    path: Path,
    skip: int,
    as_json: bool,
) -> None:
    """Make labels: the id in large letters and as a QR code.

    A barcode reader that scans one types the id, which selects the beacon in every command. A
    label says nothing else: no site, no place, no key, not even what it is stuck on.
    """
    sheet = by_name(sheet_name)
    _check_choice(names, everything, site)
    if text and len(names) != 1:
        raise UsageError("--text is for one beacon.", "Name that beacon.")
    from fanal import label
    from fanal.registry import REGISTRY_FILE, Registry

    with Registry(session.fleet_dir / REGISTRY_FILE) as registry:
        beacons = label.chosen(registry, names, site=site)
    _require_some(beacons, site)
    labels = [label.Label(beacon.beacon_id, text) for beacon in beacons]
    pages = label.draw(labels, sheet, skip, caption=caption)
    files = label.save(pages, path, sheet)
    if as_json:
        ids = [beacon.beacon_id for beacon in beacons]
        console.print_json(
            {"ok": True, "format": sheet.name, "pages": len(pages), "files": files, "beacons": ids}
        )
        return
    for file in files:
        click.echo(file)
    many = "s" if len(labels) > 1 else ""
    console.note(f"{len(labels)} label{many}. Print at 100 %, never “fit to page”.")


def _check_choice(names: tuple[str, ...], everything: bool, site: str | None) -> None:
    if everything and site is not None:
        raise UsageError("Take --all or --site, not both.")
    if names and (everything or site is not None):
        raise UsageError("Name beacons, or take --all or --site, not both.")
    if not names and not everything and site is None:
        raise UsageError("Which beacons?", "Name them, or take --site SITE, or --all.")


def _require_some(beacons: "list[Beacon]", site: str | None) -> None:
    if not beacons:
        where = "" if site is None else f" at {site}"
        raise UsageError(
            f"There is no beacon in service{where}.", "See `fanal list` for sites and states."
        )
