"""The frame schedule: the order of DESIGN, the opening of each unit, crumbs."""

import pytest

from tests.unit.fake_board import schedule

A = schedule.ALERT


def unit_of(unit, sealed=True, signed=True, crumbs=0, frames=20):
    return [schedule.choose(unit, i, sealed, signed, crumbs) for i in range(frames)]


def test_the_cycle_is_alert_page_page_through_all_pages():
    assert unit_of(0, frames=18) == [A, 0, 1, A, 2, 3, A, 4, 5, A, 6, 7, A, 8, 9, A, 10, 11]


def test_a_unit_opens_with_its_number_in_the_cycle():
    cycle = unit_of(0, frames=18)
    for unit in range(54):
        assert unit_of(unit) == [cycle[(unit + i) % 18] for i in range(20)]


def test_who_hears_one_frame_per_unit_gets_all_of_it():
    heard = [schedule.choose(unit, 0, True, True, 0) for unit in range(18)]
    assert sorted(heard) == sorted(unit_of(0, frames=18))


def test_only_alerts_until_there_is_a_signature():
    for unit in range(18):
        assert set(unit_of(unit, signed=False)) == {A}


def test_only_pages_in_a_unit_without_its_alert():
    for unit in range(18):
        assert set(unit_of(unit, sealed=False, frames=18)) == set(range(12))
        assert set(unit_of(unit, sealed=False, signed=False)) == {schedule.NOTHING}


@pytest.mark.parametrize("crumbs", [1, 2, 5, 17, 255])
def test_crumbs_take_some_places_and_spare_all_pages(crumbs):
    frames = [
        schedule.choose(first, 0, True, True, crumbs) for first in range(18 * 4 * (crumbs + 4))
    ]
    cycles = [frames[i : i + 18] for i in range(0, len(frames), 18)]
    assert all(cycle.count(A) == 6 for cycle in cycles)
    assert all(sum(frame >= schedule.CRUMB for frame in cycle) == 3 for cycle in cycles)
    seen = {frame - schedule.CRUMB for frame in frames if frame >= schedule.CRUMB}
    assert seen == set(range(crumbs))
    for i in range(len(cycles) - 1):
        assert set(range(12)) <= set(cycles[i]) | set(cycles[i + 1])


def test_a_cycle_that_runs_over_a_unit_goes_on_counting():
    whole = [schedule.choose(0, i, True, True, 3) for i in range(36)]
    assert whole[18:] == [schedule.choose(18, i, True, True, 3) for i in range(18)]
