"""When a command is killed, and how: chosen from a seed, the same each day."""

import os
import random

from tests.adversary.desk import ABORT, GROUP, PARENT, SELF, TORN

# FANAL_KILLS=SEED,COUNT chooses others, COUNT of each command, each a program of its own
ASKED = os.environ.get("FANAL_KILLS", "")
SEED, COUNT = map(int, ASKED.split(",")) if ASKED else (20, 2)

WAYS = {GROUP: "all at once", SELF: "who makes it", PARENT: "its parent", TORN: "torn",
        ABORT: "with a core file"}  # fmt: skip
_RARE = "rRuUdDlLmMtT"


def moments(name, changes, count=COUNT):
    """Return (before which change, how), `count` of them.

    Every second one is at a renaming or the like, or right after it. changes: a letter each.
    """
    rng = random.Random(f"{SEED} {name}")
    rare = [at for at, kind in enumerate(changes, 1) if kind in _RARE]
    found = []
    for turn in range(count):
        if rare and turn % 2:
            at = min(rng.choice(rare) + rng.choice((0, 0, 1)), len(changes))
        else:
            at = rng.randint(1, len(changes))
        found.append((at, rng.choice(_ways(changes[at - 1]))))
    return found


def _ways(kind):
    """Return how one may be killed before a change of this kind, the likely ones more often."""
    ways = [GROUP, GROUP]
    if kind.isupper():  # a child makes it
        ways += [SELF, PARENT, ABORT]
    elif ASKED:  # a core file of one that holds no secret is large, and nothing is in it
        ways += [ABORT]
    return [*ways, TORN, TORN] if kind in "wW" else ways
