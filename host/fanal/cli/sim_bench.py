"""What the verbs of `fanal sim` share: the bench that they speak to, and how they are shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

CHIPS = ["esp32", "esp32c3", "esp32s3", "esp32c6"]


def examples(*lines: str) -> str:
    """Return the epilog that shows how a verb is used."""
    return "\b\nExamples:\n" + "\n".join(f"  fanal sim {line}" for line in lines)


def _default_directory() -> Path:
    import platformdirs

    return Path(platformdirs.user_data_dir("fanal", appauthor=False)) / "sim"


class Bench:
    """The folder of the bench that a command speaks to."""

    def __init__(self, directory: Path | None) -> None:
        self.directory = (directory or _default_directory()).absolute()

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Have the running bench do something."""
        from fanal.sim.control import ask

        return ask(self.directory, do, **arguments)


pass_bench = click.make_pass_decorator(Bench)
board_argument = click.argument("board", required=False)
