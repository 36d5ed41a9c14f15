"""`fanal ports`: what is attached."""

import sys
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fanal.cli import choice, console, port_rows
from fanal.error import FanalError, UsageError

if TYPE_CHECKING:
    from fanal.ports import Known, Port
    from fanal.probe import Answer
    from fanal.registry import Registry


@click.command(
    epilog="""\b
Examples:
  fanal ports                      what is attached; nothing is opened
  fanal ports --probe              ask the boards who they are
  fanal ports --probe --reset      and the chip of those that stay silent
  fanal ports --probe --yes --json

Exit codes: 0 the list is complete (a board that does not answer is a row of it), 1 not
confirmed, 130 interrupted.
""",
)
@click.option("--probe", is_flag=True, help="Ask the boards. It interrupts what they do.")
@click.option(
    "--reset",
    is_flag=True,
    help="With --probe: reset a board that does not answer, to ask its chip.",
)
@click.option(
    "--disturb", is_flag=True, help="With --probe: also a beacon that was just heard in an event."
)
@choice.yes_option
@console.json_option
@console.pass_session
def ports_command(
    session: console.Session, probe: bool, reset: bool, disturb: bool, yes: bool, as_json: bool
) -> None:
    """Show the serial ports with a board behind, who uses them, and which beacon it is.

    Nothing is opened. A board whose chip has a USB port of its own (ESP32-C3, -S3) is looked up in
    the registry by its MAC address; behind a USB bridge only --probe can tell.

    --probe interrupts each board for some seconds. A beacon in an event is silent meanwhile, and
    goes on with the same event afterwards. With --reset, an event of a board that did not
    answer goes on as the next one.
    """
    from fanal.ports import answered, ports

    if (reset or disturb) and not probe:
        raise UsageError(
            "--reset and --disturb go with --probe.", "Add --probe, or leave them out."
        )
    with ExitStack() as stack:
        registry = _registry(session.fleet_dir, stack)
        found = ports(registry)
        if probe and found:
            answers = _ask(found, registry, reset=reset, disturb=disturb, yes=yes)
            found = answered(found, answers, registry)
    if as_json:
        rows = [port_rows.as_object(port) for port in found]
        console.print_json({"ok": True, "probed": probe, "ports": rows})
    else:
        port_rows.show(found)
    port_rows.tell_events(found)


def _registry(fleet_dir: Path, stack: ExitStack) -> "Registry | None":
    """Open the registry if there is one; a damaged one costs its column, not the list."""
    from fanal.registry import REGISTRY_FILE, Registry

    try:
        return stack.enter_context(Registry(fleet_dir / REGISTRY_FILE))
    except FanalError as problem:
        if problem.code != "no_fleet":
            console.note(f"{console.mark('warn', sys.stderr)} {problem.sentence} {problem.hint}")
        return None


# -- asking


def _ask(
    found: "list[Port]", registry: "Registry | None", *, reset: bool, disturb: bool, yes: bool
) -> "dict[str, Answer]":
    """Return port -> answer of all, after a word of warning, and a question on a terminal."""
    from fanal.ports import spared
    from fanal.probe import ask_board, probe

    now_ms = time.time_ns() // 1_000_000
    answers, names = {}, []
    for port in found:
        reason = spared(port, now_ms, disturb=disturb)
        if reason is None:
            names.append(port.attached.port)
        else:
            answers[port.attached.port] = reason
    if not names:
        return answers
    reset = _warn(found, names, registry, now_ms, reset=reset, disturb=disturb)
    if (
        _is_person()
        and not yes
        and not click.confirm("Ask them?" if len(names) > 1 else "Ask it?", err=True)
    ):
        raise FanalError("No board was asked.", code="declined")
    with console.steps() as on_step:
        on_step(f"Asking {_boards(len(names))}")
        answers |= probe(names, partial(ask_board, identify=_identify if reset else None))
    return answers


def _is_person() -> bool:
    return sys.stdin.isatty()


def _identify(port: str) -> tuple[str, str]:
    from fanal.esptool_run import identify

    found = identify(port)
    return found.chip.title, found.mac


def _warn(
    found: "list[Port]", names: list[str], registry: "Registry | None", now_ms: int, *,
    reset: bool, disturb: bool,
) -> bool:  # fmt: skip
    """Say on stderr what asking does, and to whom; return whether boards may be reset for it."""
    warn = console.mark("warn", sys.stderr)
    it = "it is" if len(names) == 1 else "each is"
    console.note(
        f"{warn} Asking {_boards(len(names))}: {it} interrupted for some seconds. A beacon in an"
        " event is silent meanwhile, and goes on with it afterwards."
    )
    for port in found:
        if port.attached.port in names and port.known and port.known.may_be_open(now_ms):
            console.note(
                f"{warn} {port.attached.port} is {choice.named(port.known)}: heard in an event"
                f" {port_rows.ago(port.known, now_ms)} ago."
            )
    hidden = _perhaps_here(found, names, registry, now_ms)
    for known in hidden:
        console.note(
            f"{warn} {choice.named(known)} was heard in an event"
            f" {port_rows.ago(known, now_ms)} ago, and may be on a port that does not say whose it"
            " is."
        )
    if reset and hidden and not disturb:
        console.note(f"{warn} So no board is reset. To reset them anyway, add --disturb.")
        return False
    if reset:
        console.note(
            f"{warn} One that does not answer is reset. If it was in an event, that goes on as the"
            " next one."
        )
    return reset


def _perhaps_here(
    found: "list[Port]", names: list[str], registry: "Registry | None", now_ms: int
) -> "list[Known]":
    """Return beacons in an event that a port without a MAC address may hide."""
    from fanal.ports import by_mac

    hidden = [p for p in found if p.attached.port in names and p.attached.mac is None]
    if registry is None or not hidden:
        return []
    seen = {port.attached.mac for port in found}
    return [
        known
        for mac, known in by_mac(registry).items()
        if mac not in seen and known.may_be_open(now_ms)
    ]


def _boards(number: int) -> str:
    return "1 board" if number == 1 else f"{number} boards"
