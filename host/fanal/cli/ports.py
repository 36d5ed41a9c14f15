"""`fanal ports`: what is attached."""

import os
import sys
import time
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fanal.beacon_name import shown as shown_id
from fanal.cli import choice, console
from fanal.error import FanalError, UsageError
from fanal.whereabouts import shown as shown_place

if TYPE_CHECKING:
    from fanal.ports import Known, Port
    from fanal.probe import Answer
    from fanal.registry import Registry

_INDENT = "    "
_LOUD = "!!! EVENT OPEN"
_WIDEST_PORT = 30
_LONGEST_NAME = 60


@click.command(
    epilog="""\b
Examples:
  fanal ports                      what is attached; nothing is opened
  fanal ports --probe              ask the boards who they are
  fanal ports --probe --reset      and ask the chip of those that do not answer
  fanal ports --probe --yes --json

\b
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
        rows = [_as_object(port) for port in found]
        console.print_json({"ok": True, "probed": probe, "ports": rows})
    else:
        _show(found)
    _tell_events(found)


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
    if _is_person() and not yes and not click.confirm("Go on?", err=True):
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
                f"{warn} {port.attached.port} is {_named(port.known)}: heard in an event"
                f" {_ago(port.known, now_ms)} ago."
            )
    hidden = _perhaps_here(found, names, registry, now_ms)
    for known in hidden:
        console.note(
            f"{warn} {_named(known)} was heard in an event {_ago(known, now_ms)} ago, and may be on"
            " a port that does not say whose it is."
        )
    if reset and hidden and not disturb:
        console.note(f"{warn} So no board is reset. To do it all the same, add --disturb.")
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


# -- showing


def _show(found: "list[Port]") -> None:
    if not found:
        console.note("No board is attached: there is no USB serial port.")
        console.note("Plug one in with a cable that carries data; `fanal doctor` checks the rest.")
        return
    width = min(max(len(port.attached.port) for port in found), _WIDEST_PORT)
    for port in found:
        head, *more = _lines(port)
        click.echo(f"{port.attached.port:{width}}  {head}")
        for line in more:
            click.echo(console.folded(_INDENT + line, len(_INDENT) + 2, sys.stdout))


def _lines(port: "Port") -> "list[str]":
    """Return what is to be said of one port, a line each; the first stands beside its name."""
    attached, answer, known = port.attached, port.answer, port.known
    usb = [_plain(attached.description) or "serial port"]
    if attached.usb_serial and attached.usb_serial not in attached.description:
        usb.append(_plain(attached.usb_serial))
    lines = ["  ".join(usb)]
    if answer is not None:
        lines.append(f"board  {_answer_line(answer)}")
    if known is not None:
        revoked = "  REVOKED" if known.revoked is not None else ""
        where = shown_place(known.site, known.place)
        lines.append(f"fleet  {shown_id(known.beacon_id)}  {where}  {known.state}{revoked}")
    elif answer is not None and answer.beacon_id is not None:
        lines.append(f"fleet  {shown_id(answer.beacon_id)}  unknown")
    if answer is not None and answer.event is not None:
        lines.append(f"{_LOUD}: {_event(answer.event)}")
    if answer is None and port.holder is not None:
        lines.append(f"in use by {port.holder}")
    remarks = [port.remark] if port.remark else []
    if answer is not None and answer.problem:
        remarks.append(f"{answer.problem} {answer.hint}".rstrip())
    return lines + [f"{console.mark('warn')}: {remark}" for remark in remarks]


def _answer_line(answer: "Answer") -> str:
    provisioned = {True: "provisioned", False: "not provisioned", None: None}
    state = answer.state
    if answer.hint and not answer.problem:
        state = f"{state}: {answer.hint[0].lower()}{answer.hint[1:]}"
    parts = (answer.chip, answer.mac, state, provisioned[answer.is_provisioned])
    return "  ".join(part for part in parts if part)


def _tell_events(found: "list[Port]") -> None:
    """Say loudly on stderr which beacon is in an event: the list may scroll away."""
    for port in found:
        answer = port.answer
        if answer is None or answer.event is None:
            continue
        whose = f", {_named(port.known)}" if port.known is not None else ""
        has_colour = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
        loud = click.style(_LOUD, fg="red", bold=True) if has_colour else _LOUD
        where = f"{port.attached.port}{whose}"
        console.note(f"{loud} on {where}: {_event(answer.event)}. It goes on now.")


def _event(event: Any) -> str:
    """Return an event in words; the board that tells it is not trusted to make sense."""
    kind = "a self-test" if event.get("activation") == 0 else "somebody may need help"
    if event.get("drill") is True:
        kind = "a drill"
    number, age_s = event.get("n"), event.get("age_s")
    which = f"number {number}, " if isinstance(number, int) else ""
    age = f", began {_span(age_s)} ago" if isinstance(age_s, int) else ""
    return f"{which}{kind}{age}"


def _as_object(port: "Port") -> dict[str, Any]:
    return {
        **asdict(port.attached),
        "in_use_by": port.holder,
        "beacon": None if port.known is None else asdict(port.known),
        "answer": None if port.answer is None else asdict(port.answer),
        "remark": port.remark,
    }


def _named(known: "Known") -> str:
    return f"{shown_id(known.beacon_id)} ({shown_place(known.site, known.place)})"


def _plain(text: str) -> str:
    """Return what a USB device calls itself, without anything that a terminal would obey."""
    return "".join(c if c.isprintable() else "?" for c in text)[:_LONGEST_NAME]


def _ago(known: "Known", now_ms: int) -> str:
    return _span(max(0, now_ms - (known.heard_ms or now_ms)) // 1000)


def _span(seconds: int) -> str:
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _boards(number: int) -> str:
    return "1 board" if number == 1 else f"{number} boards"
