"""What tests of flashing share: images for every chip, and boards under the real tools."""

import asyncio
import os
import signal
import sys

from fanal import esp_image, firmware_image
from fanal.board_link import BoardLink
from fanal.flash import flash
from fanal.flash_plan import Flashed, Plan, Progress
from fanal.partition_table import VAULT
from fanal.provision import Request, provision
from fanal.sim.synthetic import synthetic_image

REQUEST = Request("shelter-3")


class PaperImages:
    """An image for every chip, of one version: the one that virtual boards have when new.

    seed: another build of the same version.
    """

    def __init__(self, version: str = "v1.28.0", app_bytes: int = 16 << 10, seed: int = 0) -> None:
        self._how = {"version": version, "app_bytes": app_bytes, "seed": seed}

    def for_chip(self, chip):
        return esp_image.read(synthetic_image(chip.name, **self._how))


async def flashed(board, images=None, **plan) -> Flashed:
    """Flash a board with real esptool and mpremote, as the command does."""
    firmware = firmware_image.locate()
    images = images or PaperImages()
    return await asyncio.to_thread(flash, board.port, images, firmware, Plan(**plan), Progress())


async def provisioned(board, fleet, request=REQUEST):
    def give():
        with BoardLink(board.port) as link:
            return provision(link, fleet.station, fleet.registry, request)

    return await asyncio.to_thread(give)


async def status(board):
    def ask():
        with BoardLink(board.port) as link:
            return link.call("status")

    return await asyncio.to_thread(ask)


async def is_ready(board, fleet):
    """It takes an identity, so everything of it works."""
    await provisioned(board, fleet)
    answer = await status(board)
    assert (answer["vault"], answer["provisioned"], answer["faults"]) == ("partition", True, [])


def vault(board) -> bytes:
    return board.flash_bytes()[VAULT.address : VAULT.end]


async def fanal(world, *words, env=None, kill_after=None):
    """Run the command and return (exit code, what it printed); None if it was killed.

    kill_after: with SIGKILL, after so many seconds. esptool ends when nobody reads what it says.
    """
    with world.at_pace():
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "fanal", *map(str, words), env=env,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            output, _ = await asyncio.wait_for(child.communicate(), kill_after)
        except TimeoutError:
            os.killpg(child.pid, signal.SIGKILL)
            await child.wait()
            return None, ""
        return child.returncode, output.decode()
