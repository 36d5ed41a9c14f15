"""One entry of the log with what proves it, in the form of C2SP tlog-proof, for a third party.

The file holds the entry itself (as `extra`), its number, its audit path and a signed checkpoint. It
tells nothing of other entries but hashes, which the salt in each keeps from being guessed.
"""

from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from fanal import certificate
from fanal.checkpoint import open_checkpoint, parse
from fanal.error import FanalError, IntegrityError, UsageError
from fanal.log import OWN
from fanal.log_record import Leaf
from fanal.log_signed import station_of
from fanal.merkle import leaf_hash, root_by_inclusion
from fanal.registry import Registry

_FIRST_LINE = "c2sp.org/tlog-proof@v1"


@dataclass(frozen=True)
class Proof:
    """An entry and its proof. text: the file; chain: certificates of station and fleet, PEM."""

    entry: int
    content: bytes
    size: int
    text: str
    chain: str


def no_log(log: str) -> UsageError:
    """Return the error for the name of a log that is not in the registry."""
    return UsageError(
        f"There is no log {log} here.",
        "Its whole name is wanted, such as fanal/459b1630/station-3; `fanal log verify --json`"
        " lists them.",
    )


def not_signed(entry: int, command: str) -> FanalError:
    """Return the error for an entry that no checkpoint covers. command: "fanal log"."""
    return FanalError(
        f"Nobody has signed for entry {entry} yet.",
        f"Run `{command} checkpoint`, then this again.",
        code="not_signed",
    )


def prove(registry: Registry, entry: int, log: str = OWN) -> Proof:
    """Return what proves that an entry is in a log. The proof is checked before it is returned.

    Raises UsageError (no such entry), FanalError (no checkpoint covers it), IntegrityError.
    """
    if log not in registry.logs():
        raise no_log(log)
    if not 0 <= entry < registry.log_size(log):
        raise UsageError(f"The log has no entry {entry}.", "See: fanal log list")
    found = registry.leaves(entry, entry + 1, log)
    if not found:
        raise IntegrityError(f"Entry {entry} is missing.", "Run `fanal log verify`.")
    covering = [note for note in registry.checkpoints(log) if parse(note).size > entry]
    if not covering:
        raise not_signed(entry, "fanal log")
    number, _ = station_of(parse(covering[-1]).origin)
    if number is None:
        raise IntegrityError("The newest checkpoint is by no station.", "Run `fanal log verify`.")
    station = certificate.from_der(registry.station_certificate(number))
    fleet = certificate.from_der(registry.fleet_certificate())
    certificate.verify_station(number, station, fleet)
    return proved(found[0], covering[-1], (station, fleet), "fanal log",
                  lambda size: registry.inclusion(entry, size, log))  # fmt: skip


def proved(
    leaf: Leaf, note: str, chain: tuple[x509.Certificate, x509.Certificate], command: str,
    path_at: Callable[[int], list[bytes]],
) -> Proof:  # fmt: skip
    """Return the proof of an entry by a checkpoint, if it is one. Raises IntegrityError.

    chain: of whose checkpoint it is, and of the fleet, verified. command: has `verify`.
    path_at: gives the audit path in the tree of so many entries; may raise ValueError.
    """
    told = open_checkpoint(note, certificate.public_key_of(chain[0]))
    try:
        path = path_at(told.size)
        root = root_by_inclusion(leaf.number, told.size, leaf_hash(leaf.content), path)
    except ValueError:
        root = None
    if root != told.root:
        raise IntegrityError(
            f"Entry {leaf.number} is not what was signed for.",
            f"Run `{command} verify`, which says where the log was changed.",
            code="log",
        )
    pem = "".join(one.public_bytes(Encoding.PEM).decode() for one in chain)
    return Proof(leaf.number, leaf.content, told.size, _text(leaf, path, note), pem)


def _text(leaf: Leaf, path: Sequence[bytes], note: str) -> str:
    """Return a proof as a file has it. path: the audit path, 32 bytes each; note: a checkpoint."""
    lines = [_FIRST_LINE, f"extra {b64encode(leaf.content).decode()}", f"index {leaf.number}"]
    lines += [b64encode(step).decode() for step in path]
    return "\n".join(lines) + f"\n\n{note}"
