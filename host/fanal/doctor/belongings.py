"""Looks for what is Fanal's own on this computer, and takes every failure as an answer."""

import importlib
from pathlib import Path
from typing import Any

from fanal.chips import CHIPS
from fanal.doctor.own import Own
from fanal.error import EnvironmentFault, FanalError
from fanal.firmware_image import FirmwareImage, locate
from fanal.registry import REGISTRY_FILE, Registry


def look(fleet_dir: Path) -> Own:
    """Return what is there: of the fleet only the registry is opened, never a key."""
    problem, newest_ms = _registry(fleet_dir)
    return Own(problem, newest_ms, _firmware(), _images(), _chips())


def _registry(fleet_dir: Path) -> tuple[FanalError | None, int | None]:
    try:
        with Registry(fleet_dir / REGISTRY_FILE) as registry:
            times = [beacon.last_ms for beacon in registry.beacons()]
            times += [entry[0] for line in registry.lines().values() for entry in line]
            return None, max(times, default=None)
    except FanalError as problem:
        return problem, None


def _firmware() -> FirmwareImage | FanalError:
    try:
        return locate()
    except FanalError as problem:
        return problem


def _chips() -> tuple[str, ...]:
    return tuple(chip.name for chip in CHIPS.values() if chip.supported)


def _images() -> dict[str, str] | FanalError | None:
    """Return chip -> version of what could be flashed, each read and checked whole.

    None where flashing is not built in.
    """
    try:
        store: Any = importlib.import_module("fanal.image_store").ImageStore()
    except (ModuleNotFoundError, AttributeError, TypeError):
        return None
    found: dict[str, str] = {}
    for name in _chips():
        try:
            found[name] = store.for_chip(CHIPS[name]).version
        except FanalError as problem:
            if problem.code != "no_image":
                return problem
        except OSError as problem:
            return EnvironmentFault(
                f"The folder of images cannot be read: {problem.strerror}.",
                "Check that it is yours.",
            )
    return found
