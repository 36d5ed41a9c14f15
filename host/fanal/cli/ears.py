"""What a command that listens listens with: which radio."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from fanal.radio import Radio

_F = TypeVar("_F", bound=Callable[..., Any])


def adapter_option(command: _F) -> _F:
    """Add `--adapter` (parameter `adapter`) to a command."""
    return click.option(
        "--adapter", metavar="NAME", help="Which Bluetooth adapter (Linux), such as hci0."
    )(command)


def radio(air: str | None, adapter: str | None, now_ms: Callable[[], int] | None = None) -> "Radio":
    """Return the radio of this computer, or of a virtual air at HOST:PORT. Raises UsageError.

    now_ms: gives the time of arrival.
    """
    from fanal.radio import Radio

    backend = None
    if air:
        from fanal.sim.air_scanner import scanner_backend

        backend = scanner_backend(air)
    return Radio(backend=backend, adapter=adapter, now_ms=now_ms)
