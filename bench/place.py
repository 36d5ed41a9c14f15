"""How far off a beacon's place is, and whether its radius holds it, beside a plain mean.

On the walks of walks.py. The peer is the plain mean of where all were that heard it in the last
minute, with their spread as its radius. Only the ratios mean something: the walks are made up.
"""

import json
import math
from collections.abc import Callable
from pathlib import Path

from fanal.hub.place import HeardAt, estimate
from fanal.position import Position
from surroundings import description
from walks import SCENES, Scene, hearings

SEEDS = 400


def plain_mean(heard: list[HeardAt]) -> Position | None:
    """Return the unweighted mean of the last minute; its radius is the standard deviation."""
    if not heard:
        return None
    now_ms = max(one.t_ms for one in heard)
    recent = [one.position for one in heard if now_ms - one.t_ms <= 60_000]
    middle = Position(sum(p.latitude for p in recent) / len(recent),
                      sum(p.longitude for p in recent) / len(recent), 0)  # fmt: skip
    spread = math.sqrt(sum(middle.distance_m(p) ** 2 for p in recent) / len(recent))
    return Position(middle.latitude, middle.longitude, spread)


def judged(
    scene: Scene, how: Callable[[list[HeardAt]], Position | None], seeds: int = SEEDS
) -> tuple[float, float, float, float]:
    """Return the share of walks within the radius, median and 90th of the error, median radius."""
    errors_m, radii_m, held = [], [], 0
    for seed in range(seeds):
        heard, truth = hearings(scene, seed)
        place = how(heard)
        if place is None:
            continue
        error_m = place.distance_m(truth)
        errors_m.append(error_m)
        radii_m.append(place.accuracy_m)
        held += error_m <= place.accuracy_m
    errors_m.sort()
    count = len(errors_m)
    return (held / count, errors_m[count // 2], errors_m[count * 9 // 10],
            sorted(radii_m)[count // 2])  # fmt: skip


def main() -> None:
    """Measure, print the table, write results/place.json."""
    rows = {}
    print(f"{'':28} {'held':>6} {'error':>7} {'p90':>7} {'radius':>7}   "
          f"{'held':>6} {'error':>7} {'p90':>7} {'radius':>7}   error, p90")  # fmt: skip
    for scene in SCENES:
        ours, plain = judged(scene, estimate), judged(scene, plain_mean)
        rows[scene.name] = {"place": ours, "plain_mean": plain}
        cells = "   ".join(f"{100 * held:5.0f}% {middle:7.0f} {ninth:7.0f} {radius:7.0f}"
                           for held, middle, ninth, radius in (ours, plain))  # fmt: skip
        ratios = f"x {ours[1] / plain[1]:.2f}, x {ours[2] / plain[2]:.2f}"
        print(f"{scene.name:28} {cells}   {ratios}")
    results = Path(__file__).resolve().parent / "results"
    results.mkdir(exist_ok=True)
    text = json.dumps({**description(), "seeds": SEEDS, "scenes": rows}, indent=1)
    (results / "place.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
