"""`fanal doctor`: check this computer."""

import shutil
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from fanal.cli import console

if TYPE_CHECKING:
    from fanal.doctor.finding import Finding

_MARK_WIDTH = 9  # "! warning"
_SKIPPED = "? skipped"


@click.command(
    epilog="""\b
Examples:
  fanal doctor
  fanal --fleet ~/fleets/north doctor --json

Exit codes: 0 nothing failed (warnings do not count), 7 something did.
""",
)
@console.json_option
@console.pass_session
@click.pass_context
def doctor_command(ctx: click.Context, session: console.Session, as_json: bool) -> None:
    """Check this computer, row by row, and say how to fix what is wrong.

    It looks at Python and its packages, the serial ports and who may open them, Bluetooth, the
    clock, the disk and the fleet's folder. It opens no port, needs no passphrase and changes
    nothing itself.
    """
    from fanal.doctor.belongings import look
    from fanal.doctor.examination import examine, exit_code
    from fanal.doctor.system import ThisSystem

    with console.steps() as on_step:
        on_step("Looking at this computer")
        rows = examine(ThisSystem(), session.fleet_dir, look(session.fleet_dir))
    code = exit_code(rows)
    if as_json:
        console.print_json({"ok": code == 0, "checks": [asdict(row) for row in rows]})
    else:
        _show(rows)
    ctx.exit(code)


def _show(rows: "list[Finding]") -> None:
    width = max(len(row.name) for row in rows)
    indent = _MARK_WIDTH + width + 4
    for row in rows:
        mark = _mark(row.outcome)
        padding = " " * (_MARK_WIDTH - len(click.unstyle(mark)))
        line = f"{mark}{padding}  {row.name:{width}}  {row.reason}"
        click.echo(console.folded(line, indent, sys.stdout))
        if row.fix:
            line = f"{' ' * indent}{row.fix}"
            click.echo(console.folded(line, indent, sys.stdout))
        # commands are to be copied, so they are not folded
        room = shutil.get_terminal_size().columns - indent
        margin = indent if all(len(command) <= room for command in row.commands) else 4
        for command in row.commands:
            click.echo(" " * margin + command)
    click.echo(_summary(rows))


def _mark(outcome: str) -> str:
    return _SKIPPED if outcome == "unchecked" else console.mark(outcome)


def _summary(rows: "list[Finding]") -> str:
    failed = sum(row.outcome == "fail" for row in rows)
    warnings = sum(row.outcome == "warn" for row in rows)
    if failed:
        return f"{console.mark('fail')}  {_count(failed, 'row')} to fix, {warnings} to think about"
    if warnings:
        return f"{console.mark('ok')}  Fanal can work here; {_count(warnings, 'warning')} above"
    return f"{console.mark('ok')}  Fanal can work here"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
