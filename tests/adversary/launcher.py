"""Starts commands and sees to their end: `python launcher.py`, one line of JSON in, one out.

{"words", "cwd", "env", "out", "real"} -> {"status": exit code or -signal, "left": [pids]}

A command leads a session and a process group of its own. real: a program of its own, as a person
starts it; else a copy of this process, which has the modules already. What a command leaves running
becomes ours (PR_SET_CHILD_SUBREAPER), and is waited for: it has to end by itself.
"""

import ctypes
import gc
import json
import os
import resource
import signal
import sys
import time
from contextlib import suppress

_SUBREAPER = 36
_PATIENCE_S = 20.0


def main():
    ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
    for line in sys.stdin:
        print(json.dumps(_done(json.loads(line))), flush=True)


def _done(told):
    child = os.fork()
    if not child:
        _become(told)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return {"status": status, "left": _reaped(child)}


def _reaped(group):
    """Wait until nothing of it runs any more; return what had to be ended."""
    end, left = time.monotonic() + _PATIENCE_S, []
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return left
        if pid == 0:
            if time.monotonic() > end:
                left.append(group)
                os.killpg(group, signal.SIGKILL)
                end += _PATIENCE_S
            time.sleep(0.002)  # it cannot be waited for without taking the status of others


def _become(told):
    os.setsid()
    os.chdir(told["cwd"])
    for handle, mode in ((0, os.O_RDONLY), (1, os.O_WRONLY), (2, os.O_WRONLY)):
        path = os.devnull if handle == 0 else f"{told['out']}.{handle}"
        made = os.open(path, mode)  # it is there: making it would be counted
        os.dup2(made, handle)
        os.close(made)
    with suppress(ValueError, OSError):  # whoever started us may have hardened itself
        resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY,) * 2)
    if told["real"]:
        os.execve(sys.executable, [sys.executable, *told["words"]], told["env"])
    os.environ.clear()
    os.environ.update(told["env"])
    sys.argv = ["fanal", *told["words"][2:]]
    from fanal.cli import main as fanal

    # those of this process are of the launcher
    sys.stdin = open(0)  # noqa: SIM115
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
    try:
        fanal(standalone_mode=True, prog_name="fanal")
    except SystemExit as end:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(end.code if isinstance(end.code, int) else bool(end.code))
    os._exit(0)


def _warm():
    """Import what commands import."""
    import importlib

    for name in json.loads(os.environ["FANAL_WARM"]):
        with suppress(ImportError):
            importlib.import_module(name)
    gc.freeze()


if __name__ == "__main__":
    _warm()
    main()
