"""A technician's sitting on the virtual bench, told as facts that were really observed.

Blank boards of three kinds become beacons by `fanal deploy`, run as a technician runs it: real
esptool against the model of their ROM, real mpremote against the firmware that boots from what was
written. One cable is pulled on the way. Then every beacon is squeezed, and heard.
"""

import asyncio
import json
import os
import secrets
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fanal.keyring import Keyring
from fanal.listen import Recorder, first_keys
from fanal.registry import REGISTRY_FILE, Registry
from fanal.resolver import Resolver
from fanal.sighting import ALERT, Sighting, SignatureVerified
from fanal.sim.board import Board
from fanal.sim.chip import BOOT_LOOP
from fanal.sim.ear import Ear
from fanal.sim.synthetic import synthetic_image
from fanal.sim.world import World
from fanal.story import Detail, Fact, Facts, Say, Scene

BOARDS = 8
KINDS = ("esp32", "esp32c3", "esp32s3")
SITE = "depot"
_LINE_BAUD = 460800
_PULLED_AFTER = 30_000  # bytes: in the middle of the image
_HEARD_S = 40.0


@dataclass(frozen=True)
class _Ran:
    """A command that ended."""

    exit_code: int
    answer: dict[str, Any]
    seconds: float


def demo(folder: Path, say: Say) -> bool:
    """Play the story in `folder`, which must not exist or be empty; return whether all was so."""
    facts = Facts(say)
    asyncio.run(_play(folder, facts))
    return facts.are_all_so


async def _play(folder: Path, say: Say) -> None:
    async with World(folder / "bench", seed=11, hands=True, baud=_LINE_BAUD) as world:
        boards = [
            world.add_board(f"b{number + 1}", KINDS[number % len(KINDS)], blank=True)
            for number in range(BOARDS)
        ]
        story = _Sitting(world, boards, folder, say)
        await story.prepare()
        await story.deploy()
        await story.squeeze()


class _Sitting:
    """The scenes, in order."""

    def __init__(self, world: World, boards: Sequence[Board], folder: Path, say: Say) -> None:
        self.world, self.boards, self.folder, self.say = world, boards, folder, say
        self.passphrase = secrets.token_urlsafe(12)
        self.fleet_dir = folder / "fleet"
        self.environment = {
            **os.environ,
            "FANAL_PASSPHRASE": self.passphrase,
            "XDG_STATE_HOME": str(folder / "state"),  # nothing of the story stays
            "FANAL_IMAGES": str(folder / "images"),
            "FANAL_PORTS": " ".join(board.port for board in boards),
        }

    async def prepare(self) -> None:
        """A fleet, blank boards, images."""
        self.say(Scene("A fleet, images for three kinds of chip, a hub full of blank boards"))
        made = await self._fanal("fleet", "init")
        self.say(Fact("the fleet is created", made.exit_code == 0))
        files = []
        for chip in KINDS:
            files.append(str(self.folder / f"{chip}.bin"))
            Path(files[-1]).write_bytes(synthetic_image(chip, app_bytes=128 << 10))
        added = await self._fanal("image", "add", *files)
        self.say(Fact("three images were checked whole and are kept", added.exit_code == 0))
        await self.world.wait_until(lambda: all(b.state == BOOT_LOOP for b in self.boards))
        blank = sum(set(board.flash_bytes()) == {0xFF} for board in self.boards)
        kinds = ", ".join(sorted({board.chip for board in self.boards}))
        self.say(Fact(f"{blank} boards ({kinds}) have an erased flash and nothing to run",
                      blank == len(self.boards)))  # fmt: skip
        self.say(Detail("the images have true headers, tables and checksums; code in them is never "
                        "executed: the firmware runs on the MicroPython for Unix"))  # fmt: skip

    async def deploy(self) -> None:
        """All at once, with one cable that comes loose, and again."""
        self.say(Scene("fanal deploy, all side by side; one cable comes loose"))
        loose = self.boards[2]
        loose.faults.unplug_after(_PULLED_AFTER)
        first = await self._deploy("--count", str(len(self.boards)), "--site", SITE)
        done = first.answer.get("counts", {}).get("done")
        infra = first.answer.get("counts", {}).get("infra")
        self.say(Fact(
            f"{done} are proven beacons after {first.seconds:.0f} s; the loose one is called "
            "infra, not failed, and the exit code says: some",
            (done, infra, first.exit_code) == (len(self.boards) - 1, 1, 6),
        ))  # fmt: skip

        self.say(Scene("The cable is put back, and the same command is run again"))
        loose.plug()
        before = {board.name: board.flash_bytes() for board in self.boards if board is not loose}
        again = await self._deploy()
        rows = again.answer.get("rows", [])
        identities = {row["mac"]: row["beacon_id"] for row in rows if row["outcome"] == "done"}
        self.say(Fact(
            f"all {len(identities)} are done, each board with one identity",
            again.exit_code == 0
            and len(identities) == len(set(identities.values())) == len(self.boards),
        ))  # fmt: skip
        same = sum(self._board(name).flash_bytes() == flash for name, flash in before.items())
        self.say(Fact(
            f"what was right was left alone: {same} flashes are the same, byte for byte",
            same == done == len(before),
        ))  # fmt: skip
        with Registry(self.fleet_dir / REGISTRY_FILE) as registry:
            registered = {b.mac: b.beacon_id for b in registry.beacons()}
        self.say(Fact("the registry says the same as the boards",
                      bool(registered) and registered == identities))  # fmt: skip
        labels = self.fleet_dir / "batches" / "demo" / "labels.pdf"
        self.say(Fact("a sheet of labels is there to be printed", labels.exists()))

    async def squeeze(self) -> None:
        """Every one of them, and all are heard."""
        self.say(Scene("Every one of them is squeezed"))
        station = await asyncio.to_thread(
            lambda: Keyring.unlock(self.fleet_dir, self.passphrase).station()
        )
        with Registry(self.fleet_dir / REGISTRY_FILE) as registry:
            roots = {station.number: station.root}
            resolver = Resolver(first_keys(registry.watched(), roots), registry.lines())
            ear = Ear(self.world, resolver, Recorder.into(registry))
            listening = asyncio.create_task(ear.run())
            try:
                for board in self.boards:
                    board.squeeze("hold")
                alerted = await self._heard(ear, Sighting)
                signed = await self._heard(ear, SignatureVerified)
            finally:
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)
            wanted = {beacon.beacon_id for beacon in registry.beacons()}
        self.say(Fact(f"an alert of each was heard: {len(alerted)}", self._is_all(alerted, wanted)))
        self.say(Fact(f"a whole signature of each: {len(signed)}", self._is_all(signed, wanted)))

    def _is_all(self, heard: set[str], wanted: set[str]) -> bool:
        return heard == wanted and len(heard) == len(self.boards)

    async def _heard(self, ear: Ear, kind: type) -> set[str]:
        """Return whose alerts, or signatures, were heard; waits until they are all beacons'."""

        def whose() -> set[str]:
            seen = [e for e in ear.since(0, kind) if kind is not Sighting or e.kind == ALERT]
            return {event.beacon_id for event in seen}

        try:
            await self.world.wait_until(lambda: len(whose()) >= len(self.boards), _HEARD_S)
        except TimeoutError:
            self.say(Detail(f"not all were heard within {_HEARD_S:.0f} s"))
        return whose()

    def _board(self, name: str) -> Board:
        return next(board for board in self.boards if board.name == name)

    async def _deploy(self, *words: str) -> _Ran:
        return await self._fanal(
            "deploy", "--batch", "demo", "--all", "--technician", "demo", *words
        )

    async def _fanal(self, *words: str) -> _Ran:
        """Run a command of Fanal as a technician would, with --json."""
        began_s = time.monotonic()
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "fanal", "--fleet", str(self.fleet_dir), *words, "--json",
            env=self.environment, stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        output, _ = await child.communicate()
        seconds = time.monotonic() - began_s
        try:
            answer = json.loads(output)
        except ValueError:
            answer = {}
        return _Ran(child.returncode or 0, answer, seconds)
