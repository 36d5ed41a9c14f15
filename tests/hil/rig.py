"""What every rig offers, virtual or not, and which rig a flag means."""

from collections.abc import Callable
from typing import Any, Protocol

from fanal.serial_port import find_port

from tests.hil.ears import Ears
from tests.hil.options import Options, is_virtual
from tests.hil.person import Person
from tests.hil.virtual import VirtualRig
from tests.hil.wired import WiredRig


class Rig(Protocol):
    """One beacon, and what can be done to it.

    name: as the flag has it. port: what tools open. can: of "squeeze", "power", "reset" (a line
    that resets it), "wake" (some way to get it out of deep sleep), "jump" (time need not be sat
    through). ears: None if nothing listens. All times are of the rig's own clock.
    """

    name: str
    can: frozenset[str]
    ears: Ears | None

    @property
    def port(self) -> str: ...
    def open(self) -> None: ...
    def close(self) -> None: ...
    def now_ms(self) -> int: ...
    def wait_until(self, is_so: Callable[[], Any], timeout_s: float) -> bool: ...
    def let_pass(self, seconds: float) -> None: ...
    def squeeze(self, curve: str) -> int: ...
    def release(self) -> None: ...
    def reset(self) -> None: ...
    def power(self, is_on: bool) -> None: ...


def rig_for(beacon: str, options: Options, person: Person | None) -> Rig:
    """Return the rig of one --beacon. Raises DeviceError: no such port, no such MAC address."""
    if is_virtual(beacon):
        return VirtualRig(beacon, radio=options.radio_of(beacon), is_real_time=options.real_time)
    return WiredRig(beacon, find_port(beacon), options, person)
