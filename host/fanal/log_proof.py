"""One entry of the log with what proves it, in the form of C2SP tlog-proof, for a third party.

The file holds the entry itself (as `extra`), its number, its audit path and a signed checkpoint. It
tells nothing of other entries but hashes, which the salt in each keeps from being guessed.
"""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.serialization import Encoding

from fanal import certificate
from fanal.checkpoint import open_checkpoint, parse
from fanal.error import FanalError, IntegrityError, UsageError
from fanal.log import OWN
from fanal.log_signed import station_of
from fanal.merkle import ProofError, leaf_hash, root_by_inclusion
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


def prove(registry: Registry, entry: int, log: str = OWN) -> Proof:
    """Return what proves that an entry is in a log. The proof is checked before it is returned.

    Raises UsageError (no such entry), FanalError (no checkpoint covers it), IntegrityError.
    """
    if log not in registry.logs():
        raise no_log(log)
    if not 0 <= entry < registry.log_size(log):
        raise UsageError(f"The log has no entry {entry}.", "See: fanal log list")
    covering = [note for note in registry.checkpoints(log) if parse(note).size > entry]
    found = registry.leaves(entry, entry + 1, log)
    if not found:
        raise IntegrityError(f"Entry {entry} is missing.", "Run `fanal log verify`.")
    if not covering:
        raise FanalError(
            f"Nobody has signed for entry {entry} yet.",
            "Run `fanal log checkpoint`, then this again.",
            code="not_signed",
        )
    note = covering[-1]
    told = parse(note)
    number, _ = station_of(told.origin)
    if number is None:
        raise IntegrityError("The newest checkpoint is by no station.", "Run `fanal log verify`.")
    station = certificate.from_der(registry.station_certificate(number))
    open_checkpoint(note, certificate.public_key_of(station))
    path = registry.inclusion(entry, told.size, log)
    content = found[0].content
    try:
        is_proved = root_by_inclusion(entry, told.size, leaf_hash(content), path) == told.root
    except ProofError:
        is_proved = False
    if not is_proved:
        raise IntegrityError(
            f"Entry {entry} is not what was signed for.",
            "Run `fanal log verify`, which says where the log was changed.",
            code="log",
        )
    fleet = certificate.from_der(registry.fleet_certificate())
    chain = "".join(one.public_bytes(Encoding.PEM).decode() for one in (station, fleet))
    return Proof(entry, content, told.size, proof_text(entry, content, path, note), chain)


def proof_text(entry: int, content: bytes, path: Sequence[bytes], note: str) -> str:
    """Return a proof as a file has it. path: the audit path, 32 bytes each; note: a checkpoint."""
    lines = [_FIRST_LINE, f"extra {b64encode(content).decode()}", f"index {entry}"]
    lines += [b64encode(step).decode() for step in path]
    return "\n".join(lines) + f"\n\n{note}"
