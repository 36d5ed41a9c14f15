"""What a command that listens listens with: which radio, and whose keys."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from fanal.error import FanalError

if TYPE_CHECKING:
    from fanal.keyring import Keyring
    from fanal.radio import Radio
    from fanal.registry import Watched

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


def station_roots(keyring: "Keyring", watched: "Iterable[Watched]") -> dict[int, bytes]:
    """Return the station roots at hand: this station's, and all if the officer's file is here."""
    from fanal_protocol import keys

    station = keyring.station()
    roots = {station.number: station.root}
    missing = {beacon.station for beacon in watched} - roots.keys()
    if missing:
        try:
            root = keyring.officer().root
        except FanalError as error:
            if error.code != "no_secret":
                raise
            return roots
        roots |= {number: keys.station_root(root, number) for number in missing}
    return roots
