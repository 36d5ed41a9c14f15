"""Sign for the log as it is: the station's key vouches for all entries so far.

The station's key signs certificates too. What it signs here begins with "fanal/", a certificate
with the byte 0x30, so neither can be taken for the other.
"""

from dataclasses import dataclass
from pathlib import Path

from fanal import anchor, certificate, merkle
from fanal.checkpoint import Checkpoint, open_checkpoint, parse, sign_checkpoint
from fanal.database import Clash
from fanal.error import FanalError, IntegrityError
from fanal.keyring import Station
from fanal.registry import Registry


@dataclass(frozen=True)
class Signed:
    """A checkpoint. changed: False if this tree was signed for before."""

    origin: str
    size: int
    note: str
    changed: bool


def checkpoint(registry: Registry, station: Station, anchors: Path) -> Signed:
    """Sign for all entries so far; keep it in the registry, and as the anchor outside of it.

    Raises IntegrityError if an earlier checkpoint, in the registry or outside, covers something
    that the log does not begin with: nothing is signed then, since nobody could tell which is true.
    """
    public_key = station.signing_key.public_key().public_bytes_raw()
    held = certificate.from_der(registry.station_certificate(station.number))
    if certificate.public_key_of(held) != public_key or registry.home() != station.number:
        raise Clash(
            "This registry is that of another station.",
            "Keyring and registry come from different folders: check --fleet.",
            code="other_station",
        )
    origin, size, root = registry.head()
    earlier = [note for note in registry.checkpoints() if parse(note).origin == origin]
    kept = anchor.newest(anchors, origin)
    for note in earlier[-1:] + ([kept] if kept else []):
        _require_beginning(registry, open_checkpoint(note, public_key), size)
    signed = Checkpoint(origin, size, root)
    note = sign_checkpoint(signed, station.signing_key)
    is_new = note not in earlier[-1:]
    if is_new:
        registry.keep_checkpoint(origin, size, note)
    if kept != note:
        anchor.keep(anchors, note)
    return Signed(origin, size, note, is_new)


def checkpoint_or_why(registry: Registry, station: Station, anchors: Path) -> str:
    """Sign for the log after something else was done; return "", or what stood in the way.

    What was done is done: that nobody can sign for it is worth a remark, not a failure.
    """
    try:
        checkpoint(registry, station, anchors)
    except FanalError as problem:
        return f"The log was not signed: {problem.sentence} See: fanal log verify"
    except OSError as problem:
        return f"The newest checkpoint was not kept in {anchors}: {problem.strerror}."
    return ""


def _require_beginning(registry: Registry, earlier: Checkpoint, size: int) -> None:
    if earlier.size > size:
        raise IntegrityError(
            f"The registry has {size} entries in its log, and one that was signed had"
            f" {earlier.size}: it is an older copy, or its end was cut off.",
            "Find the newer file. If there is none, `fanal fleet restore` takes a backup and says"
            " so in the log.",
            code="cut",
        )
    root = registry.log_root(earlier.size) if earlier.size else merkle.EMPTY_ROOT
    if root != earlier.root:
        raise IntegrityError(
            f"The log does not begin with the {earlier.size} entries that were signed before.",
            "Run `fanal log verify`, which says where.",
            code="rewritten",
        )
