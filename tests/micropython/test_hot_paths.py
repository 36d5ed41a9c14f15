"""What the firmware does per tick and per frame, with the heap of MicroPython locked."""

import pytest

from tests.budgets import UNIT_BYTES
from tests.micropython.interpreter import INTERPRETER, ROOT, run_micropython

pytestmark = pytest.mark.skipif(not INTERPRETER.exists(), reason="needs the extra `sim`")

SCRIPTS = ROOT / "tests" / "micropython"
# path -> how often it must have been gone at the least
PATHS = {
    "advert": 1,
    "at": 14000,
    "choose": 4,
    "feed": 360000,
    "seal and wrap": 50,
    "show": 50,
    "step, between bursts": 500,
    "step, on air": 2000,
    "step, pressed": 130,
    "step, quiet": 2000,
}


def test_hot_paths_allocate_nothing(budget):
    done = run_micropython(SCRIPTS / "hot_paths.py")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    counts = {name: int(n) for name, n in (line.split("=") for line in done.stdout.splitlines())}
    unit_bytes = counts.pop("unit")
    assert counts.keys() == PATHS.keys()
    assert all(counts[name] >= least for name, least in PATHS.items()), counts
    budget("allocated at the turn of a unit", unit_bytes, UNIT_BYTES)
