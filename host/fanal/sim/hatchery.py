"""The process that the interpreters of all virtual boards are forked from.

Run as a script by `interpreter.Hatchery`, isolated and without site packages, so that loading
Python and the interpreter costs 20 ms once and not at every boot. One request is one packet on
fd 3: a JSON list of arguments, with the descriptors that become the child's 0/1/2, 3 and 4. The
answer carries the child's pid and a pidfd. When the asker goes away, this process ends, and the
kernel ends its children with it.
"""

import ctypes
import json
import os
import signal
import socket
import sys
from typing import NoReturn

_PR_SET_PDEATHSIG = 1


def _become_board(arguments: list[str], descriptors: list[int]) -> NoReturn:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    stdio, control, flash = (os.dup(fd) for fd in descriptors)  # clear of the low numbers
    for source, target in ((stdio, 0), (stdio, 1), (stdio, 2), (control, 3), (flash, 4)):
        os.dup2(source, target)
    os.closerange(5, 64)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os._exit(micropython_run.run_main(arguments) & 0xFF)


def main() -> None:
    """Fork a child per request until the asker is gone."""
    asker = socket.socket(fileno=os.dup(3))
    os.close(3)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps
    while True:
        request, descriptors, _, _ = socket.recv_fds(asker, 65536, 3)
        if not request:
            return
        pid = os.fork()
        if pid == 0:
            _become_board(json.loads(request), descriptors)
        pidfd = os.pidfd_open(pid)
        socket.send_fds(asker, [str(pid).encode()], [pidfd])
        for fd in (*descriptors, pidfd):
            os.close(fd)


if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    import micropython_run

    main()
