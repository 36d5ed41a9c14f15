"""From a board of any state to a proven beacon of a batch: flash, provision, verify, in one go.

Every step is safe to repeat and is recorded when it is completed, so a run that is cut short is
simply run again: what was right is looked at and left alone.
"""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from fanal.batch import DONE, FAILED, INFRA, Batch, Result
from fanal.batch_list import Row
from fanal.beacon_name import shown as shown_id
from fanal.board_link import BoardLink
from fanal.error import BoardLost, FanalError, IntegrityError, UsageError, is_infra
from fanal.firmware_image import FirmwareImage
from fanal.flash import APPEAR_S, flash
from fanal.flash_plan import Flashed, Images, Plan, Progress
from fanal.keyring import Station
from fanal.provision import Request, provision
from fanal.registry import PROVISIONED, VERIFIED, Registry
from fanal.serial_port import come_back
from fanal.status import read_status
from fanal.verify import FAIL, Verification, verify
from fanal.whereabouts import shown


@dataclass(frozen=True)
class Bench:
    """What every board of a sitting is made with. registry: the file; technician: who, in words.

    replace: retire another identity that is registered for a board that was erased. move: take
    beacons that are in service elsewhere into the batch, and to its site.
    """

    images: Images
    firmware: FirmwareImage
    station: Station = field(repr=False)
    registry: Path
    version: str
    technician: str
    plan: Plan
    replace: bool = False
    move: bool = False

    @property
    def firmware_sha256(self) -> str:
        """Return the digest of the firmware's manifest, 64 hex digits."""
        return hashlib.sha256(self.firmware.manifest.to_json().encode()).hexdigest()


@dataclass(frozen=True)
class Deployed:
    """What became of the board on a port.

    result: its row, None if the board never came to one. problem: what stopped it, or None.
    changed: whether anything was done to it.
    """

    port: str
    result: Result | None
    problem: FanalError | None
    changed: bool


@dataclass
class _Board:
    """A board under way. row: once it is known which board it is."""

    began_s: float
    row: Row | None = None


def deploy(port: str, bench: Bench, batch: Batch, progress: Progress | None = None) -> Deployed:
    """Make the board on a port the beacon of its row in the batch. Never raises FanalError.

    The row is taken, and written down, before anything is written to the board.
    """
    progress = progress or Progress()
    board = _Board(time.monotonic())

    def known(mac: str, chip: str, beacon_id: str | None) -> None:
        if beacon_id is not None:
            _require_ours(bench, beacon_id)
        if batch.row_of(mac) is None and not bench.move:
            _require_not_elsewhere(bench, batch, mac)
        board.row = batch.assign(mac, chip)
        if board.row is None:
            raise UsageError(
                "Every row of the batch has its board; this one was not touched.",
                "Begin another batch for it.",
                code="batch_full",
            )

    try:
        flashed = flash(
            port, bench.images, bench.firmware, bench.plan,
            Progress(progress.step, progress.share, known),
        )  # fmt: skip
        assert board.row is not None
        before = batch.results[board.row.number]
        if _is_finished(bench, before, flashed):
            return Deployed(port, before, None, False)
        result = _made(port, bench, batch, board, flashed, progress.step)
        return Deployed(port, result, None, True)
    except FanalError as problem:
        return Deployed(port, _stopped(batch, board, problem), problem, True)


def _require_ours(bench: Bench, beacon_id: str) -> None:
    """Refuse a beacon of another fleet before anything on it is changed."""
    with Registry(bench.registry) as registry:
        if registry.find(beacon_id) is None:
            raise IntegrityError(
                f"This board is beacon {shown_id(beacon_id)}, which is not of this fleet;"
                " it was not touched.",
                "If it belongs to another fleet, use it there. If not, erase it:"
                f" `fanal provision --wipe {beacon_id}`.",
                code="foreign",
            )


def _require_not_elsewhere(bench: Bench, batch: Batch, mac: str) -> None:
    """Refuse a beacon that is in service and not of this batch: it was left on the hub.

    In a batch without a list it may be, if it belongs to the same site.
    """
    with Registry(bench.registry) as registry:
        beacon = registry.active_on(mac)
    if beacon is None or beacon.state not in (PROVISIONED, VERIFIED):
        return
    if batch.grows is not None and batch.grows.site == beacon.site:
        return
    raise UsageError(
        f"This board is beacon {shown_id(beacon.beacon_id)}, in service at"
        f" {shown(beacon.site, beacon.place)}; it was not touched.",
        "Unplug it. If it is to move into this batch, add --move.",
        code="in_service",
    )


def _is_finished(bench: Bench, result: Result, flashed: Flashed) -> bool:
    """Whether an earlier run proved this very beacon, and nothing of it has changed since."""
    if result.outcome != DONE or flashed.changed or flashed.beacon_id is None:
        return False
    with Registry(bench.registry) as registry:
        beacon = registry.find(flashed.beacon_id)
    return (
        beacon is not None
        and beacon.beacon_id == result.beacon_id
        and beacon.mac == flashed.mac
        and beacon.state in (PROVISIONED, VERIFIED)
        and beacon.revocation is None
    )


def _made(
    port: str,
    bench: Bench,
    batch: Batch,
    board: _Board,
    flashed: Flashed,
    on_step: Callable[[str], None],
) -> Result:
    assert board.row is not None
    row = board.row
    batch.step(
        row.number, "flashed", mac=flashed.mac, chip=flashed.chip, tool=bench.version,
        technician=bench.technician, station=bench.station.number,
        image_sha256=flashed.image_sha256, firmware_sha256=bench.firmware_sha256,
    )  # fmt: skip
    request = Request(row.site, row.place or None, row.profile, replace=bench.replace)
    on_step("Waiting for the beacon")
    link = BoardLink(come_back(port, flashed.mac, APPEAR_S), appear_s=APPEAR_S)
    with Registry(bench.registry) as registry, link:
        _require_one_board(link, flashed)
        made = provision(link, bench.station, registry, request, on_step=on_step)
        batch.step(row.number, "provisioned", beacon_id=made.beacon_id)
        manifest = bench.firmware.manifest.files
        checked = verify(link, registry, manifest, bench.version, on_step=on_step)
    seconds = round(time.monotonic() - board.began_s, 1)
    if checked.exit_code:
        raise _not_proven(checked)
    return batch.outcome(row.number, DONE, seconds=seconds, step="verified")


def _require_one_board(link: BoardLink, flashed: Flashed) -> None:
    """Refuse a board that came into the place of the one that was flashed: it has its own row."""
    mac = read_status(link).mac
    if mac != flashed.mac:
        raise BoardLost(
            f"Another board answers than was flashed: {mac}, not {flashed.mac}.",
            "Connect one board at a time to this port, and start again.",
            code="other_board",
        )


def _not_proven(checked: Verification) -> FanalError:
    failed = [f"{row.name}: {row.reason}" for row in checked.checks if row.outcome == FAIL]
    return FanalError(
        f"{shown_id(checked.beacon_id)} did not pass: {'; '.join(failed)}.",
        "Do not install it. Put it right and run the command again.",
        checked.exit_code,
        code="not_proven",
    )


def _stopped(batch: Batch, board: _Board, problem: FanalError) -> Result | None:
    if board.row is None:
        return None
    before = batch.results[board.row.number]
    if is_infra(problem) and before.outcome == DONE:
        return before  # a loose cable takes nothing back that was proven
    outcome = INFRA if is_infra(problem) else FAILED
    seconds = round(time.monotonic() - board.began_s, 1)
    return batch.outcome(board.row.number, outcome, problem.sentence, seconds=seconds)
