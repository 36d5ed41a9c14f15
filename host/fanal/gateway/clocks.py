"""The two clocks of a listener, and which run of the steady one this is.

The wall clock may be set, back or forth, at any time; nothing that is decided here depends on it.
It only goes along, for the hub to reckon by when the computer was started anew meanwhile.
"""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fanal.heard import through_suspend_s

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class Clocks:
    """steady_ms: goes on through suspend where the system can, never jumps. wall_ms: Unix time.

    system_boot: the same for as long as the steady clock goes on.
    """

    steady_ms: Callable[[], int]
    wall_ms: Callable[[], int]
    system_boot: str


def of_this_computer() -> Clocks:
    """Return the clocks of this computer.

    Linux names its boot. Elsewhere each run of the program counts as one: what waits through a
    restart of it is then timed by the wall clock.
    """
    try:
        boot = _BOOT_ID.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        boot = ""
    return Clocks(
        lambda: int(1000 * through_suspend_s()),
        # a clock before 1970 has no form on the wire
        lambda: max(0, time.time_ns() // 1_000_000),
        boot or secrets.token_hex(16),
    )
