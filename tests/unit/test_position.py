"""A place on the globe, and how far two of them are apart."""

import math

import pytest
from fanal.position import Position
from hypothesis import given
from hypothesis import strategies as st

POSITIONS = st.builds(Position, st.floats(-90, 90), st.floats(-180, 180), st.floats(0, 1e6))


@pytest.mark.parametrize(
    ("latitude", "longitude", "accuracy_m"),
    [
        (90.1, 0, 1), (-90.1, 0, 1), (0, 180.1, 1), (0, -180.1, 1), (0, 0, -1),
        (math.nan, 0, 1), (0, math.nan, 1), (0, 0, math.nan),
        (math.inf, 0, 1), (0, -math.inf, 1), (0, 0, math.inf),
    ],
)  # fmt: skip
def test_no_place_on_earth(latitude, longitude, accuracy_m):
    with pytest.raises(ValueError, match=r"position|latitude|accuracy"):
        Position(latitude, longitude, accuracy_m)


@pytest.mark.parametrize("corner", [(90, 180), (-90, -180), (90, -180), (0, 0)])
def test_the_corners_of_the_map_are_places(corner):
    assert Position(*corner, 0).distance_m(Position(*corner, 0)) == 0


@pytest.mark.parametrize(
    ("one", "other", "km"),
    [
        ((48.8566, 2.3522), (51.5074, -0.1278), 343.6),  # Paris, London
        ((0, 0), (0, 180), 20015.1),  # half the way round
        ((90, 0), (-90, 0), 20015.1),
        ((0, 179.9), (0, -179.9), 22.24),  # over the date line
        ((90, 10), (90, 170), 0.0),  # one pole
    ],
)
def test_known_distances(one, other, km):
    assert Position(*one, 1).distance_m(Position(*other, 1)) / 1000 == pytest.approx(km, rel=2e-3)


@given(POSITIONS, POSITIONS)
def test_a_distance_is_the_same_both_ways_and_never_beyond_the_globe(one, other):
    assert one.distance_m(other) == pytest.approx(other.distance_m(one), abs=1e-3)
    assert 0 <= one.distance_m(other) <= 20_015_200
    assert one.distance_m(one) == 0
