"""Runs a script on the MicroPython interpreter for Unix, as a test's child process."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
INTERPRETER = Path(sys.executable).with_name("micropython")


def run_micropython(
    script: Path | str, *args: str, heapsize: str | None = None, timeout: float = 60
) -> subprocess.CompletedProcess[str]:
    """Run `script` with `args`; protocol/ and firmware/ are on its path.

    heapsize: what `-X heapsize=` takes, such as "256k"; None is the interpreter's own 1 MB
    or more. Returns the finished process with its text output, whatever its exit status.
    Raises subprocess.TimeoutExpired after `timeout` seconds.
    """
    options = [] if heapsize is None else ["-X", f"heapsize={heapsize}"]
    path = os.pathsep.join([".frozen", str(ROOT / "protocol"), str(ROOT / "firmware")])
    return subprocess.run(
        [str(INTERPRETER), *options, str(script), *args],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        env={**os.environ, "MICROPYPATH": path},
    )
