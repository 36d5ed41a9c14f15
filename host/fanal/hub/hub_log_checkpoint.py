"""Sign for the hub's log as it is: the log key, which the fleet certified, vouches for all entries.

The name of the log holds the fleet's and the log key's: a fleet may have several hubs. A hub whose
folder was copied back from a backup goes on from there, which is another log than the one that was
lost: so how often that happened, its *epoch*, is in the name (`log_epoch`). A hub without a fleet
has no name yet; what it enters is signed for later.
"""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import select

from fanal import anchor, certificate, merkle
from fanal.checkpoint import Checkpoint, open_checkpoint, parse, sign_checkpoint
from fanal.error import FanalError, IntegrityError
from fanal.hub import hub_log
from fanal.hub.new_rows import insert_new
from fanal.hub.tables import FleetRow, LogCheckpointRow, MetaRow
from fanal.log_checkpoint import Signed
from fanal.log_epoch import NEVER_RESTORED, Epoch

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from sqlalchemy.orm import Session

    from fanal.hub.store import Store

# where the service of `fanal hub unit` keeps the newest, which may write to no home
SERVICE_STATE = Path("/var/lib/fanal-hub")
_EPOCH, _BRANCH = "log_epoch", "log_branch"  # keys of `MetaRow`
_NO_FLEET = ("This hub has no fleet yet, and so its log has no name to sign for.",
             "Accept the officer's file first: `fanal hub accept FILE`.")  # fmt: skip


@dataclass(frozen=True)
class Head:
    """The log as it is: its name, how many entries it has, their root (32 bytes), newest note."""

    fleet: FleetRow
    epoch: Epoch
    origin: str
    size: int
    root: bytes
    signed: str | None


def folders() -> list[Path]:
    """Return where newest checkpoints are on this computer; the first is where to keep one."""
    return [anchor.default_folder(), SERVICE_STATE / "fanal" / "checkpoints"]


def kept(origin: str, places: list[Path] | None = None) -> list[str]:
    """Return the checkpoints of a log, and of those that a restore ended, that are kept outside."""
    notes: dict[str, None] = {}
    for folder in folders() if places is None else places:
        try:
            notes |= dict.fromkeys(anchor.of_log(folder, origin))
        except PermissionError:  # the service's, which is another user's
            continue
    return list(notes)


def checkpoint(
    store: "Store",
    key: "Ed25519PrivateKey",
    places: list[Path] | None = None,
    *,
    is_restored: bool = False,
) -> Signed:
    """Sign for all entries so far; keep it in the database, and in the first of `places`.

    is_restored: what is lost is lost: a log that was cut off goes on under another name, and says
    so. Raises FanalError (`no_fleet`, `not_restored`), and IntegrityError if an earlier checkpoint,
    in the database or outside, covers something that the log does not begin with.
    """
    places = folders() if places is None else places
    origin = _origin(store, key)
    notes = kept(origin, places)  # before the log is read, which may grow meanwhile
    found = head(store)
    lost = _lost(store, found, notes, key)
    if is_restored:
        if lost is None:
            raise FanalError("Nothing of the log is lost: it goes on as it is.",
                             "Sign without --restored.", code="not_restored")  # fmt: skip
        _begin_again(store, lost[0], epoch_in(lost[0].origin, found.fleet) or NEVER_RESTORED)
        found = head(store)
    elif lost is not None:
        raise lost[1]
    note = sign_checkpoint(Checkpoint(found.origin, found.size, found.root), key)
    is_new = note != found.signed
    if is_new:
        with store.writing() as session:
            row = {"origin": found.origin, "size": found.size, "note": note}
            insert_new(session, LogCheckpointRow, [row])
    if anchor.newest(places[0], found.origin) != note:
        anchor.keep(places[0], note)
    return Signed(found.origin, found.size, note, is_new)


def head(store: "Store") -> Head:
    """Return the log as it is. Raises FanalError (`no_fleet`)."""
    with store.reading() as session:
        fleet = session.get(FleetRow, 1)
        if fleet is None:
            raise FanalError(*_NO_FLEET, code="no_fleet")
        epoch = epoch_of(session)
        origin = origin_of(fleet, epoch)
        # the size first: what joins meanwhile is beyond it
        size = hub_log.size_of(session)
        newest = session.scalar(
            select(LogCheckpointRow.note).where(LogCheckpointRow.origin == origin)
            .order_by(LogCheckpointRow.size.desc()).limit(1)
        )  # fmt: skip
        return Head(fleet, epoch, origin, size, merkle.root(size, hub_log.reader(session)), newest)


def origin_of(fleet: FleetRow, epoch: Epoch) -> str:
    """Return the name of a hub's log: "fanal/", the fleet's name, "/hub-", that of the log key."""
    of_fleet = certificate.fleet_name_in(certificate.from_der(fleet.certificate))
    own = sha256(_key_in(fleet.log_certificate)).hexdigest()[:8]
    return f"fanal/{of_fleet.split()[-1]}/hub-{own}{epoch.part}"


def epoch_in(origin: str, fleet: FleetRow) -> Epoch | None:
    """Return of which epoch of this hub's log a name is, None if of none."""
    own = origin_of(fleet, NEVER_RESTORED)
    return Epoch.parse(origin.removeprefix(own)) if origin.startswith(own) else None


def epoch_of(session: "Session") -> Epoch:
    """Return how often, and by which restore, the hub went on from a backup."""
    number, branch = session.get(MetaRow, _EPOCH), session.get(MetaRow, _BRANCH)
    if number is None:
        return NEVER_RESTORED
    return Epoch(number.value, "" if branch is None else f"{branch.value & 0xFFFFFFFF:08x}")


def _origin(store: "Store", key: "Ed25519PrivateKey") -> str:
    """Return the name of the log that this key signs for. Raises FanalError, IntegrityError."""
    with store.reading() as session:
        fleet = session.get(FleetRow, 1)
        if fleet is None:
            raise FanalError(*_NO_FLEET, code="no_fleet")
        if _key_in(fleet.log_certificate) != key.public_key().public_bytes_raw():
            raise IntegrityError(
                "The fleet certified another log key than this hub's.",
                "Folder and database are of different hubs: check --hub and hub.toml.",
                code="other_hub",
            )
        return origin_of(fleet, epoch_of(session))


def _lost(
    store: "Store", found: Head, notes: list[str], key: "Ed25519PrivateKey"
) -> tuple[Checkpoint, IntegrityError] | None:
    """Return a signed beginning that the log no longer has, of the last epoch, and what to say."""
    public_key = key.public_key().public_bytes_raw()
    signed = [*notes, *([found.signed] if found.signed else [])]
    epochs = [(epoch_in(parse(note).origin, found.fleet), note) for note in signed]
    for epoch, note in sorted(((of, note) for of, note in epochs if of is not None), reverse=True):
        if epoch.number < found.epoch.number:
            break  # those ended when the hub went on from a backup
        if epoch.number == found.epoch.number and epoch != found.epoch:
            continue  # of another copy, which goes on beside this one
        earlier = open_checkpoint(note, public_key)
        if epoch != found.epoch or earlier.size > found.size:
            return earlier, IntegrityError(
                f"The hub has {found.size} entries in its log, and one that was signed had"
                f" {earlier.size}: it is an older copy, or its end was cut off.",
                "Find the newer database. If there is none, `fanal hub log checkpoint --restored`"
                " goes on from here, and says so in the log.",
                code="cut",
            )
        with store.reading() as session:
            root = merkle.root(earlier.size, hub_log.reader(session))
        if root != earlier.root:
            return earlier, IntegrityError(
                f"The log does not begin with the {earlier.size} entries that were signed before.",
                "Run `fanal hub log verify`, which says where.",
                code="rewritten",
            )
    return None


def _begin_again(store: "Store", lost: Checkpoint, ended: Epoch) -> None:
    """Let the log go on under its next name, and say in it what of the last one is not here."""
    with store.writing() as session:
        epoch = Epoch.after(max(ended, epoch_of(session)).number)
        branch = int.from_bytes(bytes.fromhex(epoch.branch), signed=True)  # as a column has it
        session.merge(MetaRow(key=_EPOCH, value=epoch.number))
        session.merge(MetaRow(key=_BRANCH, value=branch))
        hub_log.enter(
            session, hub_log.RESTORED, store.now_ms(), who=hub_log.COMMAND_LINE,
            epoch=epoch.number, branch=epoch.branch,
            detail=f"{lost.size} entries of {lost.origin} had been signed for",
        )  # fmt: skip


def _key_in(der: bytes) -> bytes:
    return certificate.public_key_of(certificate.from_der(der))
