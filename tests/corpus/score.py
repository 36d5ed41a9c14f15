"""Feed every curve of the corpus to the detector and count what it decides.

`python tests/corpus/score.py` prints the table; `--unseen N` draws N new curves of each class
instead of the committed ones. Exit status 1 if a panic or hold is missed, or becomes a TEST.
"""

import argparse
import lzma
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "shim"), str(ROOT / "firmware"), str(ROOT)]

from beacon import squeeze  # noqa: E402

from tests.corpus import generate  # noqa: E402

ALERT = ("hold", "weak", "cold", "child", "glove", "drift", "frantic", "repeated", "irregular")
ALERT += ("switch",)
TEST = ("self-test", "self-test-switch", "self-test-sloppy")
AT_MOST_ONE = ("chair", "held-for-hours", "shorted", "disconnected")
CLASSES = tuple(generate.CLASSES)

Readings = list[tuple[int, int]]


class Row(NamedTuple):
    """The result of one class. decided_ms: the median time of the first alert, or 0."""

    name: str
    curves: int
    alerts: int
    tests: int
    misses: int
    false_alerts: int
    decided_ms: int


def load(name: str) -> list[Readings]:
    """Return the committed curves of a class."""
    text = lzma.decompress((generate.DATA / f"{name}.txt.xz").read_bytes()).decode()
    return [_curve(line) for line in text.splitlines()]


def _curve(line: str) -> Readings:
    numbers = [int(word) for word in line.split()]
    out, t_ms, mv = [], 0, 0
    for dt, dv in zip(numbers[::2], numbers[1::2], strict=True):
        t_ms, mv = t_ms + dt, mv + dv
        out.append((t_ms, mv))
    return out


def decide(readings: Iterable[tuple[int, int]], **settings: int) -> list[tuple[int, int]]:
    """Return the (t_ms, decision) that a fresh detector makes of one curve."""
    detector = squeeze.Detector(**settings)
    decided = []
    for t_ms, mv in readings:
        decision = detector.feed(t_ms, mv)
        if decision:
            decided.append((t_ms, decision))
    return decided


def score(name: str, curves: list[Readings]) -> Row:
    """Count. A miss: a panic without an alert, or a self-test without any decision.

    A false alert: an alert where none is due, or (what presses for good) more than one.
    """
    alerts = tests = misses = false_alerts = 0
    first = []
    for readings in curves:
        decided = decide(readings)
        held = [t for t, decision in decided if decision == squeeze.HOLD]
        tested = len(decided) - len(held)
        alerts += len(held)
        tests += tested
        if held:
            first.append(held[0])
        if name in ALERT:
            misses += not held
        elif name in TEST:
            misses += not tested and not held
            false_alerts += bool(held)
        else:
            false_alerts += max(len(held) - (name in AT_MOST_ONE), 0)
    median = sorted(first)[len(first) // 2] if first else 0
    return Row(name, len(curves), alerts, tests, misses, false_alerts, median)


def table(rows: list[Row]) -> str:
    """Return the printed table."""
    head = (
        f"{'class':18}{'curves':>7}{'alerts':>7}{'tests':>6}{'misses':>7}{'false':>6}{'at ms':>9}"
    )
    body = [
        f"{r.name:18}{r.curves:7}{r.alerts:7}{r.tests:6}{r.misses:7}{r.false_alerts:6}{r.decided_ms:9}"
        for r in rows
    ]
    return "\n".join([head, *body])


def main() -> int:
    """Print the table; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--unseen", type=int, metavar="N", help="N new curves of each class")
    parser.add_argument("--salt", default="unseen", help="which new curves")
    parser.add_argument("classes", nargs="*", help="all if none is named")
    args = parser.parse_args()
    rows = []
    for name in args.classes or CLASSES:
        if args.unseen:
            curves = [generate.samples(name, seed, args.salt) for seed in range(args.unseen)]
        else:
            curves = load(name)
        rows.append(score(name, curves))
    print(table(rows))
    bad = sum(row.misses * (row.name in ALERT) + row.tests * (row.name not in TEST) for row in rows)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
