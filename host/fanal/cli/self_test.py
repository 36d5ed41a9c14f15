"""How `fanal verify --air` gets its self-test: from a person's hand, or by wire."""

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fanal.cli import console, ears

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fanal.air_check import AirCheck
    from fanal.registry import Registry
    from fanal.verify import Verification

_BY_WIRE_S = 30.0
_BY_HAND_S = 120.0
_PATTERN = (
    "Leave it untouched for 12 s. Then squeeze the self-test, slowly and exactly; anything else"
    " may be an alert:",
    "    press 2 s, let go 2 s, tap once, let go 2 s, press 2 s; then hands off.",
)


@dataclass(frozen=True)
class Wanted:
    """How it is begun and heard. air: HOST:PORT of a virtual air; wait_s: None for the usual."""

    is_by_wire: bool
    air: str | None
    adapter: str | None
    rssi_min_dbm: int
    rssi_max_dbm: int
    wait_s: float | None


def hear(
    registry: "Registry",
    roots: "Mapping[int, bytes]",
    port: str,
    wired: "Verification",
    wanted: Wanted,
    on_step: "Callable[[str], None]",
) -> "AirCheck":
    """Check on air what passed on the wire. Raises what `air_check` does.

    roots: station number to F_t, 32 bytes.
    """
    from fanal.air_check import air_check
    from fanal.air_rows import Limits

    async def by_wire() -> None:
        # whatever interrupts us, the thread ends first, and with it the board is handed back
        await asyncio.to_thread(_begin, port)

    async def by_hand() -> None:
        for line in _PATTERN:
            console.note(line)

    usual_s = _BY_WIRE_S if wanted.is_by_wire else _BY_HAND_S
    more: dict[str, Any] = {}
    if not wanted.is_by_wire:
        more["hint"] = "was the pattern exact? Try again, or with --trigger"
    return asyncio.run(
        air_check(
            wired,
            registry,
            roots,
            ears.radio(wanted.air, wanted.adapter),
            by_wire if wanted.is_by_wire else by_hand,
            limits=Limits(wanted.rssi_min_dbm, wanted.rssi_max_dbm, wanted.wait_s or usual_s),
            on_step=on_step,
            **more,
        )
    )


def _begin(port: str) -> None:
    from fanal.board_link import BoardLink

    with BoardLink(port, on_waiting=console.ask_for_reset) as board:
        board.call("begin_self_test")
