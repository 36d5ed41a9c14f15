"""Write the corpus: force curves read through an imperfect sensor by an imperfect loop.

`python tests/corpus/generate.py` writes tests/corpus/data/CLASS.txt.xz anew, always the same bytes.
The curves come from the bench's force model; here they get an offset, noise, quantisation, sampling
at 20 to 50 Hz with jitter and stalls, and some are heard through a switch that bounces.
"""

import bisect
import lzma
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "host")]

from fanal.sim import force  # noqa: E402

DATA = Path(__file__).parent / "data"
FULL_MV = 3300

# class: (curves of the bench to draw from, how many, how it is read)
CLASSES: dict[str, tuple[tuple[str, ...], int, str]] = {
    "hold": (("hold",), 40, "force"),
    "weak": (("weak",), 40, "force"),
    "cold": (("cold",), 40, "force"),
    "child": (("child",), 40, "force"),
    "glove": (("glove",), 40, "force"),
    "drift": (("drift",), 24, "offset"),
    "frantic": (("frantic",), 60, "force"),
    "repeated": (("repeated",), 48, "force"),
    "irregular": (("irregular",), 48, "force"),
    "switch": (("hold", "frantic", "repeated", "irregular"), 40, "switch"),
    "self-test": (("self-test",), 48, "force"),
    "self-test-switch": (("self-test",), 24, "switch"),
    "self-test-sloppy": (("self-test-sloppy",), 48, "force"),
    "bump": (("bump",), 48, "force"),
    "bag": (("bag",), 48, "force"),
    "footstep": (("footstep",), 48, "force"),
    "noise": (("nothing",), 24, "noisy"),
    "disconnected": (("nothing",), 24, "floating"),
    "drift-alone": (("drift-alone",), 24, "offset"),
    "chair": (("chair",), 24, "force"),
    "held-for-hours": (("held-for-hours",), 24, "force"),
    "shorted": (("shorted",), 12, "force"),
}


class Reader:
    """One way to read a curve; `rng` decides every imperfection."""

    def __init__(self, curve: force.Curve, rng: Random, kind: str) -> None:
        self.times = [t for t, _ in curve]
        self.values = [v for _, v in curve]
        self.rng = rng
        self.kind = kind
        self.period_ms = rng.uniform(20, 50)
        self.noise_mv = rng.uniform(2, 12) if kind != "noisy" else rng.uniform(20, 45)
        self.spikes = 0.0 if kind != "noisy" else rng.uniform(0.002, 0.02)
        self.offset_mv = rng.uniform(0, 60) if kind != "offset" else rng.uniform(0, 500)
        self.hum_mv = rng.uniform(50, 1500)
        self.closes_mv = rng.uniform(0.1, 0.35) * max(self.values)
        self.bounce_until_ms = 0.0
        self.closed = False

    def at(self, t_ms: float) -> float:
        """The curve's value there, by linear interpolation."""
        i = bisect.bisect_right(self.times, t_ms)
        if i >= len(self.times):
            return self.values[-1]
        t0, t1 = self.times[i - 1], self.times[i]
        v0, v1 = self.values[i - 1], self.values[i]
        return v0 + (v1 - v0) * (t_ms - t0) / (t1 - t0) if t1 > t0 else v1

    def read(self, t_ms: float) -> int:
        """One reading in mV, as the converter gives it."""
        value, rng = self.at(t_ms), self.rng
        if self.kind == "switch":
            return self._switch(t_ms, value)
        if self.kind == "floating":
            value = self.hum_mv * (0.5 + 0.5 * rng.uniform(-1, 1))
        if rng.random() < self.spikes:
            value += rng.uniform(200, 1500)
        value += self.offset_mv + rng.gauss(0, self.noise_mv)
        return max(0, min(FULL_MV, round(value / 4) * 4))

    def _switch(self, t_ms: float, value: float) -> int:
        closed = value > self.closes_mv * (0.8 if self.closed else 1.0)
        if closed != self.closed:
            self.closed = closed
            self.bounce_until_ms = t_ms + self.rng.uniform(0, 25)
        if t_ms < self.bounce_until_ms:
            closed = self.rng.random() < 0.5
        return FULL_MV if closed else 0

    def step_ms(self, t_ms: float) -> float:
        """How long until the next reading: jitter, stalls, and a slow loop when nothing moves."""
        i = bisect.bisect_right(self.times, t_ms)
        moving = i >= len(self.times) or self.times[i] - self.times[max(i - 2, 0)] < 700
        if not moving and self.times[-1] > 60000:
            return 490
        if self.rng.random() < 0.01:
            return self.rng.uniform(80, 180)
        return self.period_ms * self.rng.uniform(0.85, 1.2)

    def samples(self) -> list[tuple[int, int]]:
        """All readings of the curve and of the last moment after it."""
        out, t_ms = [], 0.0
        while t_ms <= self.times[-1]:
            out.append((round(t_ms), self.read(t_ms)))
            t_ms += self.step_ms(t_ms)
        return out


def samples(name: str, seed: int, salt: str = "corpus") -> list[tuple[int, int]]:
    """Return curve `seed` of a class as (t_ms, force_mv). Another salt gives unseen curves."""
    sources, _, kind = CLASSES[name]
    rng = Random(f"{salt}/{name}/{seed}")
    curve = force.curve(sources[seed % len(sources)], rng.randrange(1 << 30))
    return Reader(curve, rng, kind).samples()


def line(readings: list[tuple[int, int]]) -> str:
    """Write one curve as differences: `dt dv dt dv ...`."""
    out, t_ms, mv = [], 0, 0
    for t, v in readings:
        out.append(f"{t - t_ms} {v - mv}")
        t_ms, mv = t, v
    return " ".join(out)


def main(progress: Callable[[str], None] = print) -> None:
    """Write every class."""
    DATA.mkdir(exist_ok=True)
    total = 0
    for name, (_, count, _) in CLASSES.items():
        text = "\n".join(line(samples(name, seed)) for seed in range(count)) + "\n"
        packed = lzma.compress(text.encode(), preset=9)
        (DATA / f"{name}.txt.xz").write_bytes(packed)
        total += len(packed)
        progress(f"{name:18} {count:3} curves {len(packed):8} bytes")
    progress(f"{'total':18} {total:19} bytes")


if __name__ == "__main__":
    main()
