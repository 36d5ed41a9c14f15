"""`fanal verify`: check a beacon on the wire."""

from dataclasses import asdict
from importlib.metadata import version
from typing import TYPE_CHECKING

import click

from fanal.cli import choice, console

if TYPE_CHECKING:
    from fanal.verify import Verification


@click.command(
    epilog="""\b
Examples:
  fanal verify
  fanal verify --port /dev/ttyACM0 --json

\b
Exit codes: 0 all is well, 1 a check failed, 3 no beacon answers, or another one, 4 identity or
firmware is not genuine, or the beacon was revoked, 5 settings differ, 7 the port cannot be used.
""",
)
@console.port_option
@choice.beacon_option
@console.json_option
@console.pass_session
@click.pass_context
def verify_command(
    ctx: click.Context,
    session: console.Session,
    port: str | None,
    beacon: str | None,
    as_json: bool,
) -> None:
    """Check the connected beacon, row by row. Needs no passphrase.

    The beacon must lie still: its sensor is checked at rest.
    """
    from fanal.board_link import BoardLink
    from fanal.firmware_image import locate
    from fanal.registry import REGISTRY_FILE, Registry
    from fanal.serial_port import find_port
    from fanal.verify import verify

    with Registry(session.fleet_dir / REGISTRY_FILE) as registry:
        only = choice.chosen_id(registry, beacon)
        port = find_port(port)
        manifest = locate().manifest.files
        with console.steps() as on_step:
            on_step(f"Waiting for the beacon on {port}")
            with BoardLink(port, on_waiting=console.ask_for_reset) as board:
                result = verify(
                    board, registry, manifest, version("fanal"), beacon_id=only, on_step=on_step
                )
    if as_json:
        is_well = result.exit_code == 0
        console.print_json({"ok": is_well, "port": port, **asdict(result)})
    else:
        _show(result)
    ctx.exit(result.exit_code)


def _show(result: "Verification") -> None:
    from rich.table import Table
    from rich.text import Text

    from fanal.verify import FAIL

    table = Table(box=None, pad_edge=False, show_header=False)
    for check in result.checks:
        table.add_row(Text.from_ansi(console.mark(check.outcome)), check.name, Text(check.reason))
    console.out().print(table)
    failed = sum(check.outcome == FAIL for check in result.checks)
    if failed:
        word = "check" if failed == 1 else "checks"
        click.echo(f"{console.mark('fail')}  {result.beacon_id}: {failed} {word} failed")
        console.note("Do not install this beacon before every check passes.")
    else:
        click.echo(f"{console.mark('ok')}  {result.beacon_id} ({result.site}) is ready")
