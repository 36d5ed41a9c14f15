"""What is Fanal's own on this computer: the fleet's folder, the firmware, the images, the room."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from fanal import chips
from fanal.doctor.finding import Finding, bad, doubtful, good
from fanal.doctor.system import System
from fanal.error import FanalError
from fanal.firmware_image import MICROPYTHON, FirmwareImage

_PRIVATE = ("key.age", "station.age", "officer.age", "registry.db")
_LEAST_BYTES = 50 << 20
_SCARCE_BYTES = 500 << 20


@dataclass(frozen=True)
class Own:
    """What was found, or the error that says why not.

    newest_ms: of the registry's last entry. images: chip -> version of its newest image, None if
    there is no store. chips: those that the firmware runs on.
    """

    registry: FanalError | None
    newest_ms: int | None
    firmware: FirmwareImage | FanalError
    images: dict[str, str] | FanalError | None
    chips: tuple[str, ...] = ()


def own(system: System, fleet_dir: Path, found: Own) -> list[Finding]:
    """Return the rows on all of it."""
    rows = [firmware(found.firmware), *images(found), *fleet(system, fleet_dir, found.registry)]
    return [*rows, disk(system, fleet_dir)]


def firmware(found: FirmwareImage | FanalError) -> Finding:
    """Check that the firmware is here, and is what its manifest says."""
    if isinstance(found, FanalError):
        return bad("firmware", found.sentence, found.hint)
    wrong = [path for path, digest in found.manifest.files.items()
             if _digest(found.folder / path) != digest]  # fmt: skip
    if wrong:
        return bad(
            "firmware",
            f"{len(wrong)} of {len(found.manifest.files)} files differ from the manifest:"
            f" {wrong[0]}",
            "Install Fanal again; in a clone of its repository run `make mpy`.",
        )
    what = found.manifest
    return good("firmware", f"{what.version} for MicroPython {what.micropython}, "
                f"{len(what.files)} files as built")  # fmt: skip


def images(found: Own) -> list[Finding]:
    """Check that there is something to flash; no row where flashing is not built in."""
    if found.images is None:
        return []
    if isinstance(found.images, FanalError):
        return [bad("images", found.images.sentence, found.images.hint)]
    ready = [chip for chip in found.chips if found.images.get(chip) == MICROPYTHON]
    missing = [chip for chip in found.chips if chip not in ready]
    if not ready:
        return [
            doubtful(
                "images",
                f"no MicroPython {MICROPYTHON} in the store: no board can be flashed",
                "With a network the first command gets them; else add a file that you brought:",
                "fanal image get --all --pin",
                "fanal image add FILE",
            )
        ]
    text = f"MicroPython {MICROPYTHON} for {', '.join(map(chips.shown, ready))}"
    return [
        good(
            "images",
            text + (f"; none for {', '.join(map(chips.shown, missing))}" if missing else ""),
        )
    ]


def fleet(system: System, fleet_dir: Path, problem: FanalError | None) -> list[Finding]:
    """Check the folder that holds keys and registry: there, whole, ours, and nobody else's."""
    folder = str(fleet_dir)
    node = system.node(folder)
    if node is None or (problem is not None and problem.code == "no_fleet"):
        return [
            doubtful("fleet", f"none in {folder}", "Create it, copy it here, or name another"
                     " folder with --fleet DIR:", "fanal fleet init")
        ]  # fmt: skip
    if problem is not None:
        return [bad("fleet", problem.sentence, problem.hint)]
    nodes = {folder: node} | {
        path: found
        for name in _PRIVATE
        if (found := system.node(path := f"{folder}/{name}")) is not None
    }
    closed = [path for path, found in nodes.items() if not found.is_usable]
    if closed:
        return [bad("fleet", f"{closed[0]} may not be written", "Take the folder back:",
                    f"sudo chown -R \"$(id -un)\" '{folder}'")]  # fmt: skip
    if system.platform != "win32" and any(found.mode & 0o077 for found in nodes.values()):
        return [
            doubtful("fleet", f"others on this computer may read {folder}", "Close it to them:",
                     f"chmod -R go-rwx '{folder}'")
        ]  # fmt: skip
    return [good("fleet", folder)]


def disk(system: System, fleet_dir: Path) -> Finding:
    """Check the room beside the registry."""
    free = system.free_bytes(str(fleet_dir))
    if free is None:
        return bad("disk", f"the disk of {fleet_dir} does not answer", "Check that it is there.")
    shown = f"{free >> 20} MB free"
    if free < _LEAST_BYTES:
        return bad("disk", f"{shown} in {fleet_dir}", "Make room: a full disk loses sightings.")
    if free < _SCARCE_BYTES:
        return doubtful("disk", f"{shown} in {fleet_dir}", "Make room soon.")
    return good("disk", f"{free / (1 << 30):.1f} GB free")


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""
