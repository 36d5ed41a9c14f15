"""The codec on MicroPython: the same outcomes as on CPython, and hot paths without allocation."""

import subprocess
import sys

from fanal_protocol.error import REASONS

from tests.micropython.interpreter import ROOT, run_micropython

SCRIPTS = ROOT / "tests" / "micropython"


def test_hot_paths_allocate_nothing():
    finished = run_micropython(SCRIPTS / "protocol_hot_paths.py", heapsize="256k")
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, "ok\n", "")


def test_random_payloads_have_the_same_outcomes_on_both_interpreters():
    script = SCRIPTS / "refuse_payloads.py"
    args = ("20000", "271828182")
    there = run_micropython(script, *args)
    here = subprocess.run(
        [sys.executable, str(script), *args], capture_output=True, text=True, check=False
    )
    assert here.stderr == there.stderr == ""
    assert here.returncode == there.returncode == 0
    assert here.stdout == there.stdout
    counts = dict(pair.split("=") for pair in here.stdout.splitlines()[1].split())
    # no receiver state here, so nothing is `unknown`; everything else was reached often enough
    assert set(counts) == {"read", *REASONS} - {"unknown"}
    assert min(map(int, counts.values())) >= 50
