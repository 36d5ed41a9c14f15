"""Force curves by name: what hands, feet, bags and chairs do to the sensor of a beacon.

A curve is a list of (t_ms, force_mv), t from 0, to be read by linear interpolation; after its
end the last value stays. The same name and seed always give the same curve.

Each maker draws a level, where 1.0 is a strong hand, and the seed picks the sensor that turns it
into millivolts: a bare FSR in a divider (10 or 47 kOhm), or a conditioned one that is linear.
Figures behind the model: voluntary grip fluctuates by a few per cent, below 4 Hz and around
10 Hz (physiological tremor), and sags as it tires; an FSR follows a power law above its break
force. docs/sensor.md has the sources. The model is reasoned, not measured.
"""

import math
from collections.abc import Callable
from random import Random

FULL_MV = 3300
_FINE_MS = 20
_COARSE_MS = 500

Curve = list[tuple[int, int]]


class _Strip:
    """A level over time, drawn piece by piece."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.points: list[tuple[float, float]] = [(0.0, 0.0)]
        self.t_ms = 0.0

    def rest(self, ms: float, level: float = 0.0) -> None:
        """Nothing touches it."""
        self.t_ms += 1
        self.points.append((self.t_ms, level))
        self.t_ms += max(ms - 1, 1)
        self.points.append((self.t_ms, level))

    def squeeze(self, ms: float, peak: float, tremor: float = 0.05, sag: float = 0.1) -> None:
        """One squeeze by a hand: `ms` at half height, tremor and sag as fractions of `peak`."""
        rng = self.rng
        rise = min(rng.uniform(80, 350), ms * 0.5)
        fall = min(rng.uniform(60, 250), ms * 0.5)
        total = ms + (rise + fall) / 2
        slow_hz, fast_hz = rng.uniform(0.4, 2.5), rng.uniform(7, 12)
        slow_at, fast_at = rng.uniform(0, 6.3), rng.uniform(0, 6.3)
        for i in range(1, int(total / _FINE_MS) + 1):
            t = i * _FINE_MS
            s = t / 1000
            edge = min(1.0, t / rise, max(0.0, (total - t) / fall))
            shake = 0.7 * math.sin(6.283 * slow_hz * s + slow_at)
            shake += 0.5 * math.sin(6.283 * fast_hz * s + fast_at) + 0.3 * rng.gauss(0, 1)
            tired = 1 - sag * min(1.0, t / 6000)
            level = peak * tired * (1 + tremor * shake) * (edge * edge * (3 - 2 * edge))
            self.points.append((self.t_ms + t, max(level, 0.0)))
        self.t_ms += total

    def knock(self, ms: float, peak: float) -> None:
        """One impact: half a sine."""
        for i in range(1, 9):
            self.points.append((self.t_ms + ms * i / 8, peak * math.sin(math.pi * i / 8)))
        self.t_ms += ms

    def load(self, ms: float, level: float, stir: float = 0.01) -> None:
        """Something heavy rests on it, and stirs by that fraction, slowly."""
        wander, end = 0.0, self.t_ms + ms
        while self.t_ms < end:
            self.t_ms += _COARSE_MS
            wander = 0.9 * wander + self.rng.gauss(0, stir)
            self.points.append((self.t_ms, max(level * (1 + wander), 0.0)))


def _hold(s: _Strip, low: float = 0.5, high: float = 1.1, tremor: float = 0.05) -> None:
    s.rest(s.rng.uniform(500, 3000))
    s.squeeze(s.rng.uniform(4000, 9000), s.rng.uniform(low, high), tremor, s.rng.uniform(0.05, 0.3))
    s.rest(5000)


def _weak(s: _Strip) -> None:
    _hold(s, 0.2, 0.35, 0.1)


def _child(s: _Strip) -> None:
    _hold(s, 0.22, 0.5, 0.15)


def _cold(s: _Strip) -> None:
    """Shivers, and the fingers give way again and again for a moment."""
    rng = s.rng
    s.rest(rng.uniform(500, 3000))
    peak = rng.uniform(0.2, 0.45)
    for _ in range(rng.randint(3, 6)):
        s.squeeze(rng.uniform(900, 2500), peak * rng.uniform(0.8, 1.1), 0.18, 0.2)
        s.rest(rng.uniform(20, 160))
    s.rest(5000)


def _glove(s: _Strip) -> None:
    """The glove still presses a little before and after."""
    rng = s.rng
    s.rest(rng.uniform(500, 3000))
    rest = rng.uniform(0.0, 0.05)
    s.rest(rng.uniform(200, 1500), rest)
    s.squeeze(rng.uniform(4200, 8000), rng.uniform(0.3, 0.7), 0.04, rng.uniform(0.1, 0.4))
    s.rest(5000, rest)


def _frantic(s: _Strip) -> None:
    rng = s.rng
    s.rest(rng.uniform(300, 2000))
    hz, duty, peak = rng.uniform(2.4, 5.2), rng.uniform(0.35, 0.65), rng.uniform(0.3, 1.1)
    for _ in range(int(hz * rng.uniform(5, 10))):
        cycle_ms = 1000 / hz * rng.uniform(0.8, 1.2)
        s.squeeze(cycle_ms * duty, peak * rng.uniform(0.7, 1.2))
        s.rest(max(cycle_ms * (1 - duty) - cycle_ms * duty * 0.5, 20))
    s.rest(5000)


def _repeated(s: _Strip) -> None:
    """Slow: about a second on, a second off."""
    rng = s.rng
    s.rest(rng.uniform(300, 2000))
    on_ms, off_ms, peak = rng.uniform(500, 1600), rng.uniform(400, 1400), rng.uniform(0.25, 1.1)
    for _ in range(rng.randint(7, 12)):
        s.squeeze(on_ms * rng.uniform(0.8, 1.25), peak * rng.uniform(0.7, 1.2))
        s.rest(off_ms * rng.uniform(0.8, 1.25))
    s.rest(5000)


def _irregular(s: _Strip) -> None:
    rng = s.rng
    s.rest(rng.uniform(300, 2000))
    end = s.t_ms + rng.uniform(12000, 20000)
    while s.t_ms < end:
        s.squeeze(
            rng.choice((150, 300, 700, 1500, 2500)) * rng.uniform(0.7, 1.3), rng.uniform(0.3, 1)
        )
        s.rest(rng.choice((100, 200, 500, 1000)) * rng.uniform(0.7, 1.3))
    s.rest(5000)


def _bag(s: _Strip) -> None:
    """Carried and jostled: bounces at walking pace, now and then something leans on it."""
    rng = s.rng
    s.rest(rng.uniform(500, 2000))
    longest_ms, pause_ms = rng.choice(((80, 280), (130, 350), (150, 500)))
    for _ in range(rng.randint(20, 50)):
        s.knock(rng.uniform(40, longest_ms), rng.uniform(0.05, 0.9))
        s.rest(pause_ms * rng.uniform(0.9, 2))
        if rng.random() < 0.04:
            s.squeeze(rng.uniform(300, 1200), rng.uniform(0.1, 0.8), 0.02)
            s.rest(rng.uniform(2000, 6000))
    s.rest(5000)


def _footstep(s: _Strip) -> None:
    """A few people walk over it, heel and toe, or pass close by and shake it."""
    rng = s.rng
    for _ in range(rng.randint(1, 4)):
        s.rest(rng.uniform(3000, 9000))
        if rng.random() < 0.5:
            for _ in range(rng.randint(1, 2)):
                s.knock(rng.uniform(150, 250), rng.uniform(0.8, 1.5))
                s.squeeze(rng.uniform(300, 450), rng.uniform(0.6, 1.4), 0.02)
                s.rest(rng.uniform(400, 700))
            continue
        for _ in range(rng.randint(4, 14)):
            s.knock(rng.uniform(40, 120), rng.uniform(0.02, 0.4))
            s.rest(rng.uniform(400, 520))
    s.rest(5000)


def _bump(s: _Strip) -> None:
    rng = s.rng
    s.rest(rng.uniform(500, 3000))
    s.knock(rng.uniform(30, 300), rng.uniform(0.3, 1.5))
    for _ in range(rng.randint(0, 3)):
        s.rest(rng.uniform(40, 150))
        s.knock(rng.uniform(20, 80), rng.uniform(0.05, 0.4))
    s.rest(8000)


def _chair(s: _Strip) -> None:
    """Sat on for minutes, with stirring and shifting, then left."""
    rng = s.rng
    s.rest(rng.uniform(500, 3000))
    level = rng.uniform(0.5, 1.6)
    s.knock(rng.uniform(150, 400), level * 1.3)
    for _ in range(rng.randint(3, 10)):
        s.load(rng.uniform(5000, 90000), level * rng.uniform(0.6, 1.3), 0.015)
        if rng.random() < 0.3:
            s.rest(rng.uniform(200, 1500), rng.uniform(0, 0.1))
    s.rest(15000)


def _held(s: _Strip) -> None:
    """Pressed for half an hour to two hours without a break, slowly creeping."""
    rng = s.rng
    s.rest(rng.uniform(500, 3000))
    level = rng.uniform(0.25, 1.4)
    s.squeeze(4000, level, 0.03, 0.0)
    for _ in range(rng.randint(6, 24)):
        level *= rng.uniform(0.93, 1.08)
        s.load(300000, level, 0.008)
    s.rest(15000)


def _self_test(s: _Strip, slack: float = 0.1) -> None:
    """Two seconds, pause, a tap, pause, two seconds, hands off."""
    rng = s.rng
    s.rest(rng.uniform(500, 3000))
    peak = rng.uniform(0.4, 1.1)
    for step, (ms, pressed) in enumerate(
        ((2000, 1), (2000, 0), (350, 1), (2000, 0), (2000, 1), (9000, 0))
    ):
        about_ms = ms * (1 + max(-2.0, min(2.0, rng.gauss(0, 1))) * slack * (step < 5))
        if pressed:
            s.squeeze(about_ms, peak * rng.uniform(0.85, 1.15), 0.04)
        else:
            s.rest(about_ms - 150)


def _sloppy(s: _Strip) -> None:
    _self_test(s, 0.35)


def _nothing(s: _Strip) -> None:
    s.rest(30000)


def _shorted(s: _Strip) -> None:
    s.rest(s.rng.uniform(500, 3000))
    s.rest(300000, 100.0)


_MAKERS: dict[str, Callable[[_Strip], None]] = {
    "hold": _hold,
    "weak": _weak,
    "cold": _cold,
    "child": _child,
    "glove": _glove,
    "drift": _hold,
    "frantic": _frantic,
    "repeated": _repeated,
    "irregular": _irregular,
    "self-test": _self_test,
    "self-test-sloppy": _sloppy,
    "bump": _bump,
    "bag": _bag,
    "footstep": _footstep,
    "chair": _chair,
    "held-for-hours": _held,
    "nothing": _nothing,
    "drift-alone": _nothing,
    "shorted": _shorted,
}

NAMES = tuple(_MAKERS)


def _drifted(points: list[tuple[float, float]], rng: Random) -> list[tuple[float, float]]:
    """Before the curve: minutes in which the level at rest creeps up, and stays there."""
    minutes, top = rng.uniform(2, 20), rng.uniform(0.05, 0.3)
    lead = [
        (i * 1000.0, top * (1 - math.exp(-3 * i / (60 * minutes))))
        for i in range(int(60 * minutes))
    ]
    end_ms, end = lead[-1]
    return lead + [(end_ms + 10 + t, end + level) for t, level in points]


def _sensor(rng: Random) -> Callable[[float], int]:
    """Level to millivolts. A level of 1.0 is 10 N at a bare FSR, or 2.4 V of a linear one."""
    kind = rng.choice(("linear", "linear", "fsr10", "fsr47"))
    if kind == "linear":
        gain_mv = rng.uniform(2000, 2800)
        return lambda level: min(round(gain_mv * level), FULL_MV)
    divider_kohm = 10.0 if kind == "fsr10" else 47.0

    def fsr(level: float) -> int:
        newton = 10 * level
        if newton < 0.1:  # below the break force it is open
            return 0
        kohm = 6.5 * math.pow(newton, -0.8)
        return round(FULL_MV * divider_kohm / (divider_kohm + kohm))

    return fsr


def curve(name: str, seed: int = 0) -> Curve:
    """Return one curve of `name` (see NAMES). Raises KeyError for a name that does not exist."""
    rng = Random(f"{name}/{seed}")
    to_mv = _sensor(rng)
    strip = _Strip(rng)
    _MAKERS[name](strip)
    points = strip.points
    if name.startswith("drift"):
        gain_mv = rng.uniform(2000, 2800)
        return [(round(t), min(round(gain_mv * v), FULL_MV)) for t, v in _drifted(points, rng)]
    return [(round(t), to_mv(level)) for t, level in points]
