"""Force over time, and the level that a digital input makes of it."""

import pytest
from fanal.sim.senses import FALLS_AT_MV, RISES_AT_MV, Senses
from hypothesis import given
from hypothesis import strategies as st


def played(curve, now_s=10.0, level=0):
    senses = Senses()
    senses.play(curve, now_s)
    return senses, list(senses.edges(level))


def test_straight_lines_between_points_and_the_last_value_stays():
    senses, _ = played([(0, 0), (100, 1000), (200, 500)])
    read = [senses.force_mv(10 + t) for t in (-1, 0, 0.05, 0.1, 0.15, 0.2, 99)]
    assert read == [0, 0, 500, 1000, 750, 500, 500]
    assert senses.is_playing(10.19)
    assert not senses.is_playing(10.21)


def test_the_input_switches_where_the_line_crosses_its_threshold():
    _, edges = played([(0, 0), (1000, 3300), (2000, 0)])
    (up_s, up), (down_s, down) = edges
    assert (up, down) == (1, 0)
    assert up_s == pytest.approx(10 + RISES_AT_MV / 3300)
    assert down_s == pytest.approx(12 - FALLS_AT_MV / 3300)


def test_in_between_the_input_keeps_its_level():
    middle = (RISES_AT_MV + FALLS_AT_MV) // 2
    assert played([(0, 0), (100, middle), (200, 0)])[1] == []
    assert played([(0, 3000), (100, middle), (200, 3000)], level=1)[1] == []


def test_a_curve_that_begins_pressed_switches_at_once():
    assert played([(0, 3000), (100, 3000)])[1][0] == (10.0, 1)
    assert played([(0, 0), (1, 0)], level=1)[1][0][1] == 0


def test_an_empty_curve_is_refused():
    with pytest.raises(ValueError, match="at least one point"):
        Senses().play([], 0)


@given(st.lists(st.integers(0, 3300), min_size=1, max_size=30), st.integers(0, 1))
def test_edges_alternate_go_forward_and_end_where_the_level_does(values, level):
    curve = [(i * 50, mv) for i, mv in enumerate(values)]
    _, edges = played(curve, 0.0, level)
    assert [t for t, _ in edges] == sorted(t for t, _ in edges)
    assert [new for _, new in edges] == [(level + i + 1) % 2 for i in range(len(edges))]
    last, mv = (edges[-1][1] if edges else level), values[-1]
    if mv >= RISES_AT_MV:
        assert last == 1
    if mv < FALLS_AT_MV:
        assert last == 0
