"""How long until an alert, and until its signature, is verified, under loss of packets.

The firmware's own schedule and the protocol's own decoder against simpler schedules, with the
same losses. Prints a table and writes results/schedule.json, and a plot if matplotlib is there.
"""

import json
import math
import random
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from packets import ALERT, Beacon, Listener
from surroundings import description

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path[:0] = [str(ROOT / "firmware"), str(ROOT / "tests" / "shim")]
from beacon import schedule as firmware_schedule  # noqa: E402

SEED = 20260101
TRIALS = 10_000
LOSSES = (0.0, 0.3, 0.5, 0.7, 0.9)
INTERVAL_S = 0.1
INTERVALS = 20  # of a unit of 2 s
UNITS = 450  # of a slot
SIGNING_INTERVALS = 2  # the signature takes a chip 85 ms, give or take 40 %: no pages until then

Schedule = Callable[[int, int], int]
Result = tuple[float, float]
Row = dict[str, str | float | None]


def fanal(unit: int, interval: int) -> int:
    """The schedule of the firmware: an alert in every third frame, twelve pages."""
    signed = unit > 0 or interval >= SIGNING_INTERVALS
    choice: int = firmware_schedule.choose(unit, interval, True, signed, 0)
    return ALERT if choice == firmware_schedule.ALERT else choice


def circle(unit: int, interval: int) -> int:
    """Alert and three pages in a circle, each unit opening one frame further."""
    frame = unit + interval
    return _unless_signing(unit, interval, (ALERT, 0, 1, 2)[frame % 4])


def running_circle(unit: int, interval: int) -> int:
    """Alert and three pages in a circle that goes on through the units: the simplest of all."""
    frame = unit * INTERVALS + interval
    return _unless_signing(unit, interval, (ALERT, 0, 1, 2)[frame % 4])


def no_parity(unit: int, interval: int) -> int:
    """The cycle of the firmware with pages 0 to 2 alone."""
    frame = unit + interval
    return _unless_signing(unit, interval, (ALERT, 0, 1, ALERT, 2, 0, ALERT, 1, 2)[frame % 9])


def _unless_signing(unit: int, interval: int, choice: int) -> int:
    return ALERT if unit == 0 and interval < SIGNING_INTERVALS else choice


SCHEDULES: dict[str, Schedule] = {
    "fanal": fanal,
    "no parity": no_parity,
    "circle": circle,
    "running circle": running_circle,
}
LISTENERS = {"every frame": False, "one per address": True}


def heard(loss: float, one_per_address: bool, chance: random.Random) -> Iterator[int]:
    """Yield the frames of the slot, 0 .. 8999, that get through, each with chance 1 - loss."""
    frame = -1
    while True:
        frame += 1
        if loss:
            frame += int(math.log(1.0 - chance.random()) / math.log(loss))
        if frame >= UNITS * INTERVALS:
            return
        yield frame
        if one_per_address:
            frame += INTERVALS - 1 - frame % INTERVALS


def trial(schedule: Schedule, beacon: Beacon, listener: Listener, frames: Iterator[int]) -> Result:
    """Return seconds from the first frame to a verified alert and signature; inf if never."""
    alert_s = math.inf
    status = 0
    chunks: dict[int, bytes] = {}
    for frame in frames:
        unit, interval = divmod(frame, INTERVALS)
        opened = listener.open(beacon.advert(unit, schedule(unit, interval)))
        if len(opened) == 2:
            if len(chunks) < 3:
                chunks[opened[0]] = opened[1]
        elif alert_s == math.inf:
            alert_s = frame * INTERVAL_S
            status = opened.status
        if alert_s < math.inf and len(chunks) == 3:
            if not listener.verifies(status, frozenset(chunks.items())):
                raise AssertionError("three genuine pages gave no signature")
            return alert_s, frame * INTERVAL_S
    return alert_s, math.inf


def percentile(ordered: list[float], percent: int) -> float | None:
    """Return the nearest-rank percentile, in seconds; None if it was not within the slot."""
    value = ordered[math.ceil(len(ordered) * percent / 100) - 1]
    return None if value == math.inf else round(value, 1)


def row(listening: str, loss: float, name: str, beacon: Beacon, listener: Listener) -> Row:
    """Return one row of the table. A trial loses the same frames under every schedule."""
    results = []
    for number in range(1 if loss == 0 else TRIALS):
        frames = heard(loss, LISTENERS[listening], random.Random(SEED + number))
        results.append(trial(SCHEDULES[name], beacon, listener, frames))
    alerts = sorted(alert_s for alert_s, _ in results)
    signatures = sorted(signature_s for _, signature_s in results)
    return {
        "listener": listening,
        "loss": loss,
        "schedule": name,
        "alert_median_s": percentile(alerts, 50),
        "alert_p99_s": percentile(alerts, 99),
        "signature_median_s": percentile(signatures, 50),
        "signature_p99_s": percentile(signatures, 99),
    }


def cell(value: str | float | None) -> str:
    """Return a time for the table: seconds, or that the slot of 900 s was not enough."""
    return ">900" if value is None else str(value)


def show(rows: list[Row]) -> None:
    """Print the table."""
    print(f"{'':<16} {'':>5} {'':<15} {'verified alert, s':>18} {'with signature, s':>20}")
    print(f"{'listener':<16} {'loss':>5} {'schedule':<15}" + 2 * f" {'median':>9} {'99 %':>9}")
    before = None
    for one in rows:
        if before not in (None, (one["listener"], one["loss"])):
            print()
        before = (one["listener"], one["loss"])
        times = " ".join(f"{cell(one[k]):>9}" for k in one if k.endswith("_s"))
        print(f"{one['listener']:<16} {one['loss']:>5.0%} {one['schedule']:<15} {times}")


def plot(rows: list[Row], target: Path) -> bool:
    """Draw the 99th percentiles if matplotlib is there; return whether it was."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    figure = Figure(figsize=(10, 4), layout="constrained")
    for axes, listening in zip(figure.subplots(1, 2, sharey=True), LISTENERS, strict=True):
        for name in SCHEDULES:
            chosen = [r for r in rows if r["listener"] == listening and r["schedule"] == name]
            values = [r["signature_p99_s"] or math.nan for r in chosen]
            axes.plot([100 * r["loss"] for r in chosen], values, "o-", label=name)
        axes.set(title=f"listener hears {listening}", xlabel="packets lost, %", yscale="log")
    axes.legend()
    figure.supylabel("99th percentile to signature, s")
    figure.savefig(target)
    return True


def main() -> None:
    """Run, print and write."""
    start = time.perf_counter()
    beacon = Beacon()
    listener = Listener(beacon.public_key)
    rows = [
        row(listening, loss, name, beacon, listener)
        for listening in LISTENERS
        for loss in LOSSES
        for name in SCHEDULES
    ]
    show(rows)
    setting = {"seed": SEED, "trials": TRIALS, "interval_s": INTERVAL_S, **description()}
    results = HERE / "results"
    results.mkdir(exist_ok=True)
    text = json.dumps({**setting, "rows": rows}, indent=1)
    (results / "schedule.json").write_text(text + "\n", encoding="utf-8")
    plotted = plot(rows, results / "schedule.png")
    print()
    print(", ".join(f"{name} {value}" for name, value in setting.items()))
    print(f"results/schedule.json{' and schedule.png' if plotted else ''} written", end=" ")
    print(f"after {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
