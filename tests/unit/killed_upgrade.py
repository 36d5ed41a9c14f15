"""Upgrade a registry and die in the middle: `python killed_upgrade.py OLD.db FOLDER`.

For every limit up to more than the file's size a child process upgrades a copy of OLD.db, FOLDER/
LIMIT.db, and is killed by the system at its first write beyond that many bytes, into whichever file
that goes. Prints the limits at which it was killed.
"""

import os
import resource
import shutil
import signal
import sys
from pathlib import Path

from fanal import upgrade
from fanal.registry import Registry
from fanal.schema import SCHEMA_VERSION

_GROWTH = 65_536  # more than an upgrade adds
_STEP = 3500  # no divisor of a page: some writes are torn in the middle of one


def killed(path: Path, limit: int) -> bool:
    """Upgrade `path` in a child that may write no further than `limit`; return if it died of it."""
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        Registry(path)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXFSZ


def main(old: Path, folder: Path) -> None:
    upgrade.steps(1, SCHEMA_VERSION)  # read now, and not by a child that may write nothing
    for limit in range(0, old.stat().st_size + _GROWTH, _STEP):
        path = folder / f"{limit}.db"
        shutil.copy(old, path)
        if killed(path, limit):
            print(limit)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
