"""One entry of the hub's log with what proves it, as `log_proof` writes it."""

from sqlalchemy import select

from fanal import certificate
from fanal.error import IntegrityError, UsageError
from fanal.hub import hub_log
from fanal.hub.store import Store
from fanal.hub.tables import FleetRow, LogCheckpointRow, LogLeafRow
from fanal.log_proof import Proof, not_signed, proved
from fanal.log_record import Leaf
from fanal.merkle import inclusion


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
            raise not_signed(entry, "fanal hub log")
        held = session.get_one(FleetRow, 1)
        log, fleet = (certificate.from_der(der) for der in (held.log_certificate, held.certificate))
        certificate.verify_log(log, fleet, certificate.public_key_of(log))
        return proved(Leaf(*row), note, (log, fleet), "fanal hub log",
                      lambda size: inclusion(entry, size, hub_log.reader(session)))  # fmt: skip
