"""`fanal retire`: erase a beacon's keys and take it out of service."""

from contextlib import ExitStack
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from fanal.cli import choice, console, log_tail
from fanal.error import UsageError

if TYPE_CHECKING:
    from fanal.registry import Beacon, Registry
    from fanal.retire import Retired


@click.command(
    epilog="""\b
Examples:
  fanal retire                           the attached beacon, after a question
  fanal retire K7Q2-9XMD --reason worn   only if it is that one
  fanal retire K7Q29XMD --without-board  lost or dead: nothing is erased

Exit codes: 0 retired (also if it was before), 1 not now or not meant, 3 no board or another
beacon, 4 the board is a copy, 5 the keys did not go. After 3 or 5 run it again.
""",
)
@click.argument("beacon", required=False)
@console.port_option
@click.option("--reason", metavar="TEXT", default="", help="Why, for its history.")
@click.option(
    "--without-board", is_flag=True, help="Only mark it: the board is lost or dead. Revokes it too."
)
@click.option(
    "--force", is_flag=True,
    help="Also in the middle of an event: whoever squeezed it is heard no more.",
)  # fmt: skip
@choice.yes_option
@console.json_option
@console.pass_session
def retire_command(
    session: console.Session,
    beacon: str | None,
    port: str | None,
    reason: str,
    without_board: bool,
    force: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Erase the keys of a beacon and mark it as retired, for good.

    The board must be attached and be that beacon; without BEACON it is the attached one. In
    the middle of an event it refuses, since somebody may need help: let the event end, or, if you
    know that nobody does, add --force. If it is interrupted, run it again. The board can be
    provisioned anew afterwards and is then another beacon.

    With --without-board nothing is erased, whoever has the board keeps its keys, and it is
    revoked: should it be squeezed, it is still heard, and shown as REVOKED.
    """
    from fanal.beacon_lookup import find
    from fanal.registry import REGISTRY_FILE, Registry
    from fanal.retire import retire

    if without_board and (port or not beacon or force):
        raise UsageError("--without-board wants the id of the beacon, and no --port or --force.")
    with Registry(session.fleet_dir / REGISTRY_FILE) as registry:
        wanted = find(registry, beacon) if beacon else None
        if without_board:
            done = retire(None, registry, wanted, reason=reason,
                          sure=lambda b: choice.ask(_unerased(b), "Retire it?", yes))  # fmt: skip
        else:
            port, done = _on_the_wire(registry, wanted, port, reason, force, yes)
        log_tail.say(registry, done.changed)
    if as_json:
        console.print_json({"ok": True, "port": port, **asdict(done)})
    else:
        _show(done, without_board)


def _on_the_wire(
    registry: "Registry",
    wanted: "Beacon | None",
    port: str | None,
    reason: str,
    force: bool,
    yes: bool,
) -> "tuple[str, Retired]":
    from fanal.board_link import BoardLink
    from fanal.retire import retire
    from fanal.serial_port import find_port

    port = find_port(port)
    with ExitStack() as showing:
        on_step = showing.enter_context(console.steps())

        def sure(beacon: "Beacon") -> None:
            showing.close()  # a question cannot stand in a line that moves
            what = f"This erases {choice.named(beacon)} for good: it will raise no alert."
            if force:
                what += " An event of it may be open: whoever squeezed it is heard no more."
            choice.ask(what, "Erase it?", yes)

        on_step(f"Waiting for the beacon on {port}")
        with BoardLink(port, on_waiting=console.ask_for_reset) as board:
            return port, retire(
                board, registry, wanted, reason=reason, force=force, sure=sure, on_step=on_step
            )


def _unerased(beacon: "Beacon") -> str:
    return (
        f"This retires {choice.named(beacon)} for good. Its keys stay on its board, so it is"
        " revoked too."
    )


def _show(done: "Retired", without_board: bool) -> None:
    from fanal.beacon_name import shown

    what = "Retired" if done.changed else "Already retired, nothing changed"
    if not without_board:
        click.echo(f"{console.mark('ok')}  {what}: {shown(done.beacon_id)}; its board holds no key")
        if done.old_bytes:
            click.echo(
                f"{console.mark('warn')}  Its keys lay in a file: old bytes of them may be in"
                " flash. Flash the board anew before you give it away."
            )
        return
    click.echo(f"{console.mark('ok')}  {what}: {shown(done.beacon_id)}")
    if done.changed:
        click.echo(f"{console.mark('warn')}  Its keys are still on its board; an alert of it is"
                   " shown as REVOKED.")  # fmt: skip
        console.note("If the board is found, attach it and run the command again.")
