"""How `fanal ports` shows a port: to a person, line by line, and to a program."""

import os
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from fanal.beacon_name import shown as shown_id
from fanal.cli import choice, console
from fanal.printable import printable
from fanal.whereabouts import shown as shown_place

if TYPE_CHECKING:
    from fanal.ports import Known, Port
    from fanal.probe import Answer

_INDENT = "    "
_LOUD = "!!! EVENT OPEN"
_WIDEST_PORT = 30
_LONGEST_NAME = 60


def show(found: "list[Port]") -> None:
    """Print the list."""
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
    usb = [printable(attached.description, _LONGEST_NAME) or "serial port"]
    if attached.usb_serial and attached.usb_serial not in attached.description:
        usb.append(printable(attached.usb_serial, _LONGEST_NAME))
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
        lines.append(f"in use by {printable(port.holder)}")
    remarks = [port.remark] if port.remark else []
    if answer is not None and answer.problem:
        remarks.append(printable(f"{answer.problem} {answer.hint}".rstrip()))
    return lines + [f"{console.mark('warn')}: {remark}" for remark in remarks]


def _answer_line(answer: "Answer") -> str:
    provisioned = {True: "provisioned", False: "not provisioned", None: None}
    state = answer.state
    if answer.hint and not answer.problem:
        state = f"{state}: {answer.hint[0].lower()}{answer.hint[1:]}"
    parts = (answer.chip, answer.mac, state, provisioned[answer.is_provisioned])
    return "  ".join(part for part in parts if part)


def tell_events(found: "list[Port]") -> None:
    """Say loudly on stderr which beacon is in an event: the list may scroll away."""
    for port in found:
        answer = port.answer
        if answer is None or answer.event is None:
            continue
        whose = f", {choice.named(port.known)}" if port.known is not None else ""
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


def as_object(port: "Port") -> dict[str, Any]:
    """Return the JSON form of one port."""
    return {
        **asdict(port.attached),
        "in_use_by": port.holder,
        "beacon": None if port.known is None else asdict(port.known),
        "answer": None if port.answer is None else asdict(port.answer),
        "remark": port.remark,
    }


def ago(known: "Known", now_ms: int) -> str:
    """Return how long ago it was heard."""
    return _span(max(0, now_ms - (known.heard_ms or now_ms)) // 1000)


def _span(seconds: int) -> str:
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
