"""Get out of a fleet's folder what a command needs, by a process that ends at once."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from fanal import sealed_work
from fanal.keyring import Station
from fanal.sealed_work import Opener

if TYPE_CHECKING:
    from fanal.registry import Watched


def station(folder: Path, opener: Opener) -> Station:
    """Return this station's secrets. Raises FanalError (no fleet, none here), IntegrityError."""
    told = sealed_work.run("station", folder, opener).values
    return Station(told["number"], bytes.fromhex(told["root"]), bytes.fromhex(told["signing"]))


def station_roots(folder: Path, opener: Opener, watched: "Iterable[Watched]") -> dict[int, bytes]:
    """Return the station roots at hand: this station's, and all if the officer's file is here."""
    wanted = sorted({beacon.station for beacon in watched})
    told = sealed_work.run("roots", folder, opener, stations=wanted).values
    return {int(number): bytes.fromhex(root) for number, root in told["roots"].items()}


def recipient(folder: Path, opener: Opener) -> str:
    """Return the public half of the fleet's sealing key, "age1...". Needs the officer's file."""
    return str(sealed_work.run("recipient", folder, opener).values["recipient"])
