"""Work that needs the fleet's secrets, done by a process of its own that ends with it.

The command that a person runs never holds the fleet's root or its signing key: it starts
`fanal.officer_work`, writes what is wanted (and the passphrase) to its standard input, and reads
the answer from its standard output. Nothing goes by arguments or environment, which every process
of the same user can read.

    one line of JSON  ->  one line of JSON, then as many raw bytes as it says
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fanal import error, secret_process
from fanal.error import FanalError

# what a child has no use for; the passphrase goes by the pipe
NOT_INHERITED = ("FANAL_PASSPHRASE", "FANAL_HUB_PASSPHRASE", "FANAL_BACKUP_PASSPHRASE")


@dataclass(frozen=True)
class Opener:
    """What opens a fleet's folder.

    passphrase: of the folder, or of the identity file, "" if that has none. identity: the file of
    an officer's age identity, None to open the folder by its passphrase.
    """

    passphrase: str = field(repr=False)
    identity: Path | None = None


@dataclass(frozen=True)
class Answer:
    """What a work gave: values that JSON can hold, some of them secret, and raw bytes."""

    values: dict[str, Any] = field(repr=False)
    raw: bytes = field(default=b"", repr=False)


def run(work: str, folder: Path, opener: Opener | None = None, **wanted: Any) -> Answer:
    """Do `work`, a name in `officer_work.WORKS`, in a new process. Raises what it raised.

    folder: the fleet's. wanted: values that JSON can hold, paths too. From here on this process,
    which may be answered a secret, leaves no core file.
    """
    secret_process.harden()
    environment = {k: v for k, v in os.environ.items() if k not in NOT_INHERITED}
    # -P: a folder of that name where the command was started is not our program
    done = subprocess.run(
        [sys.executable, "-P", "-m", "fanal.officer_work", str(os.getpid())],
        input=_asked(work, folder, opener, wanted), stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, env=environment, check=False,
    )  # fmt: skip
    return _answered(done.stdout)


def here(work: str, folder: Path, opener: Opener | None = None, **wanted: Any) -> Answer:
    """Do `work` in this process, for tests and for what runs as a child already."""
    from fanal.officer_work import answer

    return _answered(answer(_asked(work, folder, opener, wanted)))


def failure(problem: BaseException) -> dict[str, Any]:
    """Return an exception as values. Only a FanalError's own text is in it: it holds no secret."""
    if isinstance(problem, FanalError):
        return {
            "kind": type(problem).__name__, "sentence": problem.sentence, "hint": problem.hint,
            "exit_code": problem.exit_code, "code": problem.code,
        }  # fmt: skip
    if isinstance(problem, ModuleNotFoundError):
        return {"kind": "missing", "name": problem.name}
    if isinstance(problem, OSError) and problem.errno is not None:
        return {"kind": "os", "errno": problem.errno, "path": problem.filename}
    return {"kind": "unexpected", "name": type(problem).__name__}


def raised(told: dict[str, Any]) -> BaseException:
    """Return the exception that `failure` told of."""
    kind = told["kind"]
    if kind == "missing":
        return ModuleNotFoundError(f"No module named {told['name']}", name=told["name"])
    if kind == "os":
        return OSError(told["errno"], os.strerror(told["errno"]), told["path"])
    if kind == "unexpected":
        return RuntimeError(told["name"])
    made = getattr(error, kind, FanalError)
    known: FanalError = made(told["sentence"], told["hint"], told["exit_code"], code=told["code"])
    return known


def _asked(work: str, folder: Path, opener: Opener | None, wanted: dict[str, Any]) -> bytes:
    by = None
    if opener is not None:
        path = None if opener.identity is None else str(opener.identity.absolute())
        by = {"passphrase": opener.passphrase, "identity": path}
    asked = {"work": work, "folder": str(folder.absolute()), "opener": by, "wanted": wanted}
    return json.dumps(asked, default=str).encode("ascii") + b"\n"


def _answered(output: bytes) -> Answer:
    line, newline, raw = output.partition(b"\n")
    if not newline:
        raise FanalError(
            "The process that opens the keys ended early.",
            "Is there memory for it? Opening needs 512 MB. Then try again.",
            7,
            code="child",
        )
    told = json.loads(line)
    if "failed" in told:
        raise raised(told["failed"])
    return Answer(told["values"], raw)
