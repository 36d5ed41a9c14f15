"""What a command says that changed the registry and could not sign for it."""

from typing import TYPE_CHECKING

import click

from fanal.cli import console

if TYPE_CHECKING:
    from fanal.registry import Registry


def say(registry: "Registry", is_changed: bool) -> None:
    """Say on stderr how many entries of the log nobody signed for, if something was changed.

    It is said last, after what the command has to say.
    """
    count = registry.unsigned() if is_changed else 0
    if count:
        what = "1 entry of the log is" if count == 1 else f"{count} entries of the log are"
        text = f"{what} not signed for yet: `fanal log checkpoint`."
        click.get_current_context().call_on_close(lambda: console.note(text))
