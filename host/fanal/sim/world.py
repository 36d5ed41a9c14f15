"""The world: boards, an air and a clock in one asyncio process.

    async with World() as world:
        board = world.add_board("north")
        board.squeeze("strong_hold")
        await world.wait_until(lambda: world.air.frames > 0)

Tests drive it in-process, `fanal sim start` serves it (`control.py`). Under `run_virtual` its
time is virtual. A folder keeps its boards: a second world in the same folder resumes them.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self

from fanal import firmware_image
from fanal.sim import clock, flash_content
from fanal.sim.air import Air
from fanal.sim.board import Bench, Board, Identity
from fanal.sim.chip import BOOT_MS, HEAP_BUDGET, WIRING, WITH_FIRMWARE
from fanal.sim.controller import AirServer
from fanal.sim.interpreter import Hatchery
from fanal.sim.openings import Openings

_STATE = "world.json"
# chip -> heap found at a first boot; the same for every world of this process with that budget
_HEAPS: dict[int, dict[str, int]] = {}


@dataclass(frozen=True)
class Outcome:
    """What a client outside the process ended with."""

    exit_code: int
    output: str


class World:
    """A bench of virtual boards. See the module's text for its use.

    directory: where boards are kept, a temporary folder if None. seed: of everything random.
    boot_ms: what a chip takes from power to its program. firmware: the folder of an image, the
    installed one if None; "" for boards that hold nothing but an image. baud: the speed of all
    serial lines, by the world's clock; None for no limit. hands: whether somebody presses BOOT and
    RESET for tools at a pseudo-terminal (hand.py).
    """

    def __init__(
        self,
        directory: Path | None = None,
        *,
        seed: int = 0,
        air_port: int = 0,
        boot_ms: int = BOOT_MS,
        heap_budget: int = HEAP_BUDGET,
        firmware: Path | str | None = None,
        baud: int | None = None,
        hands: bool = False,
    ) -> None:
        self.baud = baud
        self._has_hands = hands
        self.seed, self.boot_ms, self.heap_budget = seed, boot_ms, heap_budget
        self.boards: dict[str, Board] = {}
        self._temporary = None
        if directory is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="fanal-sim-")
            directory = Path(self._temporary.name)
        self.directory = directory
        self.air_port = air_port
        self._firmware = firmware

    async def __aenter__(self) -> Self:
        """Open the air and bring the boards of the folder back, powered off."""
        self.clock = clock.of_running_loop()
        self.air = Air(self.seed)
        self._server = AirServer(self.air)
        await self._server.start(self.air_port)
        self._bench = Bench(
            Hatchery(), Openings(), self.clock, self._server.port, self.heap_budget, self.baud,
            self._has_hands, _HEAPS.setdefault(self.heap_budget, {}),
        )  # fmt: skip
        self.directory.mkdir(parents=True, exist_ok=True)
        for kept in self._kept():
            self._assemble(
                Identity(
                    kept["name"], kept["chip"], bytes.fromhex(kept["mac"]), kept["seed"],
                    kept.get("needs_vault", True),
                ),
                flash_content.blank,
            )  # fmt: skip
        return self

    async def __aexit__(self, *_: object) -> None:
        """End everything; what is in flash stays in the folder."""
        for board in self.boards.values():
            board.close()
        await self._server.close()
        self._bench.openings.close()
        self._bench.hatchery.close()
        if self._temporary is not None:
            self._temporary.cleanup()

    @property
    def air_address(self) -> str:
        """HOST:PORT of the air, for `--air` and `scanner_backend`."""
        return f"127.0.0.1:{self._server.port}"

    def add_board(
        self,
        name: str | None = None,
        chip: str = "esp32c3",
        *,
        seed: int | None = None,
        powered: bool = True,
        blank: bool = False,
        stock: bool = False,
    ) -> Board:
        """Add a board, with an image and the firmware in its flash. Raises ValueError.

        blank: with an erased flash. stock: with MicroPython as published, so without a vault; it
        boots so.
        """
        name = name or self._free_name()
        if name in self.boards:
            raise ValueError(f"there is a board called {name} already")
        if chip not in WIRING:
            raise ValueError(f"no such chip: {chip}; known are {', '.join(WIRING)}")
        if chip not in WITH_FIRMWARE and not (blank or stock):
            raise ValueError(f"there is no firmware for {chip}: it can be blank or stock")
        if not name.replace("-", "").replace("_", "").isalnum():
            raise ValueError("a board's name is letters, digits, - and _")
        seed = self.seed if seed is None else seed
        mac = bytearray(hashlib.sha256(f"mac {seed} {name}".encode()).digest()[:6])
        mac[0] = mac[0] & 0xFC | 0x02  # locally administered, of nobody's range
        identity = Identity(name, chip, bytes(mac), seed, needs_vault=not stock)
        board = self._assemble(identity, partial(self._content, chip, blank, stock))
        self._keep()
        if powered:
            board.power_on()
        return board

    async def run_for(self, seconds: float) -> None:
        """Let time pass."""
        with self.clock.allow(seconds):
            await asyncio.sleep(seconds)

    async def wait_until(self, is_so: Callable[[], Any], timeout_s: float = 60) -> None:
        """Let time pass until `is_so()`. Raises TimeoutError after `timeout_s`, world time."""
        if is_so():
            return
        with self.clock.allow(timeout_s):
            async with asyncio.timeout(timeout_s), self.clock.until(is_so) as future:
                await future

    def at_pace(self) -> AbstractContextManager[None]:
        """Let time run as on the wall while a client outside this process is at work."""
        return self.clock.at_pace()

    async def run_client(self, *command: str) -> Outcome:
        """Run a program, such as mpremote, against this world, time at its ordinary pace."""
        with self.at_pace():
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            output, _ = await process.communicate()
        return Outcome(process.returncode or 0, output.decode(errors="replace"))

    def _assemble(self, identity: Identity, content: Callable[[], bytes]) -> Board:
        """Return the board. content: what a flash that is not there yet is made with."""
        folder = self.directory / identity.name
        folder.mkdir(exist_ok=True)
        chip_file = folder / "flash.bin"
        if not chip_file.exists():
            chip_file.write_bytes(content())
        board = Board(self._bench, identity, folder, self.boot_ms)
        self.boards[identity.name] = board
        return board

    def _content(self, chip: str, blank: bool, stock: bool) -> bytes:
        if blank:
            return flash_content.blank()
        if stock or self._firmware == "":
            return flash_content.with_image(chip, stock=stock)
        image = Path(self._firmware) if self._firmware else firmware_image.locate().folder
        return flash_content.with_firmware(chip, image)

    def _free_name(self) -> str:
        number = len(self.boards) + 1
        while f"b{number}" in self.boards:
            number += 1
        return f"b{number}"

    def _kept(self) -> list[dict[str, Any]]:
        try:
            kept: list[dict[str, Any]] = json.loads((self.directory / _STATE).read_text())["boards"]
        except FileNotFoundError:
            return []
        return kept

    def _keep(self) -> None:
        boards = [
            asdict(board.identity) | {"mac": board.identity.mac.hex()}
            for board in self.boards.values()
        ]
        (self.directory / _STATE).write_text(json.dumps({"boards": boards}, indent=1))
