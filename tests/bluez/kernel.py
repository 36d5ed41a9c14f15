"""The kernel that the virtual machine boots: Debian's own, fetched by apt, unpacked below build/.

Nothing is installed on the host. The machine's root is the host's, so that all there is to build
is an initramfs of some modules and the few programs that mount that root.
"""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PLACE = ROOT / "build" / "bluez"
GUEST = Path(__file__).parent / "guest"

_PACKAGE = "linux-image-amd64"
_EARLY_MODULES = ("virtio_pci", "virtio_net", "9pnet_virtio", "9p", "overlay")
_EARLY_PROGRAMS = {"sh": "sh", "mount": "mount", "sed": "sed", "cat": "cat", "mkdir": "mkdir",
                   "kmod": "insmod", "switch_root": "switch_root"}  # fmt: skip
_TOOLS = ("qemu-system-x86_64", "apt-get", "apt-cache", "dpkg", "depmod", "modprobe", "cpio",
          "bluetoothd", "bluetoothctl", "dbus-daemon", "ip", *_EARLY_PROGRAMS)  # fmt: skip
_SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


class NoMachine(Exception):
    """The machine cannot be made here; the text says why."""


@dataclass(frozen=True)
class Kernel:
    """image: what QEMU loads; initrd: the initramfs; modules: what `modprobe -d` takes."""

    image: Path
    initrd: Path
    modules: Path
    version: str


def prepare() -> Kernel:
    """Return the kernel, fetched if it is not there yet. Raises NoMachine."""
    if missing := [name for name in _TOOLS if found(name) is None]:
        raise NoMachine(f"programs are missing: {', '.join(missing)}")
    package = _unpacked()
    (version,) = os.listdir(package / "lib" / "modules")
    initrd = package / "initrd"
    if not initrd.exists():
        _run("depmod", "-b", str(package), version)
    _pack(package, version, initrd)
    return Kernel(package / "boot" / f"vmlinuz-{version}", initrd, package, version)


def found(name: str) -> str | None:
    """Return the path of a program of the system."""
    return shutil.which(name, path=_SYSTEM_PATH)


def _unpacked() -> Path:
    """Return the folder of the newest package at hand, fetched if there is none."""
    have = sorted(PLACE.glob("linux-image-*/boot/vmlinuz-*"), key=lambda path: path.stat().st_mtime)
    if have:
        return have[-1].parents[1]
    PLACE.mkdir(parents=True, exist_ok=True)
    depends = re.search(r"Depends: (linux-image-\S+)", _run("apt-cache", "depends", _PACKAGE))
    if depends is None:
        raise NoMachine(f"apt does not know the package {_PACKAGE}")
    name = depends[1]
    _run("apt-get", "download", "-q", name, cwd=PLACE)
    (archive,) = PLACE.glob(f"{name}_*.deb")
    partial = PLACE / "partial"
    shutil.rmtree(partial, ignore_errors=True)
    _run("dpkg", "-x", str(archive), str(partial))
    archive.unlink()
    return partial.rename(PLACE / name)


def _pack(package: Path, version: str, initrd: Path) -> None:
    """Write the initramfs: modules in the order in which they load, programs, their libraries."""
    tree = PLACE / "initramfs"
    shutil.rmtree(tree, ignore_errors=True)
    for folder in ("modules", "bin", "proc", "dev", "below", "above", "new"):
        (tree / folder).mkdir(parents=True)
    order: dict[str, None] = {}
    for module in _EARLY_MODULES:
        asked = _run(
            "modprobe", "-d", str(package), "-S", version, "--show-depends", module
        )  # builtin ones print no file
        for path in re.findall(r"insmod (\S+)", asked):
            shutil.copy(path, tree / "modules")
            order[Path(path).name] = None
    (tree / "modules" / "order").write_text("\n".join(order) + "\n")
    for program, name in _EARLY_PROGRAMS.items():
        path = found(program)
        assert path is not None
        shutil.copy(path, tree / "bin" / name)
        for library in re.findall(r"(/\S+)", _run("ldd", path)):
            target = tree / library.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(library, target)
    shutil.copy(GUEST / "init", tree / "init")
    (tree / "init").chmod(0o755)
    with initrd.open("wb") as archive:
        subprocess.run(
            [found("cpio") or "cpio", "--quiet", "-o", "-H", "newc"], cwd=tree, stdout=archive,
            input="\n".join(str(path.relative_to(tree)) for path in tree.rglob("*")).encode(),
            check=True,
        )  # fmt: skip


def _run(program: str, *words: str, cwd: Path | None = None) -> str:
    """Return what a program of the system printed. Raises NoMachine."""
    done = subprocess.run(
        [found(program) or program, *words], cwd=cwd, capture_output=True, text=True, check=False
    )
    if done.returncode:
        why = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise NoMachine(f"{program} {words[0]}: {why}")
    return done.stdout
