"""`fanal verify`: check a beacon on the wire, and on air."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fanal.beacon_name import shown
from fanal.cli import choice, console, ears
from fanal.cli.out_file import OutFile
from fanal.cli.self_test import Wanted, hear
from fanal.error import FanalError, UsageError
from fanal.printable import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fanal.air_check import AirCheck
    from fanal.registry import Registry
    from fanal.verify import Check, Verification

# a suite of the JUnit file: its name, the beacon, its rows, what ended it before its last row
Part = tuple[str, str, "Sequence[Check]", FanalError | None]

_DBM = click.IntRange(-127, 20)


@dataclass(frozen=True)
class Result:
    """Both parts. heard: None if it did not come to that; problem: why, if it should have."""

    wired: "Verification"
    heard: "AirCheck | None" = None
    problem: FanalError | None = None

    @property
    def exit_code(self) -> int:
        """That of the part that failed."""
        later = self.problem or self.heard
        return self.wired.exit_code or (later.exit_code if later else 0)

    def parts(self) -> list[Part]:
        """Return what a JUnit file has to say."""
        parts: list[Part] = [("wired", self.wired.beacon_id, self.wired.checks, None)]
        if self.heard or self.problem:
            rows = self.heard.checks if self.heard else ()
            parts.append(("air", self.wired.beacon_id, rows, self.problem))
        return parts

    def as_object(self) -> dict[str, Any]:
        """Return what `--json` has to say."""
        on_air: dict[str, Any] | None = asdict(self.heard) if self.heard else None
        if self.problem is not None:
            on_air = console.as_object(self.problem)
        return {**asdict(self.wired), "air": on_air}


@click.command(
    epilog="""\b
Examples:
  fanal verify
  fanal verify --port /dev/ttyACM0 --json
  fanal verify --air                   and hear the self-test that you squeeze
  fanal verify --air --trigger         and hear one that begins by wire
  fanal verify --air --trigger --junit verify.xml

Exit codes: 0 all is well, 1 a check failed, 3 no beacon answers, or another
one, 4 identity, firmware, event or signature is not genuine, or the beacon was
revoked, 5 settings differ, 7 the port or the radio cannot be used, which says
nothing of the beacon.
""",
)
@console.port_option
@choice.beacon_option
@click.option("--air", "is_on_air", is_flag=True, help="Then hear a self-test of it by radio.")
@click.option("--trigger", is_flag=True, help="Begin the self-test by wire, not by hand.")
@click.option("--air-from", "air", metavar="HOST:PORT", help="Hear a virtual air, not Bluetooth.")
@ears.adapter_option
@click.option("--rssi-min", type=_DBM, default=-80, show_default=True, metavar="DBM",
              help="The weakest median that passes.")  # fmt: skip
@click.option("--rssi-max", type=_DBM, default=-20, show_default=True, metavar="DBM",
              help="The strongest.")  # fmt: skip
@click.option("--air-wait", type=click.FloatRange(1, 3600), metavar="SECONDS",
              help="Wait so long for it.  [default: 30 by wire, 120 by hand]")  # fmt: skip
@click.option("--junit", type=OutFile(), metavar="FILE",
              help="Also write the rows as a JUnit file.")  # fmt: skip
@console.unlock_options
@console.json_option
@console.pass_session
@click.pass_context
def verify_command(
    ctx: click.Context,
    session: console.Session,
    port: str | None,
    beacon: str | None,
    is_on_air: bool,
    trigger: bool,
    air: str | None,
    adapter: str | None,
    rssi_min: int,
    rssi_max: int,
    air_wait: float | None,
    junit: Path | None,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    """Check the connected beacon, row by row; with --air also what it sends.

    The beacon must lie still: its sensor is checked at rest. On the wire no passphrase is
    needed; to understand what is on air it is.
    """
    from fanal.registry import REGISTRY_FILE, Registry
    from fanal.serial_port import find_port

    _check_usage(is_on_air, trigger or bool(air or adapter or air_wait), rssi_min, rssi_max, junit)
    wanted = Wanted(trigger, air, adapter, rssi_min, rssi_max, air_wait)
    with Registry(session.fleet_dir / REGISTRY_FILE) as registry:
        only = choice.chosen_id(registry, beacon)
        roots = _roots(session, passphrase_file, registry) if is_on_air else None
        port = find_port(port)
        try:
            wired = _wired(registry, port, only, is_recorded=not is_on_air)
        except FanalError as problem:
            _write_junit(junit, [("wired", only or "", (), problem)])
            raise
        result = Result(wired)
        if roots is not None and not wired.exit_code:
            result = _on_air(registry, roots, port, wired, wanted)
    _write_junit(junit, result.parts())
    if as_json:
        console.print_json({"ok": not result.exit_code, "port": port, **result.as_object()})
    else:
        _show(result, port, is_on_air)
    if result.problem is not None:
        console.print_error(result.problem)
    ctx.exit(result.exit_code)


def _check_usage(
    is_on_air: bool, needs_air: bool, rssi_min: int, rssi_max: int, junit: Path | None
) -> None:
    if needs_air and not is_on_air:
        raise UsageError(
            "--trigger, --air-from, --adapter and --air-wait are about what is on air.",
            "Add --air.",
        )
    if rssi_min > rssi_max:
        raise UsageError("--rssi-min is above --rssi-max: nothing could pass.")
    if junit is not None and not junit.absolute().parent.is_dir():
        raise UsageError(f"There is no folder {junit.parent} for {junit.name}.", "Create it first.")


def _roots(
    session: console.Session, passphrase_file: Path | None, registry: "Registry"
) -> "Mapping[int, bytes]":
    from fanal import unlocking

    opener = console.read_opener(session, passphrase_file)
    with console.steps() as on_step:
        on_step("Opening the keyring")
        return unlocking.station_roots(session.fleet_dir, opener, registry.watched())


def _wired(
    registry: "Registry", port: str, only: str | None, *, is_recorded: bool
) -> "Verification":
    from fanal.board_link import BoardLink
    from fanal.firmware_image import locate
    from fanal.verify import verify

    manifest = locate().manifest.files
    with console.steps() as on_step:
        on_step(f"Waiting for the beacon on {port}")
        with BoardLink(port, on_waiting=console.ask_for_reset) as board:
            return verify(
                board, registry, manifest, version("fanal"),
                beacon_id=only, is_recorded=is_recorded, on_step=on_step,
            )  # fmt: skip


def _on_air(
    registry: "Registry",
    roots: "Mapping[int, bytes]",
    port: str,
    wired: "Verification",
    wanted: Wanted,
) -> Result:
    try:
        with console.steps() as on_step:
            heard = hear(registry, roots, port, wired, wanted, on_step)
    except FanalError as problem:
        return Result(wired, problem=problem)
    if not heard.exit_code:
        from fanal.registry import ON_AIR

        registry.verified(wired.beacon_id, ON_AIR)
    return Result(wired, heard)


def _write_junit(path: Path | None, parts: Iterable[Part]) -> None:
    if path is not None:
        from fanal import junit_file

        junit_file.write(path, [junit_file.Suite(*part) for part in parts])


def _show(result: Result, port: str, is_on_air: bool) -> None:
    from rich.table import Table
    from rich.text import Text

    from fanal.verify import FAIL

    wired, heard = result.wired, result.heard
    name = shown(wired.beacon_id)
    checks = [*wired.checks, *(heard.checks if heard else ())]
    table = Table(box=None, pad_edge=False, show_header=False)
    for check in checks:
        reason = Text(printable(check.reason))  # a board's own names of files may be in it
        table.add_row(Text.from_ansi(console.mark(check.outcome)), check.name, reason)
    console.out().print(table)
    failed = sum(check.outcome == FAIL for check in checks)
    if failed:
        word = "check" if failed == 1 else "checks"
        click.echo(f"{console.mark('fail')}  {name}: {failed} {word} failed")
        if wired.is_to_flash:
            console.note(
                f"`fanal flash --port {port}` puts this release on it, and its keys stay; then"
                " verify again."
            )
        if is_on_air and heard is None:
            console.note("It was not heard on air, since it failed on the wire.")
        console.note("Do not install this beacon before every check passes.")
    elif result.problem is None:
        proven = ", on the wire and on air" if heard else ""
        click.echo(f"{console.mark('ok')}  {name} ({wired.site}) is ready{proven}")
