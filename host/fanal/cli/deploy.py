"""`fanal deploy`: flash, provision, verify and label, one board or fifty."""

import getpass
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fanal.cli import console
from fanal.error import UsageError

if TYPE_CHECKING:
    from fanal.batch import Batch
    from fanal.batch_list import Row
    from fanal.deploy import Deployed
    from fanal.keyring import Station
    from fanal.label_sheet import Sheet

LABELS = "labels.pdf"


@click.command(
    epilog="""\b
Examples:
  fanal deploy --site shelter-3             the board on the only port
  fanal deploy --site shelter-3 --all       all that are attached, at once
  fanal deploy --batch spring --list beacons.csv --all --watch
  fanal deploy --batch spring --all         go on, after whatever stopped it
  fanal deploy --batch spring --give-up 37  the board of row 37 is broken

\b
A list is a CSV file whose first line is: label,site,notes
(place and profile may be columns too). A batch lies in the fleet's folder,
below batches/: results.csv, results.json, labels.pdf.

Exit codes: 0 all are proven, 2 no such batch or list, 3 no board, 6 some of several
failed; of one board alone that of its failure (1, 3, 4, 5 or 7).
""",
)
@console.ports_options
@click.option(
    "--batch", "name", metavar="NAME", help="Which batch; a new one with --list or --count."
)
@click.option(
    "--list", "list_file", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False),
    help="CSV file with one beacon a line.",
)  # fmt: skip
@click.option("--count", metavar="N", type=click.IntRange(1), help="So many beacons of --site.")
@click.option("--site", metavar="NAME", help="Where they belong, in one word.")
@click.option("--watch", is_flag=True, help="Go on with boards that are plugged in later.")
@click.option("--give-up", metavar="ROW", type=int, help="Free the row of a board that is broken.")
@click.option("--labels", "sheet_name", metavar="FORMAT", default="avery-l7160", show_default=True,
              help="What the labels are printed on; see `fanal label --help`.")  # fmt: skip
@click.option("--technician", metavar="NAME", envvar="FANAL_TECHNICIAN", default=lambda: _user(),
              help="Who does it, for the results (also FANAL_TECHNICIAN).")  # fmt: skip
@click.option("--again", is_flag=True, help="Write everything anew. The keys stay.")
@click.option("--disturb", is_flag=True, help="Also a beacon that is in an event.")
@click.option("--move", is_flag=True, help="Take beacons that are in service elsewhere along.")
@click.option(
    "--replace",
    "replaces",
    is_flag=True,
    help="Retire another identity of a board that was erased.",
)
@console.baud_option
@console.unlock_options
@console.json_option
@console.pass_session
@click.pass_context
def deploy_command(
    ctx: click.Context,
    session: console.Session,
    ports: tuple[str, ...],
    is_all: bool,
    name: str | None,
    list_file: Path | None,
    count: int | None,
    site: str | None,
    watch: bool,
    give_up: int | None,
    sheet_name: str,
    technician: str,
    again: bool,
    disturb: bool,
    move: bool,
    replaces: bool,
    baud: str,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    """Turn boards into proven beacons: flash, provision, verify, label.

    Whatever stops it, a cable, a cut of power or Ctrl-C, run it again: it goes on where each
    board stopped, and changes nothing that is right. Every board gets one row of the batch, every
    row one identity.
    """
    from fanal.batch import BATCHES, Batch
    from fanal.deploy import Bench
    from fanal.firmware_image import locate
    from fanal.flash_plan import Plan
    from fanal.image_store import ImageStore
    from fanal.label_sheet import by_name
    from fanal.registry import REGISTRY_FILE, Registry
    from fanal.serial_port import find_ports

    sheet = by_name(sheet_name)
    with Registry(session.fleet_dir / REGISTRY_FILE) as registry:
        path = registry.path
    if give_up is not None:
        _give_up(session.fleet_dir, name, give_up, as_json)
        return
    chosen = [] if watch and not ports else find_ports(ports, is_all)
    begin = _beginning(session.fleet_dir / BATCHES, name, list_file, count, site)
    _require_printable(begin.rows if begin.is_new else Batch.open(begin.folder).rows, sheet)
    firmware = locate()
    station = _station(session, passphrase_file)
    bench = Bench(
        ImageStore(), firmware, station, path, version("fanal"), technician,
        Plan(int(baud), again, disturb), replaces, move,
    )  # fmt: skip
    with begin.batch() as batch:
        try:
            done = _run(chosen, bench, batch, is_all=is_all, watch=watch, as_json=as_json)
        finally:
            files = _finish(batch, sheet, path)
            _sign(path, station)
        _report(batch, done, files, as_json)
    ctx.exit(_exit_code(done))


def _user() -> str:
    """Return who is logged in; a computer may not know."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"


def _give_up(fleet_dir: Path, name: str | None, row: int, as_json: bool) -> None:
    from fanal.batch import BATCHES, Batch
    from fanal.registry import REGISTRY_FILE, RETIRED, Registry

    if name is None:
        raise UsageError("Of which batch?", "Give its name with --batch.")
    with (
        Registry(fleet_dir / REGISTRY_FILE) as registry,
        Batch.open(fleet_dir / BATCHES / _name(name)) as batch,
    ):
        result = batch.results.get(row)
        beacon = registry.find(result.beacon_id or "") if result is not None else None
        is_retired = beacon is None or beacon.state == RETIRED or beacon.revocation is not None
        batch.release(row, "given up", is_retired=is_retired)
        batch.write_results()
    if as_json:
        console.print_json({"ok": True, "batch": str(batch.folder), "number": row})
    else:
        click.echo(f"Row {row} of {name} is free again.")


def _station(session: console.Session, passphrase_file: Path | None) -> "Station":
    from fanal import unlocking
    from fanal.own_station import require_own
    from fanal.registry import REGISTRY_FILE, Registry

    opener = console.read_opener(session, passphrase_file)
    with console.steps() as on_step:
        on_step("Opening the keyring")
        station = unlocking.station(session.fleet_dir, opener)
    with Registry(session.fleet_dir / REGISTRY_FILE) as registry:
        require_own(registry, station)
    return station


def _sign(path: Path, station: "Station") -> None:
    """Sign for what was entered into the log, while the keyring is open."""
    from fanal import anchor
    from fanal.log_checkpoint import checkpoint_or_why
    from fanal.registry import Registry

    with Registry(path) as registry:
        if why := checkpoint_or_why(registry, station, anchor.default_folder()):
            console.note(why)


def _name(name: str) -> str:
    if not name.replace("-", "").replace("_", "").isalnum() or len(name) > 60:
        raise UsageError("A batch's name is letters, digits, - and _.", "For example spring-2.")
    return name


@dataclass(frozen=True)
class _Beginning:
    """Which batch is meant. rows, grows: of one that is to be made if it is not there."""

    folder: Path
    rows: "Sequence[Row]" = ()
    grows: "Row | None" = None

    @property
    def is_new(self) -> bool:
        return bool(self.rows) or self.grows is not None

    def batch(self) -> "Batch":
        from fanal.batch import Batch

        if not self.is_new:
            return Batch.open(self.folder)
        return Batch.create(self.folder, self.rows, self.grows)


def _beginning(
    batches: Path, name: str | None, file: Path | None, count: int | None, site: str | None
) -> _Beginning:
    """Return what was asked for. Without a name it is that of the list, or of day and site."""
    from fanal.batch_list import count_rows, read_list

    if file is not None and count is not None:
        raise UsageError("--list and --count contradict each other.", "Give one of them.")
    if file is not None:
        return _Beginning(batches / _name(name or _safe(file.stem)), read_list(file, site))
    if site is None and (count is not None or name is None):
        raise UsageError(
            "Where do the beacons belong?", "Give --site NAME, --list FILE or --batch NAME."
        )
    if site is None:
        return _Beginning(batches / _name(name or ""))
    today = f"{datetime.now():%Y-%m-%d}-{_safe(site)}"
    if count is not None:
        folder = batches / _name(name or f"{today}-{count}")
        return _Beginning(folder, count_rows(count, site))
    (like,) = count_rows(1, site)
    return _Beginning(batches / _name(name or today), grows=replace(like, number=0))


def _safe(text: str) -> str:
    """Return what of a text can stand in the name of a folder."""
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in text)[:40] or "batch"


def _require_printable(rows: "Sequence[Row]", sheet: "Sheet") -> None:
    """Refuse a text that does not fit onto a label before there is a beacon that needs one."""
    from fanal.label_drawing import Label, sticker

    for text in {row.label for row in rows if row.label}:
        sticker(Label("00000000", text), sheet)


# -- the sitting


def _run(
    ports: Sequence[str], bench: Any, batch: "Batch", *, is_all: bool, watch: bool, as_json: bool
) -> list["Deployed"]:
    from fanal.cli import side_by_side
    from fanal.deploy import deploy

    done: list[Deployed] = []
    newcomers = _Newcomers(batch, begins_all=is_all).look if watch else None

    def on_done(_: str, deployed: "Deployed") -> str:
        done.append(deployed)
        _tell(batch, deployed, as_json)
        return "done" if deployed.problem is None else "not done: see above"

    try:
        side_by_side.run(
            ports,
            lambda port, progress: deploy(port, bench, batch, progress),
            on_done,
            newcomers,
        )
    except KeyboardInterrupt:
        if not watch:  # it is how a watch ends
            raise
    return done


class _Newcomers:
    """The ports that came since: new ones, and those that were gone in between."""

    def __init__(self, batch: "Batch", *, begins_all: bool) -> None:
        from fanal.serial_port import attached

        self._batch = batch
        # what else is there already is meant only by --all
        self._known = set() if begins_all else {found.port for found in attached()}
        console.note("Plug in boards; each is begun as it comes. Ctrl-C ends it.")

    def look(self) -> list[str] | None:
        from fanal.batch import DONE
        from fanal.serial_port import attached, exists

        has_end = self._batch.grows is None
        if has_end and self._batch.counts()[DONE] == len(self._batch.rows):
            return None
        present = {found.port: found.mac for found in attached() if exists(found.port)}
        # a chip's own USB port comes again with every reset, and with every wake from sleep
        done = {result.mac for result in self._batch.results.values() if result.outcome == DONE}
        new = sorted(port for port in present.keys() - self._known if present[port] not in done)
        self._known = set(present)
        return new


def _tell(batch: "Batch", deployed: "Deployed", as_json: bool) -> None:
    from fanal.batch import DONE
    from fanal.beacon_name import shown

    result = deployed.result
    if deployed.problem is not None:
        row = "" if result is None else f" (row {result.number}, {result.mac})"
        console.note(f"{deployed.port}{row}:")
        console.print_error(deployed.problem)
        return
    assert result is not None
    what = "" if deployed.changed else "  (as before, nothing changed)"
    label = f"  {result.label}" if result.label else ""
    line = (
        f"{console.mark('ok')}  {shown(result.beacon_id or '')}{label}  {result.site}"
        f"  row {result.number}  {result.mac} at {deployed.port}{what}"
    )
    counts = batch.counts()
    console.note(line) if as_json else console.result(line)
    if deployed.changed:
        console.note(f"{counts[DONE]} of {len(batch.rows)} are done.")


def _finish(batch: "Batch", sheet: "Sheet", registry: Path) -> list[Path]:
    """Bring results and labels up to date and return the files."""
    from fanal.batch import RESULTS_CSV, RESULTS_JSON

    batch.write_results()
    files = [batch.folder / RESULTS_CSV, batch.folder / RESULTS_JSON]
    try:
        return files + _label(batch, sheet, registry)
    except UsageError as problem:  # too many for one file, which is no reason to lose the account
        console.print_error(problem)
    except OSError as problem:  # some systems do not replace a file that somebody looks at
        warn = console.mark("warn", sys.stderr)
        console.note(f"{warn} {LABELS} could not be written: {problem.strerror}.")
    return files


def _label(batch: "Batch", sheet: "Sheet", registry: Path) -> list[Path]:
    """Draw the labels of all beacons that are done, and in service still."""
    from fanal import label
    from fanal.batch import DONE
    from fanal.registry import Registry

    with Registry(registry) as opened:
        in_service = {beacon.beacon_id for beacon in label.chosen(opened)}
    labels = [
        label.Label(result.beacon_id, result.label)
        for result in batch.results.values()
        if result.outcome == DONE and result.beacon_id in in_service
    ]
    if not labels:
        return []
    return label.save(label.draw(labels, sheet), batch.folder / LABELS, sheet)


def _report(
    batch: "Batch", done: Sequence["Deployed"], files: Sequence[Path], as_json: bool
) -> None:
    counts = batch.counts()
    if as_json:
        rows = [asdict(result) for result in batch.results.values()]
        console.print_json(
            {"ok": not _exit_code(done), "batch": str(batch.folder), "counts": counts,
             "files": list(files), "rows": rows,
             "boards": [{"port": d.port, "changed": d.changed, **_end(d)} for d in done]}
        )  # fmt: skip
        return
    said = ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)
    click.echo(f"\nBatch {batch.folder.name}: {said}.")
    for file in files:
        click.echo(f"  {_short(file)}")


def _end(deployed: "Deployed") -> dict[str, Any]:
    if deployed.problem is not None:
        return console.as_object(deployed.problem)
    return {"ok": True, "number": deployed.result.number if deployed.result else None}


def _exit_code(done: Sequence["Deployed"]) -> int:
    from fanal.cli import side_by_side

    problems = [deployed.problem for deployed in done if deployed.problem is not None]
    return side_by_side.exit_code(problems, len(done))


def _short(path: Path) -> str:
    relative = os.path.relpath(path)
    return relative if len(relative) < len(str(path)) else str(path)
