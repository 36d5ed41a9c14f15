"""A hub's folder without a passphrase, so without its two seconds; beacons in a paper fleet."""

from pathlib import Path

import pyrage
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fanal import certificate
from fanal.hub.keys import HubKeyring, HubKeys
from fanal.registry import Reservation
from fanal_protocol import keys

from tests.unit.paper_fleet import NOW, PaperFleet


def hub_keyring(folder: Path, fill: int = 90) -> HubKeyring:
    """An unlocked new hub in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    keyring = HubKeyring(folder, pyrage.x25519.Identity.generate())
    keyring._keep(HubKeys(bytes([fill]) * 32, bytes([fill + 1]) * 32))
    return keyring


class EnrolledFleet(PaperFleet):
    """A paper fleet in which beacons are put without boards."""

    def add(self, number: int, site: str = "shelter-3", *, is_certified: bool = True) -> str:
        """Add beacon `number`; return its id."""
        public_key = public_key_of(number)
        name = keys.beacon_id(public_key)
        self.registry.reserve(
            Reservation(name, public_key, f"02:00:00:00:00:{number:02x}", "esp32c3", 0, site, "",
                        "fixed")
        )  # fmt: skip
        if is_certified:
            station = certificate.from_der(self.registry.station_certificate(0))
            der = certificate.to_der(
                certificate.for_beacon(name, public_key, station, self.station.signing_key, NOW)
            )
            self.registry.provisioned(name, der, site=site, place=f"room {number}",
                                      profile="fixed", settings={})  # fmt: skip
        return name

    def heard(self, beacon_id: str, event: int) -> None:
        """Let the officer's own computer hear an event."""
        self.registry.record_sighting(
            beacon_id, event, slot=0, seq=0, t_ms=event * 10_000_000, verdict="fresh",
            rssi_dbm=-60, left=(), activation=1,
        )  # fmt: skip

    def event_key(self, beacon_id: str, event: int) -> bytes:
        """E_event of a beacon, from the station's root."""
        beacon = self.registry.find(beacon_id)
        key = keys.first_event_key(self.station.root, beacon.public_key)
        for _ in range(event - 1):
            key = keys.next_event_key(key)
        return key


def public_key_of(number: int) -> bytes:
    """The public key of beacon `number`."""
    private = Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32)
    return private.public_key().public_bytes_raw()
