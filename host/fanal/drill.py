"""Arm a rehearsal on the wire, or take it back: the next squeeze is then marked as a drill."""

from dataclasses import dataclass

from fanal.beacon_lookup import require_attached
from fanal.error import DeviceError, FanalError, ReadBackError, UsageError
from fanal.status import Board, read_status, require_protocol

LONGEST_MINUTES = 60


@dataclass(frozen=True)
class Drill:
    """What is armed. armed_s: 0 if the next squeeze is real."""

    beacon_id: str
    armed_s: int


def arm(board: Board, minutes: int, beacon_id: str | None = None) -> Drill:
    """Arm a drill for the next activation, or `minutes` (1 to 60), whichever comes first.

    beacon_id: the one that must be attached, or None.
    """
    if not 1 <= minutes <= LONGEST_MINUTES:
        raise UsageError(f"A drill is armed for 1 to {LONGEST_MINUTES} minutes.")
    return _set(board, 60 * minutes, beacon_id)


def disarm(board: Board, beacon_id: str | None = None) -> Drill:
    """Take a drill back; fine if none was armed."""
    return _set(board, 0, beacon_id)


def _set(board: Board, seconds: int, beacon_id: str | None) -> Drill:
    status = read_status(board)
    require_protocol(status)
    require_attached(status, beacon_id)
    if seconds and not status.is_provisioned:
        raise DeviceError(
            "This board has no identity yet.", "Give it one with `fanal provision`.",
            code="not_provisioned",
        )  # fmt: skip
    if seconds and status.event is not None:
        raise FanalError(
            "The beacon is in the middle of an event: somebody may need help.",
            "Find out; a drill can be armed when the event is over.",
            code="in_event",
        )
    if seconds:
        board.call("arm_drill", seconds)
    else:
        board.call("disarm_drill")
    after = read_status(board)
    if bool(after.drill_armed_s) != bool(seconds):
        raise ReadBackError(
            "The board does not show the drill as it was set.",
            "Treat the next squeeze as real, and try again.",
        )
    return Drill(after.beacon_id or "?", after.drill_armed_s)
