"""A process that writes into a registry until it is killed: `python killed_writers.py DB SEED HOW`.

HOW is what it does, over and over, with as many other processes as there are. It says a line on
stdout when it begins.
"""

import itertools
import sys
from pathlib import Path

from fanal.error import FanalError
from fanal.fleet import FIRST_STATION
from fanal.keyring import Station
from fanal.log_checkpoint import checkpoint
from fanal.registry import Registry, Reservation
from fanal.registry_copy import export
from fanal.registry_import import import_registry
from fanal.registry_merge import merge
from fanal_protocol import keys


def public_key(seed: int, turn: int) -> bytes:
    return bytes([seed]) * 28 + turn.to_bytes(4, "big")


def life(registry: Registry, seed: int, turn: int) -> None:
    """Reserve, provision, hear, move and retire one beacon."""
    key = public_key(seed, turn)
    beacon_id = keys.beacon_id(key)
    mac = f"02:00:{seed:02x}:00:{turn >> 8 & 255:02x}:{turn & 255:02x}"
    registry.reserve(Reservation(beacon_id, key, mac, "ESP32C3", FIRST_STATION, "s", "p", "fixed"))
    registry.provisioned(
        beacon_id, b"der", site="s", place="p", profile="fixed", settings={"hold_ms": 2000}
    )
    registry.record_sighting(beacon_id, 1, slot=0, seq=0, t_ms=5, verdict="fresh")
    registry.moved(beacon_id, "elsewhere", "")
    registry.revoke(beacon_id, "lost")
    registry.retire(beacon_id, "broken")


def main(path: Path, seed: int, how: str) -> None:
    folder = path.parent
    station = Station(0, bytes(32), (folder / "signing.bin").read_bytes())
    print("begun", flush=True)
    for turn in itertools.count():
        try:
            with Registry(path) as registry:
                if how == "life":
                    life(registry, seed, turn)
                elif how == "checkpoint":
                    registry.exported("csv")
                    checkpoint(registry, station, folder / "anchors")
                elif how == "restore":
                    registry.raise_epoch()
                elif how == "merge":
                    registry.revoke_station(1, f"reason {turn}")
                    merge(registry, (folder / "station.json").read_bytes())
                elif how == "import":
                    import_registry(export(registry), folder / f"copy-{seed}-{turn}")
        except FanalError as problem:
            if problem.code != "busy":
                raise


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
