"""A technician's hand at a board: BOOT and RESET, for a line that has no DTR and RTS.

A pseudo-terminal has none, so a tool cannot bring a chip into its loader by itself. What a person
does then, the hand does: a tool that asks for the loader (SYNC) and finds a program, or nothing,
gets BOOT held and RESET pressed; when the tool has let go of the port, RESET is pressed again.
"""

from __future__ import annotations

from collections.abc import Callable

from fanal.sim.chip import HELD, OFF, ROM

_SYNC = b"\x07\x07\x12\x20UUUU"


class Hand:
    """The hand at one board.

    state: of the board now. press: holds BOOT or not and presses RESET.
    """

    def __init__(self, state: Callable[[], str], press: Callable[[bool], None]) -> None:
        self._state, self._press = state, press
        self._tail = b""
        self._has_pressed = False  # and the chip is not in its loader yet

    def saw(self, data: bytes) -> None:
        """Take what a tool sends, and help if it asks for the loader."""
        recent = self._tail + data
        self._tail = recent[-len(_SYNC) + 1 :]
        state = self._state()
        if state == ROM:
            self._has_pressed = False
        if _SYNC in recent and state not in (ROM, HELD, OFF) and not self._has_pressed:
            self._tail, self._has_pressed = b"", True
            self._press(True)

    def let_go(self) -> None:
        """The tool has closed the port."""
        self._tail, self._has_pressed = b"", False
        if self._state() == ROM:
            self._press(False)
