"""`fanal drill`: arm a rehearsal, or take it back."""

from dataclasses import asdict

import click

from fanal.beacon_name import shown
from fanal.cli import choice, console


@click.command(
    epilog="""\b
Examples:
  fanal drill --minutes 10       the next squeeze within 10 minutes is a drill
  fanal drill --disarm           the next squeeze is real again
""",
)
@console.port_option
@choice.beacon_option
@click.option(
    "--minutes", metavar="N", type=click.IntRange(1, 60), default=10, show_default=True,
    help="How long the drill stays armed.",
)  # fmt: skip
@click.option("--disarm", is_flag=True, help="Take an armed drill back.")
@console.json_option
@console.pass_session
def drill_command(
    session: console.Session,
    port: str | None,
    beacon: str | None,
    minutes: int,
    disarm: bool,
    as_json: bool,
) -> None:
    """Mark the next squeeze of the attached beacon as a drill.

    It ends with that squeeze, after the minutes, or with any cut of power: in doubt an alert
    is real.
    """
    from fanal import drill
    from fanal.board_link import BoardLink
    from fanal.serial_port import find_port

    only = _only(session, beacon)
    port = find_port(port)
    ask = _reset_disarms if disarm else console.ask_for_reset
    with console.steps() as on_step:
        on_step(f"Waiting for the beacon on {port}")
        with BoardLink(port, on_waiting=ask) as board:
            on_step("Talking to the beacon")
            done = drill.disarm(board, only) if disarm else drill.arm(board, minutes, only)
    if as_json:
        console.print_json({"ok": True, "port": port, **asdict(done)})
    elif done.armed_s:
        click.echo(
            f"{console.mark('ok')}  {shown(done.beacon_id)}: a squeeze within the next"
            f" {round(done.armed_s / 60)} minutes is a DRILL"
        )
        console.note("Do not unplug its battery until then, or the next squeeze is real.")
    else:
        click.echo(
            f"{console.mark('ok')}  {shown(done.beacon_id)}: no drill, the next squeeze is REAL"
        )


def _only(session: console.Session, beacon: str | None) -> str | None:
    """Return the id of the beacon that is meant; without one, no fleet's folder is needed."""
    if beacon is None:
        return None
    from fanal.registry import REGISTRY_FILE, Registry

    with Registry(session.fleet_dir / REGISTRY_FILE) as registry:
        return choice.chosen_id(registry, beacon)


def _reset_disarms() -> None:
    console.note("The beacon sleeps: press its reset button. That alone ends the drill.")
