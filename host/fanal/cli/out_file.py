"""The file that a command writes because somebody named it: the type of every such option."""

import os
from pathlib import Path
from typing import Any

import click


class OutFile(click.Path):
    """A path to be written, as a Path. Raises UsageError for one that may be a fleet's or a hub's.

    At once, before anybody is asked for a passphrase.
    """

    def __init__(self, *, dir_okay: bool = False) -> None:
        """dir_okay: a folder will do."""
        super().__init__(path_type=Path, dir_okay=dir_okay)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path."""
        from fanal.own_folder import require_other

        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        require_other(path)
        return path
