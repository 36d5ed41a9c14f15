"""Where a beacon is: what the radius promises, what a liar can do, and a globe without edges."""

import math
import random

import pytest
from fanal.hub.place import HALF_LIFE_MS, MOST_POINTS, HeardAt, estimate, range_m, trail
from fanal.position import FIXED, GPS, LISTENERS, Position
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.walks import LIE_M, SCENES, at, hearings

T0 = 1_790_000_000_000
SEEDS = 60

positions = st.builds(
    Position, st.floats(-90, 90), st.floats(-180, 180), st.floats(0, 1e9), st.just(GPS)
)
hearing = st.builds(
    HeardAt, positions, st.none() | st.integers(-127, 20), st.integers(0, 2**53),
    st.sampled_from(["", "a", "b", "c"]),
)  # fmt: skip


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
def test_true_place_is_within_the_radius_eight_times_of_ten(scene):
    held = count = 0
    for seed in range(SEEDS):
        heard, truth = hearings(scene, seed)
        place = estimate(heard)
        if place is not None:
            count += 1
            held += place.distance_m(truth) <= place.accuracy_m
    assert count > SEEDS // 2
    assert held >= 0.8 * count


def test_nothing_heard_is_no_place():
    assert estimate([]) is None
    assert trail([]) == []
    assert estimate([HeardAt(at(0, 0), -60, T0)], now_ms=T0 - 1) is None


@pytest.mark.parametrize("rssi", [None, -127, -97, -60, 0, 20])
def test_one_listener_is_the_place_with_its_range_and_its_own_accuracy(rssi):
    place = estimate([HeardAt(at(0, 0, 30), rssi, T0)])
    assert (place.latitude, place.longitude, place.source) == (51.5, -0.1, LISTENERS)
    assert place.accuracy_m == pytest.approx(math.hypot(range_m(rssi), 30))


def test_range_grows_as_the_strength_falls_and_has_an_end():
    ranges = [range_m(rssi) for rssi in range(20, -128, -1)]
    assert ranges == sorted(ranges)
    assert (ranges[0], ranges[-1]) == (10, 100)
    assert ranges[0] < range_m(None) < ranges[-1]


def test_strong_matters_more_than_faint():
    near, far = at(0, 0), at(60, 0)
    place = estimate([HeardAt(near, -60, T0, "a"), HeardAt(far, -95, T0, "b")])
    assert place.distance_m(near) < 5


def test_new_matters_more_than_old():
    old = [HeardAt(at(20 * i, 500), -60, T0, str(i)) for i in range(3)]
    new = HeardAt(at(0, 0), -80, T0 + 10 * HALF_LIFE_MS, "new")
    place = estimate([*old, new])
    assert place.distance_m(new.position) < 5
    assert estimate([*old, new], now_ms=T0).distance_m(at(20, 500)) < 25


def test_what_was_heard_long_ago_outvotes_nobody():
    old = [HeardAt(at(0, 100_000), -60, T0, str(i)) for i in range(5)]
    new = HeardAt(at(0, 0), -80, T0 + 10 * HALF_LIFE_MS, "new")
    assert estimate([*old, new]).distance_m(new.position) < 5


def test_it_may_have_gone_by_car_from_one_listener_to_the_next():
    heard = [HeardAt(at(1000 * i, 0), -80, T0 + 60_000 * i, str(i)) for i in range(5)]
    place = estimate(heard)
    assert place.distance_m(heard[-1].position) < 20
    assert place.accuracy_m < 100


def test_an_old_circle_that_is_wide_does_not_make_a_liar_fit():
    wide = HeardAt(at(1500, 0), -60, T0 - 240_000, "old")
    honest = [HeardAt(at(0, 10 * i), -80, T0, str(i)) for i in range(3)]
    liar = HeardAt(at(LIE_M, 0), -80, T0, "liar")
    assert estimate([wide, *honest, liar]).distance_m(at(0, 10)) < 30


def test_a_listener_has_one_vote_however_often_it_heard():
    quiet = [HeardAt(at(100, 0), -80, T0, "a"), HeardAt(at(100, 0), -80, T0, "b")]
    loud = [HeardAt(at(0, 0), -80, T0 - i, "c") for i in range(500)]
    assert estimate([*quiet, *loud]) == estimate([*quiet, loud[0]])
    nameless = [HeardAt(one.position, one.rssi_dbm, one.t_ms) for one in (*quiet[:1], *loud)]
    assert estimate(nameless) == estimate([nameless[0], nameless[1]])


@given(st.lists(hearing, min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_any_hearings_give_a_place_that_is_one_and_duplicates_change_nothing(heard, chosen):
    place = estimate(heard)
    assert place.source == LISTENERS
    assert place.accuracy_m >= min(range_m(one.rssi_dbm) for one in heard) - 1e-9
    doubled = [*heard, *heard]
    assert estimate(doubled).accuracy_m == pytest.approx(place.accuracy_m, rel=1e-6)
    points = trail(chosen.sample(doubled, len(doubled)))
    assert points[0].first_ms == min(one.t_ms for one in heard)
    assert points[-1].last_ms == max(one.t_ms for one in heard)


@pytest.mark.parametrize("seed", range(3))
def test_order_of_hearings_does_not_matter(seed):
    heard, _ = hearings(SCENES[2], seed)
    place = estimate(heard)
    other = estimate(random.Random(seed).sample(heard, len(heard)))
    assert other.distance_m(place) < 1
    assert other.accuracy_m == pytest.approx(place.accuracy_m, rel=0.02)


honest = st.tuples(st.floats(0, 1), st.floats(0, 2 * math.pi), st.integers(-100, -30))


@given(
    st.lists(honest, min_size=2, max_size=6),
    st.floats(0, 20_000),
    st.floats(0, 2 * math.pi),
    st.none() | st.integers(-127, 20),
    st.sampled_from([0, 5, 100, 5_000, 1e7]),
)
@settings(max_examples=400)
def test_one_liar_beside_two_honest_listeners_moves_the_place_by_less_than_300_m(
    others, far_m, where, rssi, accuracy_m
):
    truth = at(0, 0)
    heard = [
        HeardAt(
            at(
                inside * range_m(strength) * math.cos(angle),
                inside * range_m(strength) * math.sin(angle),
            ),
            strength, T0, str(i),
        )
        for i, (inside, angle, strength) in enumerate(others)
    ]  # fmt: skip
    lie = at(far_m * math.cos(where), far_m * math.sin(where), accuracy_m)
    place = estimate([*heard, HeardAt(lie, rssi, T0, "liar")])
    assert place.distance_m(truth) < 300


def test_two_that_contradict_each_other_are_both_covered():
    one, other = HeardAt(at(0, 0), -50, T0, "a"), HeardAt(at(LIE_M, 0), -50, T0, "b")
    place = estimate([one, other])
    for heard in (one, other):
        assert place.distance_m(heard.position) + range_m(-50) <= place.accuracy_m + 0.01


def test_a_liar_with_a_strong_signal_does_not_outweigh_two_others_of_the_moment():
    heard = [HeardAt(at(0, 0), -90, T0, "a"), HeardAt(at(0, 10), -90, T0, "b")]
    place = estimate([*heard, HeardAt(at(60, 0), 20, T0, "liar")])
    assert place.distance_m(at(0, 5)) <= 31


@pytest.mark.parametrize("latitude", [0, 60, 89.9999, -89.9999])
@pytest.mark.parametrize("longitude", [0.0, 180.0])
def test_no_line_of_the_map_is_in_the_way(latitude, longitude):
    step = min(0.0002 / math.cos(math.radians(latitude)), 179)
    west = Position(latitude, (longitude - step + 180) % 360 - 180, 0)
    east = Position(latitude, (longitude + step + 180) % 360 - 180, 0)
    place = estimate([HeardAt(west, -80, T0, "a"), HeardAt(east, -80, T0, "b")])
    reach = west.distance_m(east)
    assert place.distance_m(west) <= reach
    assert place.distance_m(east) <= reach
    assert place.accuracy_m < 200


def test_all_around_the_pole_and_all_around_the_globe():
    around = [Position(89.9999, longitude, 0) for longitude in (-120, 0, 120)]
    place = estimate([HeardAt(one, -80, T0, str(i)) for i, one in enumerate(around)])
    assert place.latitude > 89.99999
    ends = [Position(90, 0, 0), Position(-90, 0, 0)]
    place = estimate([HeardAt(one, -80, T0, str(i)) for i, one in enumerate(ends)])
    assert place.accuracy_m > 20_000_000


def test_trail_has_one_point_for_each_place_in_the_order_of_hearing():
    places = [at(0, 0), at(1000, 0), at(2000, 0), at(0, 0)]
    heard = [
        HeardAt(place, -70, T0 + 600_000 * i + 2000 * k, "ab"[k % 2])
        for i, place in enumerate(places)
        for k in range(200)
    ]
    points = trail(random.Random(1).sample(heard, len(heard)))
    assert [round(point.position.distance_m(at(0, 0)), -2) for point in points] == [
        0,
        1000,
        2000,
        0,
    ]
    assert [point.listeners for point in points] == [2, 2, 2, 2]
    assert [(p.first_ms - T0, p.last_ms - T0) for p in points] == [
        (600_000 * i, 600_000 * i + 398_000) for i in range(4)
    ]


def test_trail_is_bounded_and_loses_neither_end():
    heard = [HeardAt(at(300 * i, 0), -60, T0 + 60_000 * i) for i in range(3 * MOST_POINTS)]
    points = trail(heard)
    assert MOST_POINTS / 4 < len(points) <= MOST_POINTS
    assert (points[0].first_ms, points[-1].last_ms) == (heard[0].t_ms, heard[-1].t_ms)
    assert [p.first_ms for p in points] == sorted(p.first_ms for p in points)
    assert len(trail(heard, most=1)) == 1


def test_a_fixed_listener_is_not_taken_for_the_beacon():
    assert estimate([HeardAt(Position(1, 2, 0, FIXED), -60, T0)]).source == LISTENERS
