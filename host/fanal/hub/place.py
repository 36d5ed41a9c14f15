"""Where a beacon is, from those that heard it, and the way it went. No clock, no I/O.

A listener says "I was here, and it came in this strong". Strength becomes a *range*, within which
nine of ten beacons are, by the log-distance model d = 10^((A - rssi + s) / 10 n) metres: A = -59
dBm at one metre, as iBeacons are calibrated; s = 10 dB, nine of ten of shadows of 8 dB. Rappaport
(Wireless Communications, 2nd ed., table 4.2) has n = 2 in free space and 2.7 to 3.5 in towns; 2.2
errs to the far side. Bluetooth LE carries about 100 m, and that is the most. An unknown strength
is as good as one from the middle.

Each listener has one vote, its newest hearing, however often it heard, in a circle that grows as
the hearing ages. The largest part that does not contradict itself is believed if it is a majority.
So beside two honest listeners one liar that is far off is outvoted; one that stays near enough to
be believed moves the place by less than three ranges, 300 m, and never outweighs two others that
hear at the same moment. Of two that contradict each other nobody can say who lies: the circle
covers both. One alone is believed.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fanal.position import EARTH_M, LISTENERS, Position

HALF_LIFE_MS = 120_000  # after this a hearing counts half beside one of now
SPAN_MS = 60_000  # of a trail
MOST_POINTS = 500  # of a trail

_ONE_METRE_DBM = -59.0
_EXPONENT = 2.2
_SHADOW_DB = 8.0
_NINE_OF_TEN = 1.28  # standard deviations, on one side
_LEAST_RANGE_M = 10.0
_MOST_RANGE_M = 100.0
_MIDDLE_RANGE_M = 75.0

_SAME_MOMENT_MS = 10_000  # one listener's frames of this long are one hearing
_CARRIED_M_S = 20.0  # how fast an older hearing's circle grows: in a car it may be that far by now
_MAJORITY = 0.6
_OLD = 0.25  # of the worth of a new one
_MOST_TIMES = 1.0  # what the strongest may weigh beside the others together
_MOST_LISTENERS = 40
_HALF_EARTH_M = 20_015_000.0


@dataclass(frozen=True, slots=True)
class HeardAt:
    """One hearing of a beacon: where its listener was, how strong it came in, and when.

    rssi_dbm: None if unknown. t_ms: when it was heard. listener: whose hearing it is, so that one
    that moves has one vote; if it is "", each place is a listener.
    """

    position: Position
    rssi_dbm: int | None
    t_ms: int
    listener: str = ""


@dataclass(frozen=True, slots=True)
class TrailPoint:
    """A place on a beacon's way: from when to when it was heard there, by how many listeners."""

    position: Position
    first_ms: int
    last_ms: int
    listeners: int


@dataclass(frozen=True, slots=True)
class _Vote:
    """What one listener says. reach_m: the beacon is this near, nine times of ten.

    direction: of its position, see `_direction`.
    """

    position: Position
    direction: tuple[float, float, float]
    age_s: float
    reach_m: float
    worth: float


def estimate(heard: Iterable[HeardAt], now_ms: int | None = None) -> Position | None:
    """Return where the beacon was when it was heard last, None if `heard` says nothing.

    now_ms: leave out what was heard later. The accuracy is a radius in which the place is eight
    times of ten or better, and never less than the least range of those that heard it.
    """
    usable = [one for one in heard if now_ms is None or one.t_ms <= now_ms]
    votes = _votes(usable)
    if not votes:
        return None
    kept = _majority(votes)
    if kept is None:
        return _around_all(votes)
    if len(kept) == 1:
        return _placed(kept[0].position, kept[0].reach_m)
    shares = _shares(kept)
    middle = _mean([vote.position for vote in kept], shares)
    square = sum(
        share * (middle.distance_m(vote.position) ** 2 + vote.reach_m**2)
        for share, vote in zip(shares, kept, strict=True)
    )
    return _placed(middle, math.sqrt(square))


def trail(
    heard: Iterable[HeardAt], span_ms: int = SPAN_MS, most: int = MOST_POINTS
) -> list[TrailPoint]:
    """Return the beacon's way, in the order of hearing: one point for each place and time span.

    span_ms: what is heard within this is one point; it grows until there are at most `most`.
    """
    in_order = sorted(heard, key=lambda one: one.t_ms)
    while True:
        points = _points(in_order, span_ms)
        if len(points) <= max(1, most):
            return points
        span_ms *= 2


def range_m(rssi_dbm: int | None) -> float:
    """Return within how many metres a beacon is, nine times of ten, that came in this strong."""
    if rssi_dbm is None:
        return _MIDDLE_RANGE_M
    faint_db = _ONE_METRE_DBM - rssi_dbm + _NINE_OF_TEN * _SHADOW_DB
    if faint_db > 10 * _EXPONENT * math.log10(_MOST_RANGE_M):
        return _MOST_RANGE_M
    return max(_LEAST_RANGE_M, 10 ** (faint_db / (10 * _EXPONENT)))


def _votes(heard: Sequence[HeardAt]) -> list[_Vote]:
    """Return one vote for each of the listeners that heard it last, the sharpest first."""
    of_listener: dict[object, list[HeardAt]] = {}
    for one in heard:
        place = (one.position.latitude, one.position.longitude)
        of_listener.setdefault(one.listener or place, []).append(one)
    newest = [max(each, key=lambda one: one.t_ms) for each in of_listener.values()]
    if not newest:
        return []
    now_ms = max(one.t_ms for one in newest)
    votes = []
    for last, each in zip(newest, of_listener.values(), strict=True):
        rssi = _median([one.rssi_dbm for one in each
                        if one.rssi_dbm is not None and last.t_ms - one.t_ms <= _SAME_MOMENT_MS
                        and one.position == last.position])  # fmt: skip
        age_s = (now_ms - last.t_ms) / 1000
        accuracy_m = min(last.position.accuracy_m, _HALF_EARTH_M)
        reach_m = math.hypot(range_m(rssi), accuracy_m, min(_CARRIED_M_S * age_s, _HALF_EARTH_M))
        worth = 2.0 ** -min(1000.0, 1000 * age_s / HALF_LIFE_MS)
        votes.append(_Vote(last.position, _direction(last.position), age_s, reach_m, worth))
    newest_votes = sorted(votes, key=lambda vote: vote.age_s)[:_MOST_LISTENERS]
    return sorted(newest_votes, key=lambda vote: vote.reach_m)


def _majority(votes: list[_Vote]) -> list[_Vote] | None:
    """Return the votes that go together, None if they contradict and no side is stronger.

    Each with each: an old vote with a wide circle agrees with two that contradict each other.
    """
    count = len(votes)
    agree = [0] * count  # a set of numbers of votes, as bits
    for i in range(count):
        for j in range(i, count):
            if _touch(votes[i], votes[j]):
                agree[i] |= 1 << j
                agree[j] |= 1 << i
    if all(bits == (1 << count) - 1 for bits in agree):
        return votes
    best, most = 0, 0.0
    for first in range(count):
        group, allowed = 1 << first, agree[first]
        for other in range(count):
            if allowed >> other & 1:
                group |= 1 << other
                allowed &= agree[other]
        worth = sum(vote.worth for i, vote in enumerate(votes) if group >> i & 1)
        if worth > most:
            best, most = group, worth
    if most <= _MAJORITY * sum(vote.worth for vote in votes):
        return None
    return [vote for i, vote in enumerate(votes) if best >> i & 1]


def _touch(one: _Vote, other: _Vote) -> bool:
    """Return whether both can be true: their circles touch."""
    angle = min(math.pi, (one.reach_m + other.reach_m) / EARTH_M)
    # by the chord: this is asked for every pair
    return math.dist(one.direction, other.direction) <= 2 * math.sin(angle / 2)


def _shares(votes: list[_Vote]) -> list[float]:
    """Return the weight of each vote, together 1.

    Beside two or more of the same moment nobody outweighs the others of that moment together;
    old votes do not count for that, or they would gain by it.
    """
    weights = [vote.worth / vote.reach_m**2 for vote in votes]
    strongest = weights.index(max(weights))
    beside = [weight for i, (weight, vote) in enumerate(zip(weights, votes, strict=True))
              if i != strongest and 1000 * vote.age_s <= _SAME_MOMENT_MS]  # fmt: skip
    if len(beside) >= 2:
        weights[strongest] = min(weights[strongest], _MOST_TIMES * sum(beside))
    total = sum(weights)
    return [weight / total for weight in weights]


def _around_all(votes: list[_Vote]) -> Position:
    """Return a circle that covers the circles of all that are not old."""
    votes = [vote for vote in votes if vote.worth >= _OLD]
    middle = _mean([vote.position for vote in votes], [1 / len(votes)] * len(votes))
    return _placed(middle, max(middle.distance_m(v.position) + v.reach_m for v in votes))


def _mean(positions: list[Position], shares: list[float]) -> Position:
    """Return the weighted middle, through the globe, so that no line on the map is in the way."""
    x = y = z = 0.0
    for position, share in zip(positions, shares, strict=True):
        to_x, to_y, to_z = _direction(position)
        x, y, z = x + share * to_x, y + share * to_y, z + share * to_z
    if math.hypot(x, y, z) < 1e-6:  # from all sides of the globe: no middle
        return positions[0]
    return Position(math.degrees(math.atan2(z, math.hypot(x, y))),
                    math.degrees(math.atan2(y, x)), 0.0, LISTENERS)  # fmt: skip


def _direction(position: Position) -> tuple[float, float, float]:
    """Return the way from the middle of the globe to a place, 1 long."""
    north, east = math.radians(position.latitude), math.radians(position.longitude)
    return math.cos(north) * math.cos(east), math.cos(north) * math.sin(east), math.sin(north)


def _placed(position: Position, radius_m: float) -> Position:
    return Position(
        position.latitude, position.longitude, min(radius_m, _HALF_EARTH_M), LISTENERS
    )  # fmt: skip


def _median(values: list[int]) -> int | None:
    return sorted(values)[len(values) // 2] if values else None


def _points(in_order: Sequence[HeardAt], span_ms: int) -> list[TrailPoint]:
    """Return the points of a trail: spans one after another, those at one place made one."""
    spans: list[list[HeardAt]] = []
    for one in in_order:
        if not spans or one.t_ms - spans[-1][0].t_ms >= span_ms:
            spans.append([])
        spans[-1].append(one)
    points: list[TrailPoint] = []
    group: list[HeardAt] = []
    for span in spans:
        place = estimate(span)
        if place is None:
            continue
        stays = bool(points) and _is_same_place(points[-1].position, place)
        group = [*group, *span] if stays else span
        better = place
        if stays and points[-1].position.accuracy_m <= place.accuracy_m:
            better = points[-1].position
        point = TrailPoint(better, group[0].t_ms, group[-1].t_ms, _listeners(group))
        points[-1 if stays else len(points) :] = [point]
    return points


def _is_same_place(one: Position, other: Position) -> bool:
    """Return whether either lies within the circle of the other."""
    return one.distance_m(other) <= max(one.accuracy_m, other.accuracy_m)


def _listeners(heard: Sequence[HeardAt]) -> int:
    return len({
        one.listener or (one.position.latitude, one.position.longitude) for one in heard
    })  # fmt: skip
