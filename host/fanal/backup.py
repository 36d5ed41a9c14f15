"""Back a fleet up into one encrypted file, and restore it elsewhere, with proof that it is right.

A restored registry is older than the world: what beacons said after the backup was made is not in
it, and whoever recorded that can play it again. So restoring raises the registry's epoch, and
sightings up to the newest event that is known of a beacon are marked from then on.
"""

import secrets
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fanal_protocol import crypto, keys

from fanal import anchor, bounded_file, certificate, fleet, keyring, shares
from fanal.backup_file import KEY_BYTES, MOST_BYTES, Content, Lock, lock_of, opened, written
from fanal.error import IntegrityError, UsageError
from fanal.high_water import HighWater
from fanal.keyring import Keyring, Officer, Station, write_private
from fanal.log_checkpoint import checkpoint_or_why
from fanal.registry import REGISTRY_FILE, Registry
from fanal.station_file import fleet_fingerprint

_CHECK = b"fanal/1 backup check"
_CHECK_BYTES = 16
_MOST_PROOFS = 64


@dataclass(frozen=True)
class BackedUp:
    """A backup beside the place where it belongs. beside: its path until it is given its name.

    shares: the words of each share, in clear; empty if a passphrase opens it.
    """

    beside: Path
    fleet: str
    beacons: int
    proofs: int
    shares: list[str] = field(repr=False)


@dataclass(frozen=True)
class Restored:
    """A fleet that was restored. made_ms: when its backup was made; proven: ids of beacons whose
    first event key was derived again and found right; unsigned: why nobody signed for its log, ""
    if somebody did."""

    folder: Path
    fleet: str
    fingerprint: str
    beacons: int
    proven: tuple[str, ...]
    epoch: int
    made_ms: int
    unsigned: str = ""


def back_up(
    source: Keyring,
    out: Path,
    *,
    passphrase: str | None = None,
    plan: tuple[int, int] | None = None,
    now: datetime | None = None,
) -> BackedUp:
    """Write a backup of an officer's folder beside `out`, and open it again to see that it is good.

    passphrase: of the backup; or plan: (K, N) shares. `finish` gives it its name, once somebody
    has seen the shares. Raises FanalError (no officer's file here), UsageError.
    """
    if (passphrase is None) == (plan is None):
        raise UsageError("A backup opens by a passphrase or by shares.", "Use one of them.")
    require_new(out)
    officer, station = source.officer(), source.station()
    content = _content(source.folder, officer, station, now or datetime.now(UTC))
    key = secrets.token_bytes(KEY_BYTES)
    words: list[str] = []
    if plan is not None:
        words, lock = shares.split(key, *plan), Lock(None, *plan)
    else:
        keyring.check_passphrase(passphrase or "")
        lock = Lock.by_passphrase(key, passphrase or "")
    beside = out.with_name(f".{out.name}.{secrets.token_hex(4)}")
    write_private(beside, written(content, lock, key))
    data = beside.read_bytes()
    # as it will be opened one day; shares were put together again when they were made
    found = key if plan is not None else lock_of(data).key(passphrase or "")
    if opened(data, found).registry != content.registry:
        beside.unlink()
        raise IntegrityError("The backup does not open as it was made.", "The disk may be failing.")
    told = content.manifest
    return BackedUp(beside, told["fleet"], told["beacons"], len(told["proofs"]), words)


def finish(beside: Path, out: Path) -> None:
    """Give a backup its name. Raises UsageError if there is a file of that name."""
    require_new(out)
    beside.rename(out)
    keyring.sync_folder(out.parent)


def require_new(out: Path) -> None:
    """Raise UsageError if `out` is there: the backup before may be the only good one."""
    if out.exists():
        raise UsageError(f"{out} is there already.", "Choose another name with --out FILE.")


def restore(
    source: Path,
    folder: Path,
    new_passphrase: str,
    *,
    passphrase: str | None = None,
    words: list[str] | None = None,
    state: Path | None = None,
    anchors: Path | None = None,
) -> Restored:
    """Restore a fleet into `folder`, which must not exist or be empty: proven whole, or nothing.

    new_passphrase: of the folder. passphrase, or words: what opens the backup. state: where this
    computer keeps what it heard (`high_water`). anchors: where it keeps checkpoints; none is put
    there by a restore, which may be a rehearsal. Raises UsageError, IntegrityError.
    """
    keyring.check_passphrase(new_passphrase)
    fleet.require_free(folder)
    data = bounded_file.read(source, MOST_BYTES, "a backup")
    lock = lock_of(data)
    key = shares.combine(words) if words is not None else lock.key(passphrase or "")
    content = opened(data, key)
    officer, station = _secrets(content.manifest)
    public_key = officer.signing_key.public_key()
    heard = HighWater(state, public_key.public_bytes_raw()).read() if state is not None else {}
    with fleet.founding(folder) as beside:
        write_private(beside / REGISTRY_FILE, content.registry)
        Keyring.create(beside, new_passphrase, officer, station)
        # from the disk, by the passphrase: what will be opened the next time
        again = Keyring.unlock(beside, new_passphrase)
        with Registry(beside / REGISTRY_FILE) as registry:
            proven = _proven(again, registry, content.manifest)
            known = 0 if anchors is None else anchor.newest_epoch(anchors, registry.origin())
            epoch = registry.raise_epoch(heard, beyond=known)
            unsigned = checkpoint_or_why(registry, station, None)
            beacons = len(registry.beacons())
    return Restored(
        folder, certificate.fleet_name(public_key),
        fleet_fingerprint(public_key.public_bytes_raw()), beacons, proven, epoch,
        int(content.manifest["made_ms"]), unsigned,
    )  # fmt: skip


def _content(folder: Path, officer: Officer, station: Station, now: datetime) -> Content:
    with Registry(folder / REGISTRY_FILE) as registry:  # brought to this version, if older
        beacons = registry.beacons()
        of_fleet = certificate.from_der(registry.fleet_certificate())
    public_key = officer.signing_key.public_key()
    if certificate.public_key_of(of_fleet) != public_key.public_bytes_raw():
        raise IntegrityError("Keyring and registry are of different fleets.", "Check --fleet.")
    newest = {one.station: one for one in beacons}  # the newest of each station
    known = list(newest.values())[:_MOST_PROOFS]
    manifest = {
        "made_ms": round(now.timestamp() * 1000), "fleet": certificate.fleet_name(public_key),
        "beacons": len(beacons),
        "officer": {"root": officer.root.hex(), "signing": officer.signing.hex(),
                    "sealing": officer.sealing.hex()},
        "station": {"number": station.number, "root": station.root.hex(),
                    "signing": station.signing.hex()},
        "proofs": [{"beacon": one.beacon_id, "station": one.station,
                    "check": _check(officer.root, one.station, one.public_key).hex()}
                   for one in known],
    }  # fmt: skip
    return Content(manifest, _snapshot(folder / REGISTRY_FILE))


def _snapshot(path: Path) -> bytes:
    """Return the registry's file as it is between two transactions, whoever else writes."""
    with closing(sqlite3.connect(path)) as file, closing(sqlite3.connect(":memory:")) as copy:
        file.backup(copy)
        return copy.serialize()


def _secrets(manifest: Mapping[str, Any]) -> tuple[Officer, Station]:
    try:
        officer = Officer(*(bytes.fromhex(manifest["officer"][name])
                            for name in ("root", "signing", "sealing")))  # fmt: skip
        told = manifest["station"]
        station = Station(int(told["number"]), *(bytes.fromhex(told[name])
                                                 for name in ("root", "signing")))  # fmt: skip
    except (ValueError, LookupError, TypeError):
        raise IntegrityError("The backup is damaged inside.", code="damaged") from None
    return officer, station


def _proven(again: Keyring, registry: Registry, manifest: Mapping[str, Any]) -> tuple[str, ...]:
    """Check restored keys against the restored registry; return the beacons that prove it."""
    officer, station = again.officer(), again.station()
    of_fleet = certificate.from_der(registry.fleet_certificate())
    of_station = certificate.from_der(registry.station_certificate(station.number))
    for made, key in ((of_fleet, officer.signing_key), (of_station, station.signing_key)):
        if certificate.public_key_of(made) != key.public_key().public_bytes_raw():
            raise _unproven("a certificate is of another key")
    certificate.verify_station(station.number, of_station, of_fleet)
    if station.root != keys.station_root(officer.root, station.number):
        raise _unproven("the station's root is not of this fleet")
    proven = []
    for proof in manifest["proofs"]:
        beacon = registry.find(proof["beacon"])
        if beacon is None or beacon.station != proof["station"]:
            raise _unproven(f"beacon {proof['beacon']} is not in the registry")
        if _check(officer.root, beacon.station, beacon.public_key).hex() != proof["check"]:
            raise _unproven(f"the first key of beacon {beacon.beacon_id} is another one")
        proven.append(beacon.beacon_id)
    return tuple(proven)


def _check(root: bytes, station: int, public_key: bytes) -> bytes:
    """Return what tells whether E_1 of a beacon is right, and tells nothing of it. 16 bytes."""
    first_key = keys.first_event_key(keys.station_root(root, station), public_key)
    return bytes(crypto.kdf(first_key, _CHECK, _CHECK_BYTES))


def _unproven(why: str) -> IntegrityError:
    return IntegrityError(
        f"The backup is not whole: {why}.", "Nothing was restored. Use another backup.",
        code="unproven",
    )  # fmt: skip
