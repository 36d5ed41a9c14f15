"""What was signed for, against what a log is: checkpoints in the file, and those kept elsewhere.

Nobody but a station can sign for its log. So its checkpoints find what whoever made all hashes anew
could hide, and one that lies elsewhere finds an end that was cut off, and an older copy.
"""

import re
from collections.abc import Callable, Iterable

from sqlalchemy import Row, select
from sqlalchemy.orm import Session

from fanal import certificate
from fanal.checkpoint import Checkpoint, open_checkpoint, parse
from fanal.error import IntegrityError
from fanal.log import OWN, epoch_of, origin_of
from fanal.log_epoch import NEVER_RESTORED, Epoch
from fanal.log_findings import Findings
from fanal.log_tree import Tree
from fanal.schema import FleetRow, LogCheckpointRow, StationRow

_ORIGIN = re.compile("fanal/[^/]+/station-([0-9]{1,5})(/.*)?")


class Signatures:
    """The fleet and the stations of a registry, as far as it takes to check what they signed."""

    def __init__(self, session: Session, fleet: FleetRow, found: Findings) -> None:
        self._session, self._fleet, self._found = session, fleet, found
        self._keys: dict[int, bytes] = {}

    def covered(self, tree: Tree) -> int:
        """Check the checkpoints in the file of a log; return how many entries a good one covers."""

        def opened(note: str) -> Checkpoint:
            told = self._opened(note)
            self._require_of(tree, told)
            return told

        asked = select(LogCheckpointRow.origin, LogCheckpointRow.size, LogCheckpointRow.note)
        asked = asked.where(LogCheckpointRow.log == tree.log).order_by(LogCheckpointRow.size)
        return covered(self._found, tree, self._session.execute(asked), opened)

    def anchor(
        self, note: str, trees: dict[str, Tree], signed: dict[str, int], restored: dict[Epoch, int]
    ) -> str:
        """Check one checkpoint that was kept outside of the file; return a remark, or "".

        signed: how many entries of each log a good checkpoint covers. restored: epoch -> the entry
        that began it.
        """
        try:
            told = self._opened(note)
            tree = trees.get(told.origin) or trees[OWN]
            self._require_of(tree, told)
        except IntegrityError as problem:
            sentence = f"A checkpoint kept elsewhere is not good: {problem.sentence}"
            self._found.add("anchor", sentence)
            return ""
        _, epoch = station_of(told.origin)
        since = (entry for of, entry in restored.items() if not of.leads_to(epoch))
        begun = min(since, default=None) if tree.log == OWN else None
        if begun is None or told.size <= begun:
            if fits(self._found, tree, told, 0, "anchor") and begun is None:
                self._require_kept(tree, told, signed)
            return ""
        if signed[OWN] > begun:
            # whoever holds the station's key signed for what came after
            what = lost(told.size - begun)
            return f"{what} when the registry was restored from a backup (entry {begun})."
        sentence = (
            f"The registry says that it was restored (entry {begun}), and nobody signed for"
            f" that; {told.size - begun} entries of before are gone."
        )
        self._found.add("cut", sentence, OWN, begun)
        return ""

    def _require_kept(self, tree: Tree, told: Checkpoint, signed: dict[str, int]) -> None:
        """Say that a checkpoint was taken out of the file: it is kept there before elsewhere."""
        if told.size > signed[tree.log]:
            sentence = f"The checkpoint of size {told.size} is no longer in the registry."
            self._found.add("checkpoint", sentence, tree.log)

    def _opened(self, note: str) -> Checkpoint:
        """Return a checkpoint that a station of this fleet signed. Raises IntegrityError."""
        told = parse(note)
        number, _ = station_of(told.origin)
        if number is None:
            raise IntegrityError("It is by no station of this registry.")
        return open_checkpoint(note, self._key(number))

    def _key(self, number: int) -> bytes:
        """Return the key of a station that the fleet certified. Raises IntegrityError."""
        if number not in self._keys:
            row = self._session.get(StationRow, number)
            if row is None:
                raise IntegrityError("It is by no station of this registry.")
            station = certificate.from_der(row.certificate)
            certificate.verify_station(
                number, station, certificate.from_der(self._fleet.certificate)
            )
            self._keys[number] = certificate.public_key_of(station)
        return self._keys[number]

    def _require_of(self, tree: Tree, told: Checkpoint) -> None:
        """Raise IntegrityError unless a checkpoint is one of that log."""
        number, epoch = station_of(told.origin)
        if number is None or told.origin != origin_of(self._fleet.certificate, number, epoch):
            raise IntegrityError("It is that of another fleet.")
        is_of = number == self._fleet.station if tree.log == OWN else told.origin == tree.log
        if not is_of:
            raise IntegrityError("It is that of another log.")
        own = epoch_of(self._fleet)
        if tree.log == OWN and epoch.number > own.number:
            raise IntegrityError(
                f"It was signed after a restore (epoch {epoch.number}), and this file is of before."
            )
        if tree.log == OWN and not epoch.leads_to(own):
            raise IntegrityError(
                f"It was signed in another restored file ({told.origin}), which goes on beside this"
                " one."
            )


def covered(
    found: Findings, tree: Tree, kept: Iterable[Row[str, int, str]],
    opened: Callable[[str], Checkpoint],
) -> int:  # fmt: skip
    """Check the checkpoints that are kept beside a log; return how many entries a good one covers.

    kept: (origin, size, note), by size. opened: a note that is one of that log, or IntegrityError.
    """
    signed = 0
    for origin, size, note in kept:
        try:
            told = opened(note)
            if (told.origin, told.size) != (origin, size):
                raise IntegrityError("It is kept as another one.")
        except IntegrityError as problem:
            what = f"The checkpoint of size {size} is not good: {problem.sentence}"
            found.add("checkpoint", what, tree.log)
            continue
        if fits(found, tree, told, signed, "checkpoint"):
            signed = told.size
    return signed


def fits(found: Findings, tree: Tree, told: Checkpoint, after: int, code: str) -> bool:
    """Say whether a log still begins with what was signed, and write it down if not.

    after: how many entries an earlier checkpoint covers. code: "checkpoint", or "anchor" for one
    that was kept elsewhere.
    """
    whose = "a checkpoint" if code == "checkpoint" else "a checkpoint kept elsewhere"
    if told.size > tree.size:
        sentence = (
            f"The log was cut off, or is an older copy: {whose} covers {told.size} entries,"
            f" here are {tree.size}."
        )
        found.add("cut", sentence, tree.log, tree.size)
        return False
    if told.root == tree.roots[told.size]:
        return True
    if not found.begins_before(tree.log, told.size):
        sentence = (
            f"Somewhere from entry {min(after, told.size)} to {told.size - 1} the log is not"
            f" what {whose} says of it."
        )
        found.add(code, sentence, tree.log)
    return False


def lost(count: int) -> str:
    """Return how a remark begins on entries that a backup did not have."""
    return "1 entry was lost" if count == 1 else f"{count} entries were lost"


def size_told(note: str) -> int:
    """Return the size that a checkpoint tells of, -1 if it is none."""
    try:
        return parse(note).size
    except IntegrityError:
        return -1


def station_of(origin: str) -> tuple[int | None, Epoch]:
    """Return (station, epoch) of the origin of a station's log; None if it is none."""
    found = _ORIGIN.fullmatch(origin)
    epoch = Epoch.parse(found[2] or "") if found else None
    return (int(found[1]), epoch) if found and epoch is not None else (None, NEVER_RESTORED)
