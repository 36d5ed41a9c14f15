"""Takes out of a text what would tell a stranger who works where: names, paths, places."""

import getpass
import os
import re
import socket
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

WITHHELD = "[withheld]"

# of the system, the same on every computer
_SYSTEM = ("/dev/", "/etc/", "/lib/", "/proc/", "/run/", "/sys/", "/usr/", "/var/run/")
_PATH = re.compile(r"(?<![\w./~-])/(?:[^\s/'\",;:]+/)*[^\s/'\",;:]+")
_WINDOWS_PATH = re.compile(r"\b[A-Za-z]:\\[^\s'\",;]+")
_PERSONAL = re.compile(r"(/home/|/Users/|/media/|/run/media/|\\Users\\)[^\s/\\'\",;:]+")
_URL = re.compile(r"\b([a-z][a-z0-9+.-]*)://[^\s'\",;]+", re.IGNORECASE)
_NOBODY = ("", "root", "localhost")


@dataclass(frozen=True)
class Redactor:
    """paths: (what, instead), the longer first. words: names, whole words in any case."""

    paths: tuple[tuple[str, str], ...]
    words: tuple[tuple[str, str], ...]

    @classmethod
    def of_this_computer(cls, fleet_dir: Path, places: Iterable[str]) -> Self:
        """Return the one for this user here.

        fleet_dir: absolute. places: what is known of sites, places and people.
        """
        home = os.path.expanduser("~")
        paths = [(str(fleet_dir), "FLEET"), (os.path.realpath(fleet_dir), "FLEET")]
        paths += [(sys.executable, "python"), (sys.prefix, "PYTHON")]
        paths += [(home, "~"), (os.path.realpath(home), "~")]
        paths += [(os.environ.get("FANAL_IMAGES", ""), "IMAGES")]
        host = socket.gethostname()
        words = [(place, WITHHELD) for place in places]
        words += [(name, "USER") for name in _users()]
        words += [(host, "HOST"), (host.partition(".")[0], "HOST")]
        return cls.made_of(paths, words)

    @classmethod
    def made_of(cls, paths: Iterable[tuple[str, str]], words: Iterable[tuple[str, str]]) -> Self:
        """Return one for these; the longer goes first, so that a shorter leaves nothing of it."""
        usable = {(what, instead) for what, instead in paths if len(what) > 1}
        names = {(word.strip(), instead) for word, instead in words}
        names = {(word, instead) for word, instead in names if word.lower() not in _NOBODY}
        return cls(*(tuple(sorted(one, key=lambda p: -len(p[0]))) for one in (usable, names)))

    def text(self, text: str) -> str:
        """Return a text of one or more lines without any of it."""
        for path, instead in self.paths:
            text = text.replace(path, instead)
        for word, instead in self.words:
            text = re.sub(rf"(?<!\w){re.escape(word)}(?!\w)", instead, text, flags=re.IGNORECASE)
        text = _URL.sub(r"\1://HOST", text)
        text = _PERSONAL.sub(r"\1USER", text)
        text = _WINDOWS_PATH.sub("[path]", text)
        return _PATH.sub(_kept, text)


def _kept(match: re.Match[str]) -> str:
    path = match.group()
    return path if f"{path}/".startswith(_SYSTEM) and "USER" not in path else "[path]"


def _users() -> list[str]:
    names = [os.environ.get(name, "") for name in ("USER", "LOGNAME", "USERNAME", "SUDO_USER")]
    with suppress(KeyError, OSError, ImportError):  # a number that nobody has
        names.append(getpass.getuser())
    return names
