"""How long flashing takes, beside the plain tools on the same bytes and the same serial lines.

    python bench/flashing.py [--app-kb 512] [--baud 460800] [--boards 8] [--runs 3]

One run: a blank virtual board gets the image with `esptool write-flash` and the files with
`mpremote fs cp`, which is what a person would type; another one gets the same with `fanal flash`;
then all boards at once with `fanal flash --all`. Lines are throttled to the baud rate each way.
Ratios are what counts; the seconds are this computer's.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from fanal import esp_image, firmware_image
from fanal.chips import CHIPS
from fanal.image_store import ImageStore
from fanal.sim.chip import PROMPT
from fanal.sim.synthetic import synthetic_image
from fanal.sim.world import World
from surroundings import description

KINDS = ("esp32", "esp32c3", "esp32s3")
RESULTS = Path(__file__).with_name("results") / "flashing.json"


async def run(*command: str, env: dict[str, str] | None = None, cwd: Path | None = None) -> float:
    """Run a program to its end, which must be good, and return its seconds."""
    began_s = time.monotonic()
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", *command, env=env, cwd=cwd, stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await child.communicate()
    if child.returncode:
        sys.exit(f"{command[0]} failed:\n{output.decode()}")
    return time.monotonic() - began_s


async def plain(world: World, image: Path, firmware: Path, baud: int) -> dict[str, float]:
    """Return the seconds of each plain tool on a blank board; its first start is not counted."""
    board = world.add_board("peer", KINDS[1], blank=True)
    offset, port = hex(CHIPS[board.chip].image_offset), board.port
    flash = await run(
        "esptool", "--port", port, "--baud", str(baud), "write-flash", offset, str(image)
    )
    await world.wait_until(lambda: board.state == PROMPT)
    words = ["lib", "boot.py", "main.py"]
    copy = await run("mpremote", "connect", port, "fs", "cp", "-r", *words, ":/", cwd=firmware)
    return {"esptool": flash, "mpremote": copy}


async def measure(arguments: argparse.Namespace, folder: Path) -> dict[str, list[float]]:
    """Return seconds by name, one for each run."""
    store = ImageStore(folder / "images")
    files = {}
    for chip in KINDS:
        image = esp_image.read(synthetic_image(chip, app_bytes=arguments.app_kb << 10))
        store.keep(image)
        files[chip] = folder / f"{chip}.bin"
        files[chip].write_bytes(esp_image.with_vault(image))
    firmware = firmware_image.locate().folder
    found: dict[str, list[float]] = {}
    for number in range(arguments.runs):
        async with World(hands=True, baud=arguments.baud, seed=number) as world:
            env = {**os.environ, "FANAL_IMAGES": str(store.folder)}
            tools = await plain(world, files[KINDS[1]], firmware, arguments.baud)
            one = world.add_board("one", KINDS[1], blank=True)
            single = await run("fanal", "flash", "--port", one.port, env=env)
            again = await run("fanal", "flash", "--port", one.port, env=env)
            many = [
                world.add_board(f"b{i}", KINDS[i % len(KINDS)], blank=True)
                for i in range(arguments.boards)
            ]
            env["FANAL_PORTS"] = " ".join(board.port for board in many)
            together = await run("fanal", "flash", "--all", env=env)
        seconds = {**tools, "fanal flash": single, "again": again, "all": together}
        for name, value in seconds.items():
            found.setdefault(name, []).append(value)
    return found


def report(arguments: argparse.Namespace, found: dict[str, list[float]]) -> dict[str, object]:
    """Print the table and return what is kept of it."""
    median = {name: statistics.median(values) for name, values in found.items()}
    tools = median["esptool"] + median["mpremote"]
    ratios = {
        "one board / esptool + mpremote": median["fanal flash"] / tools,
        f"{arguments.boards} boards at once / one board": median["all"] / median["fanal flash"],
        "a board that is right / one board": median["again"] / median["fanal flash"],
    }
    size = sum(firmware_image.locate().manifest.sizes.values())
    print(f"app {arguments.app_kb} KB, firmware {size} bytes, lines at {arguments.baud} baud")
    for name, value in median.items():
        spread = f"{min(found[name]):.2f} to {max(found[name]):.2f}"
        print(f"  {name:14} {value:7.2f} s   ({spread})")
    for name, value in ratios.items():
        print(f"  {value:5.2f}  {name}")
    return {"seconds": median, "ratios": ratios, **vars(arguments), "machine": description()}


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--app-kb", type=int, default=512)
    parser.add_argument("--baud", type=int, default=460800)
    parser.add_argument("--boards", type=int, default=8)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fanal-bench-") as folder:
        found = asyncio.run(measure(arguments, Path(folder)))
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(report(arguments, found), indent=1) + "\n")


if __name__ == "__main__":
    main()
