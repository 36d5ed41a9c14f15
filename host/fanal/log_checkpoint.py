"""Sign for the log as it is: the station's key vouches for all entries so far.

What was signed once is never signed away: what came since is computed anew from the entries and has
to follow from the last checkpoint. The first time under a name, all of it is verified.

The station's key signs certificates too. What it signs here begins with "fanal/", a certificate
with the byte 0x30, so neither can be taken for the other.
"""

from dataclasses import dataclass
from pathlib import Path

from fanal import anchor, merkle
from fanal.checkpoint import Checkpoint, open_checkpoint, parse, sign_checkpoint
from fanal.error import FanalError, IntegrityError
from fanal.keyring import Station
from fanal.log_verify import verify
from fanal.own_station import require_own
from fanal.registry import Registry

_AT_ONCE = 10_000  # entries


@dataclass(frozen=True)
class Signed:
    """A checkpoint. changed: False if this tree was signed for before."""

    origin: str
    size: int
    note: str
    changed: bool


def checkpoint(
    registry: Registry, station: Station, anchors: Path | None, *, is_restored: bool = False
) -> Signed:
    """Sign for all entries so far; keep it in the registry, and as the anchor outside of it.

    anchors: None keeps it in the registry alone, and looks nowhere else. is_restored: whoever asks
    knows that the registry comes from a backup, and that entries of before may be gone.
    Raises IntegrityError if an earlier checkpoint, in the registry or outside, covers something
    that the log does not begin with: nothing is signed then, since nobody could tell which is true.
    """
    public_key = require_own(registry, station)
    origin, size, root = registry.head()
    earlier = [note for note in registry.checkpoints() if parse(note).origin == origin]
    kept = None if anchors is None else anchor.newest(anchors, origin)
    told = [open_checkpoint(note, public_key) for note in earlier[-1:] + ([kept] if kept else [])]
    for one in told:
        _require_beginning(registry, one, size)
    if not earlier:
        elsewhere = [] if anchors is None or is_restored else anchor.of_log(anchors, origin)
        _require_whole(registry, elsewhere)
    elif told[0].size < size:
        _require_growth(registry, told[0], size, root)
    signed = Checkpoint(origin, size, root)
    note = sign_checkpoint(signed, station.signing_key)
    is_new = note not in earlier[-1:]
    if is_new:
        registry.keep_checkpoint(origin, size, note)
    if anchors is not None and kept != note:
        anchor.keep(anchors, note)
    return Signed(origin, size, note, is_new)


def checkpoint_or_why(registry: Registry, station: Station, anchors: Path | None) -> str:
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
    if registry.log_root(earlier.size) != earlier.root:
        raise IntegrityError(
            f"The log does not begin with the {earlier.size} entries that were signed before.",
            "Run `fanal log verify`, which says where.",
            code="rewritten",
        )


def _require_growth(registry: Registry, earlier: Checkpoint, size: int, root: bytes) -> None:
    """Raise IntegrityError unless the entries since are what leads from one root to the other.

    The hashes that are kept of them could say anything.
    """
    edge = registry.frontier(earlier.size)
    if edge.root() == earlier.root:
        while leaves := registry.leaves(edge.size, min(edge.size + _AT_ONCE, size)):
            if leaves[-1].number != edge.size + len(leaves) - 1:
                break  # some are missing
            for leaf in leaves:
                edge.append(merkle.leaf_hash(leaf.content))
    if (edge.size, edge.root()) != (size, root):
        raise IntegrityError(
            f"What the log has from entry {earlier.size} on is not what was written.",
            "Run `fanal log verify`, which says where.",
            code="rewritten",
        )


def _require_whole(registry: Registry, anchors: list[str]) -> None:
    """Raise IntegrityError unless all is as it was, as far as anybody can tell."""
    findings = verify(registry, anchors).findings
    if findings:
        first = findings[0]
        raise IntegrityError(
            first.sentence,
            "Run `fanal log verify`. After a restore, `fanal log checkpoint --restored` signs.",
            code="cut" if first.code == "cut" else "rewritten",
        )
