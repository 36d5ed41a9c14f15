"""Made-up walks of a beacon among listeners: what each hears, and where the beacon was.

Signal strengths have shadows of 8 dB, and a loss that is drawn for each walk.
"""

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass

from fanal.hub.place import HeardAt
from fanal.position import Position

ORIGIN = Position(51.5, -0.1, 0)
METRE = 1 / 111_195  # of latitude, in degrees
LIE_M = 3_000


@dataclass(frozen=True)
class Scene:
    """Listeners over a square, a beacon that goes through it, and what is wrong."""

    name: str
    listeners: int
    side_m: float
    speed_m_s: float
    minutes: float = 10
    loss: tuple[float, float] = (2.2, 3.2)  # the exponent, drawn once a walk
    unknown: bool = False  # no listener knows a strength
    liars: int = 0


SCENES = (
    Scene("a house, still", 4, 40, 0),
    Scene("a square, still", 6, 150, 0),
    Scene("a crowd, still", 20, 80, 0),
    Scene("a crowd, on foot", 20, 80, 1.4),
    Scene("a street, on foot", 12, 400, 1.4),
    Scene("a street, strengths unknown", 12, 400, 1.4, unknown=True),
    Scene("a town, on foot", 60, 1_500, 1.4),
    Scene("a town, by car", 60, 1_500, 14),
    Scene("a square, one of six lies", 6, 150, 0, liars=1),
    Scene("a crowd, one of twenty lies", 20, 80, 1.4, liars=1),
    Scene("a town, one of sixty lies", 60, 1_500, 1.4, liars=1),
)


def at(east_m: float, north_m: float, accuracy_m: float = 0) -> Position:
    """Return a place so far from the origin."""
    cosine = math.cos(math.radians(ORIGIN.latitude))
    return Position(ORIGIN.latitude + north_m * METRE, ORIGIN.longitude + east_m * METRE / cosine,
                    accuracy_m)  # fmt: skip


def walk(scene: Scene, chosen: random.Random) -> Iterator[tuple[int, float, float]]:
    """Yield (t_ms, east, north) every 2 s; it turns back at the edge."""
    half = scene.side_m / 2
    east, north = chosen.uniform(-half, half), chosen.uniform(-half, half)
    heading = chosen.uniform(0, 2 * math.pi)
    for t_ms in range(0, int(60_000 * scene.minutes), 2_000):
        yield t_ms, east, north
        heading += chosen.gauss(0, 0.2)
        east += 2 * scene.speed_m_s * math.cos(heading)
        north += 2 * scene.speed_m_s * math.sin(heading)
        if max(abs(east), abs(north)) > half:
            east, north = max(-half, min(half, east)), max(-half, min(half, north))
            heading += math.pi / 2


def hearings(scene: Scene, seed: int) -> tuple[list[HeardAt], Position]:
    """Return what is heard on one walk, and where the beacon was when it was heard last."""
    chosen = random.Random(seed)
    half = scene.side_m / 2
    ears = [(chosen.uniform(-half, half), chosen.uniform(-half, half), chosen.choice([5, 10, 20]))
            for _ in range(scene.listeners)]  # fmt: skip
    off_m = [(chosen.gauss(0, a / 2), chosen.gauss(0, a / 2)) for _, _, a in ears]
    shadow_db = [chosen.gauss(0, 8) for _ in ears]
    loss = chosen.uniform(*scene.loss)
    heard, truth = [], ORIGIN
    for t_ms, east, north in walk(scene, chosen):
        for i, (ear_east, ear_north, accuracy_m) in enumerate(ears):
            if chosen.random() < 0.02:  # somebody moved: another shadow
                shadow_db[i] = chosen.gauss(0, 8)
            distance_m = max(0.5, math.hypot(east - ear_east, north - ear_north))
            rssi = -59 - 10 * loss * math.log10(distance_m) + shadow_db[i] + chosen.gauss(0, 2)
            if rssi < -97 or chosen.random() < 0.5:
                continue
            said = at(ear_east + off_m[i][0], ear_north + off_m[i][1], accuracy_m)
            if i < scene.liars:
                said, rssi = at(ear_east + LIE_M, ear_north, 5), -40.0
            strength = None if scene.unknown else max(-97, min(-20, round(rssi)))
            heard.append(HeardAt(said, strength, t_ms + chosen.randrange(2_000), str(i)))
            truth = at(east, north)
    return heard, truth
