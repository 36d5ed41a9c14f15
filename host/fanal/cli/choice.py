"""Which beacon a command is about, and whether that is really wanted."""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from fanal.cli import console
from fanal.error import FanalError, UsageError

if TYPE_CHECKING:
    from fanal.ports import Known
    from fanal.registry import Beacon, Registry

_F = TypeVar("_F", bound=Callable[..., Any])


def beacon_option(command: _F) -> _F:
    """Add `--beacon` (parameter `beacon`) to a command that works on what is attached."""
    return click.option(
        "--beacon", metavar="ID", help="Only if it is this one: its id, typed or scanned."
    )(command)


def yes_option(command: _F) -> _F:
    """Add `--yes` (parameter `yes`) to a command that asks before it does something for good."""
    return click.option("--yes", is_flag=True, help="Do not ask.")(command)


def chosen_id(registry: "Registry", text: str | None) -> str | None:
    """Return the id that was given with `--beacon`, None if none was. Raises UsageError."""
    from fanal.beacon_lookup import find

    return None if text is None else find(registry, text).beacon_id


def wiped_id(text: str | None) -> str | None:
    """Return what `--wipe` names: an id as typed or scanned, or the word for a vault that is not
    readable. Raises UsageError."""
    from fanal.beacon_name import parse
    from fanal.identity import CORRUPT

    return text if text is None or text == CORRUPT else parse(text)


def named(beacon: "Beacon | Known") -> str:
    """Return a beacon as a person knows it: "K7Q2-9XMD (shelter-3, room 12)"."""
    from fanal.beacon_name import shown
    from fanal.whereabouts import shown as place_shown

    return f"{shown(beacon.beacon_id)} ({place_shown(beacon.site, beacon.place)})"


def ask(what: str, question: str, yes: bool) -> None:
    """Tell a person on the terminal what is about to happen, and ask whether it shall.

    Raises FanalError unless the answer is yes.
    """
    if yes:
        return
    if not _is_answered():
        raise UsageError(
            "This is for good, and there is no terminal to ask whether it is meant.",
            "Add --yes if it is.",
            code="not_confirmed",
        )
    console.note(what)
    if not click.confirm(question, err=True):
        raise FanalError("Nothing was changed.", code="declined")


def _is_answered() -> bool:
    return sys.stdin.isatty()
