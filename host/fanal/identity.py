"""The identity on a board: made, erased or found, and proved, before anything relies on it."""

from collections.abc import Callable

from fanal.beacon_name import shown
from fanal.error import FanalError, IntegrityError, ReadBackError, UsageError
from fanal.registry import RETIRED, Registry
from fanal.status import Board, Status, prove, read_status, require_own_id, require_protocol

CORRUPT = "corrupt"  # the id by which a vault that cannot be read is wiped
VAULT_CORRUPT = "vault_corrupt"  # the fault that a board reports then


def identified(
    board: Board,
    registry: Registry,
    *,
    wipe: str | None,
    replace: bool,
    on_step: Callable[[str], None],
) -> tuple[Status, bytes]:
    """Return the status of a board that has a key, and that key (32 bytes), which it has proved.

    wipe: the id of an identity to be erased first. replace: the registry may hold another one for
    this board. Raises FanalError for a board in an event or with a drill, IntegrityError.
    """
    status = _ready(board, registry, wipe)
    if status.public_key is None:
        if not replace:
            _require_free_board(registry, status)
        on_step("The board makes its key")
        board.call("create_identity")
        status = _ready(board, registry, wipe)
    if status.public_key is None:
        raise ReadBackError("The board made a key and shows none.", "Run the command again.")
    on_step("The board proves that it holds its key")
    prove(board, status.public_key)
    return status, status.public_key


def _ready(board: Board, registry: Registry, wipe: str | None) -> Status:
    """Return the status of a board that may be provisioned now, wiped if that was asked for."""
    status = read_status(board)
    require_protocol(status)
    if status.event is not None:
        raise FanalError(
            "The beacon is in the middle of an event: somebody may need help.",
            "Find out; if it is nothing, let it end, then provision.",
            code="in_event",
        )
    if status.drill_armed_s:
        raise FanalError(
            "A drill is armed on this beacon.", "Take it back with `fanal drill --disarm`.",
            code="drill_armed",
        )  # fmt: skip
    require_own_id(status)
    if wipe is not None:
        status = _wiped(board, registry, status, wipe)
    if VAULT_CORRUPT in status.faults:
        raise IntegrityError(
            "The board's vault holds a record that cannot be read.",
            f"Erase it with `--wipe {CORRUPT}`; the board then makes a new key.",
            code=VAULT_CORRUPT,
        )
    return status


def _wiped(board: Board, registry: Registry, status: Status, beacon_id: str) -> Status:
    """Erase the identity `beacon_id` from the board, unless an earlier run did; return its status.

    A vault that cannot be read has the id CORRUPT.
    """
    present = CORRUPT if VAULT_CORRUPT in status.faults else status.beacon_id
    if present != beacon_id:
        replaced = registry.find(beacon_id)
        if not status.is_provisioned or (replaced is not None and replaced.state == RETIRED):
            return status
        raise UsageError(
            f"The board is {_named(present)}, not {_named(beacon_id)}; nothing was erased.",
            "Check the label; --wipe needs the id of the identity to erase.",
        )
    board.call("wipe", beacon_id)
    after = read_status(board)
    if after.public_key is not None or VAULT_CORRUPT in after.faults:
        raise ReadBackError("The board still holds what it erased.", "Flash it anew.")
    return after


def _require_free_board(registry: Registry, status: Status) -> None:
    """Refuse before the board makes a key that its registered identity would forbid."""
    other = registry.active_on(status.mac)
    if other is not None:
        name = shown(other.beacon_id)
        raise FanalError(
            f"This board is registered as {name} ({other.site}) but holds no key.",
            f"If it was erased, retire {name} and make a new key with --replace.",
            code="mac_in_use",
        )


def _named(identity: str | None) -> str:
    """Return an id as people read it; CORRUPT is none, and neither is what a board lacks."""
    if identity is None:
        return "without an identity"
    return identity if identity == CORRUPT else f"beacon {shown(identity)}"
