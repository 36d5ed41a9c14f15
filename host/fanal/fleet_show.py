"""By what others know a fleet for the one that it is: its key, in numbers and letters."""

from dataclasses import dataclass
from hashlib import sha256

from fanal import certificate
from fanal.registry import RETIRED, Registry
from fanal.station_file import fleet_fingerprint


@dataclass(frozen=True)
class Shown:
    """What there is to say of a fleet. sha256: of its public key, 64 hex digits, to be published.

    fingerprint: 16 letters, which a laptop shows that becomes a station. station: whose folder it
    is. beacons: in service; known: retired ones too. epoch: how often it was restored. log: the
    name of this folder's log.
    """

    fleet: str
    sha256: str
    fingerprint: str
    station: int
    beacons: int
    known: int
    stations: int
    epoch: int
    log: str


def show(registry: Registry) -> Shown:
    """Return it as the registry says it; no key is opened. Raises FanalError."""
    of_fleet = certificate.from_der(registry.fleet_certificate())
    public_key, beacons = certificate.public_key_of(of_fleet), registry.beacons()
    return Shown(
        certificate.fleet_name_in(of_fleet),
        sha256(public_key).hexdigest(), fleet_fingerprint(public_key), registry.home(),
        sum(one.state != RETIRED for one in beacons), len(beacons), len(registry.stations()),
        registry.epoch(), registry.origin(),
    )  # fmt: skip
