"""Which hub a command is about, and its database."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from fanal.hub.store import Store
    from fanal.position import Position

_F = TypeVar("_F", bound=Callable[..., Any])
_KEY = "fanal.hub"


def hub_option(command: _F) -> _F:
    """Add `--hub` (parameter `hub`, a folder) to a command; `fanal hub --hub DIR` counts too."""

    def chosen(ctx: click.Context, _: click.Parameter, value: Path | None) -> Path:
        folder = value or ctx.meta.get(_KEY) or default()
        ctx.meta[_KEY] = folder  # shared with the commands below this one
        return folder

    return click.option(
        "--hub", metavar="DIR", type=click.Path(path_type=Path, file_okay=False, readable=False),
        callback=chosen,
        help="The hub's folder (also FANAL_HUB). Default: the user's data folder.",
    )(command)  # fmt: skip


def default() -> Path:
    """Return the folder that is meant if none is named."""
    import os

    import platformdirs

    if named := os.environ.get("FANAL_HUB"):
        return Path(named)
    return Path(platformdirs.user_data_dir("fanal", appauthor=False)) / "hub"


def open_store(folder: Path) -> "Store":
    """Open the database of the hub in `folder`, without its secrets. Raises FanalError."""
    from fanal.hub import config, founding, keys
    from fanal.hub.store import Store

    if not founding.is_founded(folder):
        raise keys.no_hub(folder)
    return Store(config.load(folder).database)


def at_option(command: _F) -> _F:
    """Add `--at LAT,LON[,M]` (parameter `at`, text or None) to a command."""
    return click.option(
        "--at", metavar="LAT,LON[,M]",
        help="Where: degrees north and east, and how far off that may be in metres.",
    )(command)  # fmt: skip


def shown_position(at: "Position | None") -> str:
    """Return a position as people read it: "52.51630, 13.37770 (20 m)"."""
    if at is None:
        return "-"
    return f"{at.latitude:.5f}, {at.longitude:.5f} ({at.accuracy_m:.0f} m)"
