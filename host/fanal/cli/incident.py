"""`fanal incident`: what responders do, on the hub's own computer, without the page."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from fanal.cli import console
from fanal.cli.hub_folder import hub_option, open_store
from fanal.cli.out_file import OutFile

if TYPE_CHECKING:
    from fanal.hub.actions import Done

_F = TypeVar("_F", bound=Callable[..., Any])

_STATES = ("open", "acknowledged", "closed")
_KINDS = ("ALERT", "DRILL", "TEST")


def _acting(command: _F) -> _F:
    """Add what every action takes: NUMBER, --as, --hub, --json."""
    command = console.json_option(hub_option(command))
    command = click.option(
        "--as", "who", metavar="NAME", required=True,
        help="Who does it; recorded as “NAME (command line)”.",
    )(command)  # fmt: skip
    return click.argument("number", type=int)(command)


@click.group(
    epilog="""\b
Examples:
  fanal incident list                              newest first
  fanal incident show 12                           one, with its timeline
  fanal incident acknowledge 12 --as duty          nobody else is called
  fanal incident close 12 --as duty --reason "help arrived"
""",
)
def incident_group() -> None:
    """See incidents and act on them, on the hub's computer; no passphrase is needed."""


@incident_group.command(
    "list",
    epilog="""\b
Examples:
  fanal incident list
  fanal incident list --state open --kind ALERT
  fanal incident list --limit 10 --json

Times are this computer's. Heard: by the first listener; received: by the hub.
""",
)
@click.option("--state", "states", type=click.Choice(_STATES), multiple=True, help="Only these.")
@click.option(
    "--kind", "kinds", type=click.Choice(_KINDS, case_sensitive=False), multiple=True,
    help="Only these.",
)  # fmt: skip
@click.option("--limit", type=click.IntRange(1, 500), default=50, show_default=True)
@click.option("--before", metavar="MARK", help="Go on where an earlier list ended.")
@hub_option
@console.json_option
def list_command(
    states: tuple[str, ...],
    kinds: tuple[str, ...],
    limit: int,
    before: str | None,
    hub: Path,
    as_json: bool,
) -> None:
    """Show incidents, the newest received first. Each line begins with what kind it is."""
    from fanal.cli import incident_rows
    from fanal.hub import view
    from fanal.hub.incident_record import as_json as as_object

    with open_store(hub) as store:
        page = view.incidents(store, view.Filter(states, kinds), before, limit)
        counts = view.counts(store)
    if as_json:
        rows = as_object(page.items)
        console.print_json({"ok": True, "incidents": rows, "next": page.next, "counts": counts})
        return
    incident_rows.print_list(page.items)
    if page.next is not None:
        console.note(f"There are more: add --before {page.next}")


@incident_group.command(
    "show",
    epilog="""\b
Examples:
  fanal incident show 12
  fanal incident show 12 --sightings 100
  fanal incident show 12 --json
""",
)
@click.argument("number", type=int)
@click.option(
    "--sightings", type=click.IntRange(1, 500), default=10, show_default=True,
    help="How many of the newest.",
)  # fmt: skip
@hub_option
@console.json_option
def show_command(number: int, sightings: int, hub: Path, as_json: bool) -> None:
    """Show incident NUMBER whole.

    What, where, how sure, who did what, who heard it.
    """
    from fanal.cli import incident_rows
    from fanal.hub import view
    from fanal.hub.incident_record import as_json as as_object

    with open_store(hub) as store:
        found = view.incident(store, number, limit=sightings)
    if as_json:
        console.print_json({"ok": True, **as_object(found)})
    else:
        incident_rows.print_one(found)


@incident_group.command(
    "acknowledge", epilog="\b\nExamples:\n  fanal incident acknowledge 12 --as duty\n"
)
@_acting
def acknowledge_command(number: int, who: str, hub: Path, as_json: bool) -> None:
    """Say that you act on incident NUMBER.

    From then on nobody else is called.
    """
    _act(hub, as_json, "acknowledged", "acknowledge", number, who)


@incident_group.command(
    "assign", epilog='\b\nExamples:\n  fanal incident assign 12 "night shift" --as duty\n'
)
@_acting
@click.argument("to")
def assign_command(number: int, to: str, who: str, hub: Path, as_json: bool) -> None:
    """Say that incident NUMBER is TO's. It still has to be acknowledged."""
    _act(hub, as_json, f"given to {to}", "assign", number, who, to)


@incident_group.command(
    "note", epilog='\b\nExamples:\n  fanal incident note 12 "police informed" --as duty\n'
)
@_acting
@click.argument("text")
def note_command(number: int, text: str, who: str, hub: Path, as_json: bool) -> None:
    """Add a note to incident NUMBER.

    TEXT is at most 2000 characters; a closed incident takes notes too.
    """
    _act(hub, as_json, "noted", "note", number, who, text)


@incident_group.command(
    "close",
    epilog="""\b
Examples:
  fanal incident close 12 --as duty --reason "help arrived"
  fanal incident close 12 --as duty --reason other --text "moved on"

Reasons: help arrived, false alarm, duplicate, other (say which with --text); for a DRILL
also "drill over", for a TEST also "test".
""",
)
@_acting
@click.option("--reason", required=True, metavar="REASON", help="Why: one of those below.")
@click.option("--text", default="", metavar="TEXT", help="One more line.")
def close_command(number: int, who: str, reason: str, text: str, hub: Path, as_json: bool) -> None:
    """Close incident NUMBER. A false alarm and a duplicate are taken back where they were told."""
    _act(hub, as_json, f"closed as {reason}", "close", number, who, reason, text)


@incident_group.command(
    "reopen",
    epilog='\b\nExamples:\n  fanal incident reopen 12 --as duty --reason "still heard"\n',
)
@_acting
@click.option("--reason", required=True, metavar="TEXT", help="Why, in one line.")
def reopen_command(number: int, who: str, reason: str, hub: Path, as_json: bool) -> None:
    """Open incident NUMBER again.

    It waits for somebody to acknowledge it, from now on.
    """
    _act(hub, as_json, "open again", "reopen", number, who, reason)


@incident_group.command(
    "export",
    epilog="""\b
Examples:
  fanal incident export 12 --out incident-12.json

The first fields of the file say what kind it is: ALERT, DRILL or TEST. It holds no key, and names
a beacon and a place: treat it as you treat a case file.
""",
)
@click.argument("number", type=int)
@click.option("--out", type=OutFile(), required=True, help="The file to write.")
@click.option("--as", "who", metavar="NAME", default="", help="Who takes it; the log tells.")
@hub_option
@console.json_option
def export_command(number: int, out: Path, who: str, hub: Path, as_json: bool) -> None:
    """Write incident NUMBER to a file.

    All that the hub has of it, signatures too, as JSON.
    """
    from fanal.error import UsageError
    from fanal.hub import export, hub_log
    from fanal.keyring import write_private

    if out.exists():
        raise UsageError(f"{out} is there already.", "Choose another name with --out FILE.")
    with open_store(hub) as store:
        by = f"{who.strip()} ({hub_log.COMMAND_LINE})" if who.strip() else hub_log.COMMAND_LINE
        made = export.incident(store, number, by)
    write_private(out, made.content)
    if as_json:
        console.print_json({"ok": True, "kind": made.kind, "incident": number, "file": out,
                            "sightings": made.sightings})  # fmt: skip
        return
    click.echo(f"{console.mark('ok')}  {made.kind}: incident {number} with {made.sightings}"
               f" sightings is in {out}")  # fmt: skip


def _act(hub: Path, as_json: bool, what: str, verb: str, number: int, who: str, *more: str) -> None:
    """Do it, queue the messages that follow, and say what came of it."""
    from fanal.hub import actions, config
    from fanal.hub.incident_record import as_json as as_object
    from fanal.hub.notices import Notices

    with open_store(hub) as store:
        changed = Notices.of(config.load(hub), store).incident_changed
        act: Callable[..., Done] = getattr(actions, verb)
        done = act(store, number, f"{who.strip()} (command line)" if who.strip() else "", *more,
                   changed=changed)  # fmt: skip
    if as_json:
        console.print_json({"ok": True, **as_object(done)})
        return
    from fanal.printable import printable

    result = f"is {what}" if done.is_new else f"was {what} before, by {done.who}; nothing changed"
    said = printable(f"{done.kind}: incident {done.incident} {result}")
    click.echo(f"{console.mark('ok')}  {said}")
