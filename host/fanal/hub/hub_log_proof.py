"""One entry of the hub's log with what proves it, as `log_proof` writes it."""

from cryptography.hazmat.primitives.serialization import Encoding
from sqlalchemy import select

from fanal import certificate
from fanal.checkpoint import open_checkpoint, parse
from fanal.error import FanalError, IntegrityError, UsageError
from fanal.hub import hub_log
from fanal.hub.store import Store
from fanal.hub.tables import FleetRow, LogCheckpointRow, LogLeafRow
from fanal.log_proof import Proof, proof_text
from fanal.merkle import ProofError, inclusion, leaf_hash, root_by_inclusion


def prove(store: Store, entry: int) -> Proof:
    """Return what proves that an entry is in the hub's log; `chain` is the log key's certificate,
    then the fleet's. The proof is checked before it is returned.

    Raises UsageError (no such entry), FanalError (no checkpoint covers it), IntegrityError.
    """
    with store.reading() as session:
        if not 0 <= entry < hub_log.size_of(session):
            raise UsageError(f"The log has no entry {entry}.", "See: fanal hub log list")
        row = session.execute(hub_log.leaves_asked().where(LogLeafRow.number == entry)).first()
        if row is None:
            raise IntegrityError(f"Entry {entry} is missing.", "Run `fanal hub log verify`.")
        note = session.scalar(
            select(LogCheckpointRow.note).where(LogCheckpointRow.size > entry)
            .order_by(LogCheckpointRow.size.desc()).limit(1)
        )  # fmt: skip
        if note is None:
            raise FanalError(
                f"Nobody has signed for entry {entry} yet.",
                "Run `fanal hub log checkpoint`, then this again.",
                code="not_signed",
            )
        told, held = parse(note), session.get_one(FleetRow, 1)
        log, fleet = (certificate.from_der(der) for der in (held.log_certificate, held.certificate))
        open_checkpoint(note, certificate.public_key_of(log))
        content = row[1]
        try:
            path = inclusion(entry, told.size, hub_log.reader(session))
            is_proved = root_by_inclusion(entry, told.size, leaf_hash(content), path) == told.root
        except ProofError:
            is_proved = False
    if not is_proved:
        raise IntegrityError(
            f"Entry {entry} is not what was signed for.",
            "Run `fanal hub log verify`, which says where the log was changed.",
            code="log",
        )
    chain = "".join(one.public_bytes(Encoding.PEM).decode() for one in (log, fleet))
    return Proof(entry, content, told.size, proof_text(entry, content, path, note), chain)
