"""This computer, as far as the doctor looks at it: files, commands, groups, packages, the time.

Checks are pure functions over a `System`; tests give them one made of paper.
"""

import getpass
import importlib.metadata
import os
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

_COMMAND_S = 8.0
_CONNECT_S = 2.0
_LONGEST_FILE = 1 << 20


@dataclass(frozen=True)
class Done:
    """A command that ran. text: what it said on both streams."""

    exit_code: int
    text: str


@dataclass(frozen=True)
class Node:
    """A file, a folder or a device file. is_usable: this process may read and write it."""

    group: str
    mode: int
    is_usable: bool


@dataclass(frozen=True)
class Groups:
    """Names of groups: of this login, of this user in the system's database, and all there are."""

    session: frozenset[str]
    database: frozenset[str]
    existing: frozenset[str]


class System(Protocol):
    """A computer. platform: as sys.platform; python: (major, minor, micro)."""

    platform: str
    python: tuple[int, int, int]
    executable: str
    is_root: bool

    def read(self, path: str) -> str | None:
        """Return the text of a file without white space around it, None if it cannot be read."""

    def names(self, folder: str) -> list[str]:
        """Return the names in a folder, sorted; none if there is no such folder."""

    def real(self, path: str) -> str:
        """Return a path without symbolic links."""

    def node(self, path: str) -> Node | None:
        """Return what the system says of a file, None if there is none."""

    def run(self, *command: str) -> Done | None:
        """Run a command, in English, for a few seconds; None if there is no such, or no end."""

    def groups(self) -> Groups:
        """Return the groups of this user."""

    def package(self, name: str) -> str | None:
        """Return the version of an installed Python package, or None."""

    def requirements(self) -> list[str]:
        """Return what this Fanal requires, as its metadata says it."""

    def free_bytes(self, path: str) -> int | None:
        """Return the room on the disk of a path, or of the nearest folder above that is there."""

    def now(self) -> datetime:
        """Return the time of its clock."""

    def connects(self, path: str) -> bool:
        """Say whether somebody listens on a Unix socket."""

    def variable(self, name: str) -> str:
        """Return a variable of the environment, or ""."""


class ThisSystem:
    """The computer on which this runs."""

    def __init__(self) -> None:
        self.platform: str = sys.platform
        self.python = (sys.version_info.major, sys.version_info.minor, sys.version_info.micro)
        self.executable = sys.executable
        self.is_root = hasattr(os, "geteuid") and os.geteuid() == 0

    def read(self, path: str) -> str | None:
        try:
            with open(path, "rb") as file:
                return file.read(_LONGEST_FILE).decode("utf-8", "replace").strip()
        except OSError:
            return None

    def names(self, folder: str) -> list[str]:
        try:
            return sorted(os.listdir(folder))
        except OSError:
            return []

    def real(self, path: str) -> str:
        return os.path.realpath(path)

    def node(self, path: str) -> Node | None:
        try:
            status = os.stat(path)
        except OSError:
            return None
        is_usable = os.access(path, os.R_OK | os.W_OK)
        return Node(_group_name(status.st_gid), status.st_mode & 0o7777, is_usable)

    def run(self, *command: str) -> Done | None:
        program = shutil.which(command[0])
        if program is None:
            return None
        try:
            done = subprocess.run(
                [program, *command[1:]],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=_COMMAND_S,
                check=False,
                env={**os.environ, "LC_ALL": "C"},
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return Done(done.returncode, done.stdout.decode("utf-8", "replace").strip())

    def groups(self) -> Groups:
        if os.name == "nt":
            return Groups(frozenset(), frozenset(), frozenset())
        import grp
        import pwd

        entries = grp.getgrall()
        session = {_group_name(number) for number in {*os.getgroups(), os.getegid()}}
        try:
            user = pwd.getpwuid(os.getuid()).pw_name
            own = {_group_name(pwd.getpwuid(os.getuid()).pw_gid)}
        except KeyError:  # a container may run as a number that nobody has
            user, own = getpass.getuser() if os.environ.get("USER") else "", set()
        database = own | {entry.gr_name for entry in entries if user in entry.gr_mem}
        existing = {entry.gr_name for entry in entries}
        return Groups(frozenset(session), frozenset(database), frozenset(existing))

    def package(self, name: str) -> str | None:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            return None

    def requirements(self) -> list[str]:
        try:
            return importlib.metadata.requires("fanal") or []
        except importlib.metadata.PackageNotFoundError:
            return []

    def free_bytes(self, path: str) -> int | None:
        while path:
            try:
                return shutil.disk_usage(path).free
            except FileNotFoundError:
                above = os.path.dirname(path)
                path = "" if above == path else above
            except OSError:
                return None
        return None

    def now(self) -> datetime:
        return datetime.now(UTC)

    def connects(self, path: str) -> bool:
        if not hasattr(socket, "AF_UNIX"):
            return False
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
            line.settimeout(_CONNECT_S)
            try:
                line.connect(path)
            except OSError:
                return False
            return True

    def variable(self, name: str) -> str:
        return os.environ.get(name, "")


def is_running(system: System, name: str) -> bool:
    """Say whether a process of that name runs on Linux, which keeps 15 characters of it."""
    return any(
        system.read(f"/proc/{process}/comm") == name[:15]
        for process in system.names("/proc")
        if process.isdigit()
    )


def _group_name(number: int) -> str:
    if os.name == "nt":
        return ""
    import grp

    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)
