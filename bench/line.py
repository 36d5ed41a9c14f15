"""What a verdict of the rules of time costs as an event grows, beside a look at every entry.

The peer is tests/unit/linear_line.py, which is also what the verdicts are tested against.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

from fanal_protocol.line import Entry, Line
from surroundings import description

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from tests.unit.linear_line import LinearLine  # noqa: E402  the path is needed first

SIZES = (450, 4_300, 43_000)  # a slot, a tenth of a day, a day


def entry(unit: int) -> Entry:
    """Return the alert of one unit of an honest beacon, heard up to 1.5 s late."""
    return Entry(2000 * unit + unit * 7919 % 1500, unit // 450, unit % 450)


def median_us(call: Callable[[int], object], times: int) -> float:
    """Return the median time of `call(i)`."""
    spans = []
    for i in range(times):
        began = time.perf_counter()
        call(i)
        spans.append(time.perf_counter() - began)
    return 1e6 * sorted(spans)[times // 2]


def measured(line: Line | LinearLine, size: int, times: int) -> dict[str, float]:
    """Return what the next alert costs, one heard once more, and the time of the beginning."""
    return {
        "next alert": median_us(lambda i: line.judge(entry(size + i)), times),
        "heard again": median_us(lambda i: line.judge(entry(size // 2 + i)), times),
        "began_ms": median_us(lambda _: line.began_ms(), times),
    }


def main() -> None:
    """Measure, print the table, write results/line.json."""
    rows = {}
    print(f"{'entries':>8} {'':12} {'line.py':>12} {'every entry':>14}")
    for size in SIZES:
        linear = LinearLine()
        linear.held = [entry(unit) for unit in range(size)]
        ours = measured(Line(linear.held), size, 199)
        peer = measured(linear, size, 9)
        rows[size] = {"ours_us": ours, "every_entry_us": peer}
        for name, ours_us in ours.items():
            ratio = f"x {peer[name] / ours_us:,.0f}"
            print(f"{size:>8,} {name:12} {ours_us:>9,.1f} us {peer[name]:>11,.1f} us  {ratio}")
    results = HERE / "results"
    results.mkdir(exist_ok=True)
    text = json.dumps({**description(), "entries": rows}, indent=1)
    (results / "line.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
