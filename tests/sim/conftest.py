"""Boards that run a script of the test in place of the firmware, under virtual time."""

from collections.abc import Callable, Coroutine
from typing import Any

import pytest

pytest.importorskip("bumble", reason="needs the extra `sim`")

from fanal import flash
from fanal.sim.clock import run_virtual
from fanal.sim.world import World


@pytest.fixture
async def world():
    """A bench on which somebody presses BOOT and RESET; a file may have another one."""
    async with World(hands=True) as world:
        yield world


@pytest.fixture
def impatient(monkeypatch):
    """A virtual board starts at once or never."""
    monkeypatch.setattr(flash, "_BOOT_S", 3.0)


@pytest.fixture
def folder(tmp_path):
    """Return a function that makes a firmware folder with `main` as main.py."""

    def make(main: str, boot: str = "") -> Any:
        place = tmp_path / "scripted"
        place.mkdir(exist_ok=True)
        (place / "main.py").write_text(main)
        (place / "boot.py").write_text(boot)
        return place

    return make


@pytest.fixture
def live(folder):
    """Return a function that gives a board `main` to run and runs `act(world, board)`."""

    def run(
        main: str,
        act: Callable[..., Coroutine[Any, Any, Any]],
        *,
        chip: str = "esp32c3",
        **settings: Any,
    ) -> Any:
        async def inside() -> Any:
            async with World(firmware=folder(main), boot_ms=0, **settings) as world:
                return await act(world, world.add_board("b1", chip))

        return run_virtual(inside())

    return run


@pytest.fixture
def printed(live):
    """Return a function that runs a script on a board to its prompt and returns what it said."""

    def run(main: str, chip: str = "esp32c3") -> list[str]:
        async def act(world: World, board: Any) -> list[str]:
            try:
                await world.wait_until(lambda: ">>> " in board.console_text, 600)
            except TimeoutError:
                pytest.fail(f"no prompt; it printed {board.console_text!r}")
            return board.console_text.split("MicroPython v")[0].split("\r\n")[:-1]

        return live(main, act, chip=chip)

    return run
