"""What goes wrong on a board's line and in its chip, when somebody asks for it.

Counts of bytes are over both directions together, from the moment the fault was set.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from fanal.error import UsageError
from fanal.sim.flash import SECTOR, SIZE
from fanal.sim.registers import SILICON

TO_CHIP, TO_HOST = "to chip", "to host"

DIRECTIONS = {"in": TO_CHIP, "out": TO_HOST}  # as seen from the chip

NOISE, LOSS, UNPLUG, RESET = "noise", "loss", "unplug", "reset"
BROWN_OUT, SLOW, BAD_BLOCK, WRONG_CHIP, NONE = (
    "brown-out", "slow", "bad-block", "wrong-chip", "none",
)  # fmt: skip
# kind -> what it is, and the values of which it needs one
KINDS: dict[str, tuple[str, tuple[str, ...]]] = {
    NOISE: ("a bit flips, every so many bytes or in a share of them", ("every", "rate")),
    LOSS: ("a byte is lost, every so many or a share of them", ("every", "rate")),
    UNPLUG: ("the port vanishes after so many bytes; `plug` brings it back", ("at",)),
    RESET: ("the chip resets after so many bytes", ("at",)),
    BROWN_OUT: ("the supply dips at that flash operation from now on; the chip resets", ("at",)),
    SLOW: ("the line runs at this speed", ("baud",)),
    BAD_BLOCK: ("the sector at this address takes no erase and no write", ("at",)),
    WRONG_CHIP: ("the chip is one of another kind", ("chip",)),
    NONE: ("nothing goes wrong any more", ()),
}


@dataclass
class _Wear:
    """One of noise and loss: every so many bytes, or a share of all."""

    every: int = 0
    rate: float = 0.0
    counted: int = 0

    def strikes(self, dice: random.Random) -> bool:
        self.counted += 1
        if self.every and self.counted % self.every == 0:
            return True
        return bool(self.rate) and dice.random() < self.rate


@dataclass
class Faults:
    """The faults of one board. seed: of those that come by chance.

    on_unplug, on_reset: called when their byte has passed. on_brown_out: takes the flash operation,
    counted from 0, at which the supply is to dip; None for never. A direction of None means both.
    """

    seed: int = 0
    slow_baud: int | None = None
    chip: str | None = None  # what the chip is instead
    bad_sectors: set[int] = field(default_factory=set)
    on_unplug: Callable[[], None] = lambda: None
    on_reset: Callable[[], None] = lambda: None
    on_brown_out: Callable[[int | None], None] = lambda _: None

    def __post_init__(self) -> None:
        self._dice = random.Random(self.seed)
        self._noise = self._loss = _Wear()
        self._direction: str | None = None
        self._passed = 0
        self._unplug_at: int | None = None
        self._reset_at: int | None = None

    def set(
        self,
        kind: str,
        *,
        at: int = 0,
        every: int = 0,
        rate: float = 0.0,
        baud: int = 0,
        chip: str = "",
        direction: str | None = None,
    ) -> None:
        """Set one of `KINDS`. Raises UsageError if what it needs is not given."""
        if kind not in KINDS:
            raise UsageError(f"There is no fault {kind}.", f"There are: {', '.join(KINDS)}.")
        given = {"at": at, "every": every, "rate": rate, "baud": baud, "chip": chip}
        needs = KINDS[kind][1]
        if needs and kind != BROWN_OUT and not any(given[name] for name in needs):
            raise UsageError(f"{kind} needs --{' or --'.join(needs)}.")
        deeds: dict[str, Callable[[], None]] = {
            NOISE: lambda: self.noise(every, rate, direction),
            LOSS: lambda: self.lose(every, rate, direction),
            UNPLUG: lambda: self.unplug_after(at),
            RESET: lambda: self.reset_after(at),
            BROWN_OUT: lambda: self.on_brown_out(at),
            SLOW: lambda: self.slow(baud),
            BAD_BLOCK: lambda: self.bad_block(at),
            WRONG_CHIP: lambda: self.wrong_chip(chip),
            NONE: self.clear,
        }
        deeds[kind]()

    def clear(self) -> None:
        """Let nothing go wrong any more."""
        self.on_brown_out(None)
        self.slow_baud = self.chip = self._unplug_at = self._reset_at = None
        self.bad_sectors.clear()
        self._noise, self._loss, self._direction = _Wear(), _Wear(), None

    def noise(self, every: int = 0, rate: float = 0.0, direction: str | None = None) -> None:
        """Flip a bit in every so many bytes, or in a share of them."""
        self._noise, self._direction = _Wear(every, rate), direction

    def lose(self, every: int = 0, rate: float = 0.0, direction: str | None = None) -> None:
        """Lose every so manieth byte, or a share of them."""
        self._loss, self._direction = _Wear(every, rate), direction

    def unplug_after(self, count: int) -> None:
        """Take the port away after so many more bytes."""
        self._unplug_at = self._passed + count

    def reset_after(self, count: int) -> None:
        """Reset the chip after so many more bytes."""
        self._reset_at = self._passed + count

    def slow(self, baud: int) -> None:
        """Let the line run at this speed at most."""
        if baud < 10:
            raise UsageError("A line needs 10 baud at least.")
        self.slow_baud = baud

    def bad_block(self, address: int) -> None:
        """Let the sector at `address` keep what it holds."""
        if not 0 <= address < SIZE:
            raise UsageError(f"There is no flash at 0x{address:x}.")
        self.bad_sectors.add(address // SECTOR * SECTOR)

    def wrong_chip(self, chip: str) -> None:
        """Let the chip be another one."""
        if chip not in SILICON:
            raise UsageError(f"There is no chip {chip}.", f"There are: {', '.join(SILICON)}.")
        self.chip = chip

    def bend(self, direction: str, data: bytes) -> Iterator[bytes]:
        """Yield what arrives of `data`; what a fault at a byte does happens between the pieces."""
        while data:
            count = len(data)
            for at in (self._unplug_at, self._reset_at):
                if at is not None:
                    count = min(count, max(at - self._passed, 0))
            piece, data = data[:count], data[count:]
            self._passed += count
            if piece:
                yield self._worn(direction, piece)
            if self._unplug_at is not None and self._passed >= self._unplug_at:
                self._unplug_at = None
                self.on_unplug()
                return
            if self._reset_at is not None and self._passed >= self._reset_at:
                self._reset_at = None
                self.on_reset()

    def _worn(self, direction: str, data: bytes) -> bytes:
        if self._direction not in (None, direction):
            return data
        if not (self._noise.every or self._noise.rate or self._loss.every or self._loss.rate):
            return data
        out = bytearray()
        for byte in data:
            if self._noise.strikes(self._dice):
                byte ^= 1 << self._dice.randrange(8)
            if not self._loss.strikes(self._dice):
                out.append(byte)
        return bytes(out)
