"""Do a station's keys and a registry belong together: asked before either is relied on."""

from fanal import certificate
from fanal.database import Clash
from fanal.keyring import Station
from fanal.registry import Registry


def require_own(registry: Registry, station: Station) -> bytes:
    """Return the station's public key, 32 bytes. Raises Clash unless the registry is its own.

    And IntegrityError if the fleet in the registry did not certify that key.
    """
    public_key = station.signing_key.public_key().public_bytes_raw()
    held = certificate.from_der(registry.station_certificate(station.number))
    if certificate.public_key_of(held) != public_key or registry.home() != station.number:
        raise Clash(
            "This registry is that of another station.",
            "Keyring and registry come from different folders: check --fleet.",
            code="other_station",
        )
    fleet = certificate.from_der(registry.fleet_certificate())
    certificate.verify_station(station.number, held, fleet)
    return public_key
