"""A chip without a program: waiting for a download, or trying in vain to boot.

What it prints is what such a chip prints; what it is asked goes to the serial loader (`rom.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from fanal.sim.chip import HARD
from fanal.sim.flash import Flash, PowerCut
from fanal.sim.registers import SILICON, Registers
from fanal.sim.rom import CRASH, RESET, RUN_APP, Loader

if TYPE_CHECKING:
    from fanal.sim.board import Board

# what each ROM says first; the straps as it prints them, for a download and for the flash
_GREETINGS = {
    "esp32": ("ets Jul 29 2019 12:21:46\r\n", 0x3, 0x13),
    "esp32c3": ("ESP-ROM:esp32c3-api1-20210207\r\nBuild:Feb  7 2021", 0x4, 0xC),
    "esp32s3": ("ESP-ROM:esp32s3-20210327\r\nBuild:Mar 27 2021", 0x0, 0x8),
    "esp32c6": ("ESP-ROM:esp32c6-20220919\r\nBuild:Sep 19 2022", 0x4, 0xC),
}
_DOWNLOAD, _FLASH = "DOWNLOAD(UART0)", "SPI_FAST_FLASH_BOOT"
_POWER_ON, _WATCHDOG = "rst:0x1 (POWERON)", "rst:0x10 (RTCWDT_RTC_RST)"
_LOOP_S = 0.5  # how long a chip tries before its watchdog has it try again


class Download:
    """One board while no program runs on it."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._loader: Loader | None = None

    @property
    def is_listening(self) -> bool:
        """Does the serial loader run?"""
        return self._loader is not None

    def begin(self) -> None:
        """Wait for a download."""
        board = self._board
        board.console.say(greeting(board.silicon))
        self._loader = loader(
            board.silicon, board.identity.mac, board.flash, board.printed, self._leave
        )

    def end(self) -> None:
        """The chip stops or resets."""
        self._loader = None

    def take(self, data: bytes) -> None:
        """Take what came from the host."""
        assert self._loader is not None
        try:
            self._loader.feed(data)
        except PowerCut as cut:
            self._board.power_failed(cut)

    def boot_in_vain(self, lines: Sequence[str], is_first: bool = True) -> None:
        """Print why nothing boots, again and again."""
        board = self._board
        board.console.say(in_vain(board.silicon, lines, is_first))
        board.set_timer("boot loop", _LOOP_S, lambda: self.boot_in_vain(lines, is_first=False))

    def _leave(self, act: str) -> None:
        """Do what the loader was told. But for RUN_APP, the straps count as they last did."""
        if act == RUN_APP:
            self._board.run_app()
            return
        if act == CRASH:
            said = b"Guru Meditation Error: Core  0 panic'ed (Illegal instruction)\r\n"
            self._board.console.say(said)
        self._board.restart(HARD)


def greeting(chip: str) -> bytes:
    """Return what a chip says that waits for a download."""
    hello, straps, _ = _GREETINGS[chip]
    lines = (hello, f"{_POWER_ON},boot:0x{straps:x} ({_DOWNLOAD})", "waiting for download", "")
    return "\r\n".join(lines).encode()


def loader(
    chip: str,
    mac: bytes,
    flash: Flash,
    write: Callable[[bytes], None],
    act: Callable[[str], None],
) -> Loader:
    """Return the loader of a chip that waits for a download.

    act: takes what it has the chip do: `rom.RUN_APP`, `RESET`, `CRASH`.
    """
    registers = Registers(SILICON[chip], mac, on_watchdog=lambda: act(RESET))
    registers.set_strap(is_download=True)
    return Loader(flash, registers, write, act)


def in_vain(chip: str, lines: Sequence[str], is_first: bool) -> bytes:
    """Return what a chip prints that finds nothing to boot, once around its loop."""
    hello, _, straps = _GREETINGS[chip]
    cause = _POWER_ON if is_first else _WATCHDOG
    head = (hello, f"{cause},boot:0x{straps:x} ({_FLASH})")
    return "\r\n".join((*head, *lines, "")).encode()
