"""A registry with a life behind it, and what somebody with an editor does to such a file."""

import sqlite3
from contextlib import closing
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fanal import certificate, merkle
from fanal.log_checkpoint import checkpoint
from fanal.registry import Registry, Reservation
from fanal_protocol import keys

from tests.unit.paper_fleet import NOW, PaperFleet


def key_of(seed):
    """The public key of a paper beacon, 32 bytes."""
    key = Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)
    return key.public_key().public_bytes_raw()


def id_of(seed):
    return keys.beacon_id(key_of(seed))


def certified(fleet, seed, station=0):
    """The certificate of a paper beacon, DER, by a station of that fleet."""
    of_station = certificate.from_der(fleet.registry.station_certificate(station))
    return certificate.to_der(
        certificate.for_beacon(
            id_of(seed), key_of(seed), of_station, fleet.station.signing_key, NOW
        )
    )


def provision(fleet, seed, station=0, site="depot", place="gate"):
    """Give the fleet a beacon, as `fanal provision` would."""
    wanted = Reservation(
        id_of(seed), key_of(seed), f"02:00:00:00:00:{seed:02x}", "ESP32C3", station, site, place,
        "fixed",
    )  # fmt: skip
    fleet.registry.reserve(wanted)
    fleet.registry.provisioned(
        id_of(seed), certified(fleet, seed, station), site=site, place=place, profile="fixed",
        settings={"hold_ms": 2000},
    )  # fmt: skip
    return id_of(seed)


def lived(folder, fill=7):
    """A fleet in whose registry everything happened that can."""
    fleet = PaperFleet(folder, fill)
    fleet.registry.close()
    fleet.path.write_bytes(_life(fill))
    fleet.ticks = 100
    fleet.registry = Registry(fleet.path, now_ms=fleet.now_ms)
    return fleet


@cache
def _life(fill):
    """The file of such a fleet: made once, since tests want many."""
    with TemporaryDirectory() as folder:
        fleet = _lived(Path(folder), fill)
        fleet.registry.close()
        return fleet.path.read_bytes()


def _lived(folder, fill):
    fleet = PaperFleet(folder, fill)
    registry = fleet.registry
    first, second, third = (provision(fleet, seed) for seed in (1, 2, 3))
    registry.verified(first)
    registry.moved(first, "shelter-3", "room 12")
    registry.record_sighting(first, 3, slot=0, seq=0, t_ms=5, verdict="fresh", activation=1)
    registry.record_sighting(first, 3, slot=0, seq=1, t_ms=6, verdict="fresh", activation=1)
    registry.revoke(second, "stolen")
    registry.retire(second, "lost", is_erased=False)
    registry.retire(third, "broken")
    registry.revoke_station(1, "laptop stolen")
    return fleet


def signed(fleet, folder):
    """Sign for the log of a paper fleet; return the note."""
    return checkpoint(fleet.registry, fleet.station, folder / "anchors").note


def sql(fleet, script):
    """Change a registry's file behind the program's back."""
    with closing(sqlite3.connect(fleet.path)) as connection:
        connection.executescript(script)


def rehashed(fleet):
    """Make all hashes anew, as somebody would who knows how: entries count from 0 again."""
    with closing(sqlite3.connect(fleet.path)) as connection:
        rows = connection.execute(
            "SELECT CAST(content AS BLOB) FROM log_leaf WHERE log = '' ORDER BY number"
        ).fetchall()
        connection.execute("DELETE FROM log_leaf WHERE log = ''")
        connection.execute("DELETE FROM log_node WHERE log = ''")
        nodes = {}
        for size, (content,) in enumerate(rows):
            leaf = merkle.leaf_hash(content)
            connection.execute("INSERT INTO log_leaf VALUES ('', ?, ?, ?)", (size, content, leaf))
            for level, number, found in merkle.appended(size, leaf, lambda *at: nodes[at]):
                nodes[level, number] = found
                if level:
                    connection.execute(
                        "INSERT INTO log_node VALUES ('', ?, ?, ?)", (level, number, found)
                    )
        connection.commit()
