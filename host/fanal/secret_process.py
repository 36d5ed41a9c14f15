"""What a process does before it holds a secret, so that as little as possible of it gets out.

Python cannot wipe its memory, so what counts is that a process leaves no image of it behind (no
core file, no reading by others of the same user), and that one with the officer's secrets ends
soon, and with its parent.
"""

import ctypes
import os
import signal
import sys
from contextlib import suppress

# of <sys/prctl.h>
_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000

_REFUSED = ("socket.", "subprocess.", "os.", "open", "shutil.", "tempfile.", "ctypes.")


def harden() -> None:
    """Leave no core file; on Linux also let no other process of this user read our memory.

    Twice is fine. It lasts until this process ends, and a program that it starts begins anew.
    """
    with suppress(ImportError, OSError, ValueError):
        import resource  # not on Windows, which writes no core files of its own accord

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _prctl(_PR_SET_DUMPABLE, 0)


def end_with(parent: int) -> None:
    """End when the process `parent`, which started us, ends (Linux); at once if it has ended."""
    _prctl(_PR_SET_PDEATHSIG, getattr(signal, "SIGKILL", 9))
    if sys.platform == "linux" and os.getppid() != parent:
        os._exit(1)


def go_offline() -> None:
    """Give up network, files and other programs for good, before code of others sees a secret.

    Import first what is needed. On Linux also a network of its own, with nothing in it, where the
    system lets a user have one.
    """
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            libc = ctypes.CDLL(None)
            if libc.unshare(_CLONE_NEWNET) != 0:
                libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET)
    sys.addaudithook(_refuse)


def _refuse(event: str, _: object) -> None:
    if event.startswith(_REFUSED):
        raise PermissionError(f"not here: {event}")


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(option, value, 0, 0, 0)
