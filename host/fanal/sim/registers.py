"""The registers of a chip that a flashing tool reads: identity, fuses, clock, and its SPI flash.

Addresses and bit positions are those of the chips' technical reference manuals. Every other
address reads as what was last written there, 0 at first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

# JEDEC id of the flash: GigaDevice, 4 MB; its SFDP header names the maker once more at 0x10
_FLASH_ID = bytes.fromhex("c84016")
_SFDP = b"SFDP" + bytes.fromhex("060100ff00060110300000ffc8000103") + b"\xff" * 0xEC
_CRYSTAL_HZ = 40_000_000

_MAGIC_AT = 0x40001000
_SPI_USER = 1 << 18
_READ_ID, _READ_SFDP = 0x9F, 0x5A


@dataclass(frozen=True)
class Silicon:
    """Where a kind of chip has what, as addresses; offsets where they say so."""

    image_id: int
    magic: int
    has_security_info: bool
    spi: int  # base address of the SPI controller
    spi_user2: int  # offsets within it
    spi_data: int
    is_address_left: bool  # the SPI address fills its register from the top
    clock_divider: int
    mac: tuple[int, int]  # addresses of its last four and its first two bytes
    strap: int  # the register that tells how it was started
    words: dict[int, int]  # what is fixed
    watchdog: int | None = None


_ESP32_FUSES = 0x3FF5A000
_C3_FUSES, _S3_FUSES, _C6_FUSES = 0x60008844, 0x60007044, 0x600B0844

SILICON = {
    "esp32": Silicon(  # ESP32-D0WD-V3, revision 3.1
        0, 0x00F01D83, False, 0x3FF42000, 0x24, 0x80, True, 0x3FF40014,
        (_ESP32_FUSES + 4, _ESP32_FUSES + 8), 0x3FF44038,
        {
            _ESP32_FUSES + 0x0C: 1 << 15 | 1 << 13 | 1 << 9,
            _ESP32_FUSES + 0x10: 1100 << 8 & 0x1F00 | 40,  # 40: what the calibration counts in
            _ESP32_FUSES + 0x14: 1 << 24 | 1 << 20,
            0x3FF6607C: 1 << 31,
            0x3FF5F06C: _CRYSTAL_HZ // 15625 << 7,  # the clock as the ROM measured it
        },
    ),
    "esp32c3": Silicon(  # QFN32, revision 0.4, 4 MB in the package
        5, 0x1B31506F, True, 0x60002000, 0x20, 0x58, False, 0x60000014,
        (_C3_FUSES, _C3_FUSES + 4), 0x60004038,
        {_C3_FUSES + 0x0C: 4 << 18 | 1 << 27, _C3_FUSES + 0x10: 2},
        watchdog=0x60008090,
    ),
    "esp32s3": Silicon(  # QFN56, revision 0.2
        9, 0x00000009, True, 0x60002000, 0x20, 0x58, False, 0x60000014,
        (_S3_FUSES, _S3_FUSES + 4), 0x60004038,
        {_S3_FUSES + 0x0C: 2 << 18},
        watchdog=0x60008098,
    ),
    "esp32c6": Silicon(  # QFN32, revision 0.1, 4 MB in the package
        13, 0x2CE0806F, True, 0x60003000, 0x20, 0x58, False, 0x60000014,
        (_C6_FUSES, _C6_FUSES + 4), 0x60091038,
        {_C6_FUSES + 0x0C: 1 << 18 | 1 << 24, _C6_FUSES + 0x10: 1},
        watchdog=0x600B1C00,
    ),
}  # fmt: skip


class Registers:
    """The address space of one chip as the loader's READ_REG and WRITE_REG see it.

    mac: 6 bytes. on_watchdog: called when a program lets the RTC watchdog reset the chip.
    """

    def __init__(self, silicon: Silicon, mac: bytes, on_watchdog: Callable[[], None]) -> None:
        self.silicon = silicon
        self.baud = 115200
        self._on_watchdog = on_watchdog
        low, high = silicon.mac
        self._words = {
            **silicon.words,
            _MAGIC_AT: silicon.magic,
            low: int.from_bytes(mac[2:], "big"),
            high: int.from_bytes(mac[:2], "big") | _beside_mac(silicon, mac) << 16,
        }

    def read(self, address: int) -> int:
        """Return the 32-bit word at `address`."""
        if address == self.silicon.clock_divider:
            return _CRYSTAL_HZ // self.baud
        return self._words.get(address, 0)

    def write(self, address: int, value: int, mask: int) -> None:
        """Write the bits of `mask`; what cannot be written (fuses, ROM) stays as it is."""
        silicon = self.silicon
        if address in silicon.words or address in (*silicon.mac, _MAGIC_AT):
            return
        self._words[address] = self._words.get(address, 0) & ~mask | value & mask
        if address == silicon.spi and value & mask & _SPI_USER:
            self._perform_spi()
        if address == silicon.watchdog and value & mask & 1 << 31:
            self._on_watchdog()

    def set_strap(self, is_download: bool) -> None:
        """Show in the strap register how the chip was started."""
        self._words[self.silicon.strap] = 0 if is_download else 0xFFFF

    def _perform_spi(self) -> None:
        """Send the command that was set up to the flash, and have its answer in the data word."""
        silicon = self.silicon
        base = silicon.spi
        command = self.read(base + silicon.spi_user2) & 0xFF
        address = self.read(base + 4) >> (8 if silicon.is_address_left else 0) & 0xFFFFFF
        answer = 0
        if command == _READ_ID:
            answer = int.from_bytes(_FLASH_ID, "little")
        elif command == _READ_SFDP:
            answer = int.from_bytes(_SFDP[address : address + 4], "little")
        self._words[base + silicon.spi_data] = answer
        self._words[base] &= ~_SPI_USER


def _beside_mac(silicon: Silicon, mac: bytes) -> int:
    """Return the 16 bits above a MAC's first two bytes: a check, or what makes it an EUI-64."""
    if silicon.image_id != 0:
        return 0xFFFE if silicon.image_id == 13 else 0
    check = 0
    for byte in mac:  # CRC-8, polynomial 0x8C, reflected
        check ^= byte
        for _ in range(8):
            check = check >> 1 ^ (0x8C if check & 1 else 0)
    return check
