"""`fanal hub listener`: whose ears count."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from fanal.cli import console
from fanal.cli.hub_folder import at_option, hub_option, open_store, shown_position
from fanal.error import UsageError

if TYPE_CHECKING:
    from fanal.hub.listeners import Listener

_who_option = click.option(
    "--as", "who", metavar="NAME", default="command line", show_default=True,
    help="Who does it, for the record.",
)  # fmt: skip


@click.group(
    "listener",
    epilog="""\b
Examples:
  fanal hub listener list
  fanal hub listener enrol K7Q2-9XMD --name "east gate"
  fanal hub listener place "east gate" --at 52.5163,13.3777,20
""",
)
def listener_group() -> None:
    """Say which listeners are yours, and where they are."""


@listener_group.command("list", epilog="\b\nExamples:\n  fanal hub listener list --json\n")
@hub_option
@console.json_option
def list_command(hub: Path, as_json: bool) -> None:
    """Show all listeners, and how they are.

    What one that is not enrolled hears counts, unconfirmed.
    """
    from fanal.hub import listeners
    from fanal.hub.incident_record import as_json as as_object

    with open_store(hub) as store:
        found = listeners.listed(store)
        now_ms = store.now_ms()
    if as_json:
        console.print_json({"ok": True, "listeners": [as_object(one) for one in found]})
        return
    if not found:
        console.note("Nothing was heard of any listener yet.")
    for one in found:
        _print(one, now_ms)


@listener_group.command(
    "enrol",
    epilog="""\b
Examples:
  fanal hub listener enrol K7Q2-9XMD --name "east gate"
  fanal hub listener enrol K7Q2-9XMD --name "east gate" --as duty

K7Q2-9XMD is what the volunteer reads out: `fanal listen --bundle` shows it.
""",
)
@click.argument("listener")
@click.option("--name", required=True, help="What it is called from now on.")
@_who_option
@hub_option
@console.json_option
def enrol_command(listener: str, name: str, who: str, hub: Path, as_json: bool) -> None:
    """Count what LISTENER hears as confirmed.

    LISTENER is its eight letters, its whole key, or the name that it has.
    """
    from fanal.hub import listeners

    with open_store(hub) as store:
        done = listeners.enrol(store, listener, name, who)
    _done(done, as_json, f"“{done.name}” ({done.short_name}) is enrolled")


@listener_group.command("forget", epilog='\b\nExamples:\n  fanal hub listener forget "east gate"\n')
@click.argument("listener")
@hub_option
@console.json_option
def forget_command(listener: str, hub: Path, as_json: bool) -> None:
    """Take back an enrolment.

    What LISTENER hears from now on is unconfirmed.
    """
    from fanal.hub import listeners

    with open_store(hub) as store:
        done = listeners.forget(store, listener)
    _done(done, as_json, f"{done.short_name} is unconfirmed from now on")


@listener_group.command(
    "place",
    epilog="""\b
Examples:
  fanal hub listener place "east gate" --at 52.5163,13.3777,20
  fanal hub listener place "east gate" --unknown
""",
)
@click.argument("listener")
@at_option
@click.option("--unknown", is_flag=True, help="Believe what it says itself.")
@hub_option
@console.json_option
def place_command(listener: str, at: str | None, unknown: bool, hub: Path, as_json: bool) -> None:
    """Say where LISTENER is, whatever it says itself."""
    from fanal.hub import listeners
    from fanal.position import typed

    if unknown == (at is not None):
        raise UsageError("Give one of --at and --unknown.")
    position = None if at is None else typed(at)
    with open_store(hub) as store:
        done = listeners.place(store, listener, position)
    _done(done, as_json, f"“{done.name}” is at {shown_position(done.position)}")


def _print(one: "Listener", now_ms: int) -> None:
    name = one.name or "(not enrolled)"
    click.echo(f"{one.short_name:<10} {name:<28} {one.health:<8} {_ago(one, now_ms)}")
    more = [shown_position(one.position)] if one.position else []
    more += [f"{one.queued} waiting"] if one.queued else []
    more += [f"beyond a bound: {count} {word}" for word, count in one.dropped.items() if count]
    if more:
        click.echo(f"{'':<10} {', '.join(more)}")


def _ago(one: "Listener", now_ms: int) -> str:
    if not one.last_received_ms:
        return "never heard of"
    seconds = max(0, now_ms - one.last_received_ms) // 1000
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit} ago"
    return f"{seconds} s ago"


def _done(done: "Listener", as_json: bool, told: str) -> None:
    from fanal.hub.incident_record import as_json as as_object

    if as_json:
        console.print_json({"ok": True, **as_object(done)})
    else:
        click.echo(f"{console.mark('ok')}  {told}")
