"""Blank boards and the tools that flash them, as tests start them."""

import sys

from fanal import esp_image
from fanal.chips import CHIPS
from fanal.sim.chip import ROM
from fanal.sim.synthetic import synthetic_image

ESPTOOL = (sys.executable, "-m", "esptool")
MPREMOTE = (sys.executable, "-m", "mpremote")
# the same esptool, but pyserial's client of RFC 2217 looks for an answer after 1 ms, not after 50:
# that alone is the difference between 2 and 25 s
_LOOK_SOONER = """
import sys, time, types, serial.rfc2217, esptool
serial.rfc2217.time = types.SimpleNamespace(time=time.time, sleep=lambda _: time.sleep(0.001))
esptool._main()
"""
ESPTOOL_SOONER = (sys.executable, "-c", _LOOK_SOONER)


def image(chip, **of_image):
    """Return what a board of this kind is flashed with, the vault in its table."""
    return esp_image.with_vault(esp_image.read(synthetic_image(chip, **of_image)))


def image_file(folder, chip, **of_image):
    """Write it to a file; return its path and address as words of a command."""
    path = folder / f"{chip}.bin"
    path.write_bytes(image(chip, **of_image))
    return hex(CHIPS[chip].image_offset), str(path)


async def enter_rom(world, board):
    """Bring a board into its ROM, as a person does with its two buttons."""
    board.strap(True)
    board.reset()
    await world.wait_until(lambda: board.state == ROM)
    board.strap(False)


async def esptool(world, board, *words, port=None):
    """Run real esptool at the terminal of a board in its ROM; nothing resets it."""
    stay = ("--before", "no-reset", "--after", "no-reset")
    return await world.run_client(*ESPTOOL, "--port", port or board.port, *stay, *words)
