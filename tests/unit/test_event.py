"""The event state machine: its table, its timers, and what no clock can make it do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.fake_board import Settings, event

STATES = range(event.QUIET, event.DRILL_TRACK + 1)
HAPPENINGS = range(event.HOLD, event.BATTERY_OUT + 1)

# state, happening, what is to be done, the state after it; everything else does nothing
STEPS = [
    (event.QUIET, event.HOLD, event.OPEN, event.ALERT),
    (event.QUIET, event.SELF_TEST, event.OPEN, event.TEST),
    (event.QUIET, event.ARMED_HOLD, event.OPEN, event.DRILL),
    (event.QUIET, event.RESUME, event.OPEN, event.ALERT),
    (event.QUIET, event.RESUME_DRILL, event.OPEN, event.DRILL),
    (event.PUT_OFF, event.HOLD, event.OPEN, event.ALERT),
    (event.PUT_OFF, event.RESUME, event.OPEN, event.ALERT),
    (event.PUT_OFF, event.RESUME_DRILL, event.OPEN, event.DRILL),
    (event.TEST, event.HOLD, event.OPEN, event.ALERT),
    (event.ALERT, event.HOLD, event.RENEW, event.ALERT),
    (event.ALERT, event.PHASE_OVER, event.REST, event.TRACK),
    (event.TRACK, event.HOLD, event.RENEW, event.ALERT),
    (event.DRILL, event.HOLD, event.OPEN, event.ALERT),
    (event.DRILL, event.PHASE_OVER, event.REST, event.DRILL_TRACK),
    (event.DRILL_TRACK, event.HOLD, event.OPEN, event.ALERT),
]
STEPS += [
    (state, ending, event.END, event.QUIET)
    for state in (event.TEST, event.ALERT, event.TRACK, event.DRILL, event.DRILL_TRACK)
    for ending in (event.EVENT_OVER, event.BATTERY_OUT)
]


def test_the_table():
    named = {(state, happening): (action, after) for state, happening, action, after in STEPS}
    for state in STATES:
        for happening in HAPPENINGS:
            expected = named.get((state, happening), (event.NOTHING, state))
            assert event.decide(state, happening) == expected


def test_every_hold_ends_in_an_alert_that_is_real():
    for state in STATES:
        assert event.decide(state, event.HOLD)[1] == event.ALERT


@pytest.mark.parametrize("profile", ["fixed", "carried"])
@pytest.mark.parametrize("state", [event.TEST, event.ALERT, event.DRILL])
@given(ages=st.lists(st.integers(-(2**31), 2**31), max_size=60), holds=st.sets(st.integers(0, 60)))
def test_no_unit_twice_whatever_the_clock_does(profile, state, ages, holds):
    opened = event.Event(1, state, Settings({"profile": profile}), drill=state == event.DRILL)
    units = []
    for turn, age_ms in enumerate(ages):
        if turn in holds and opened.state in (event.ALERT, event.TRACK):
            opened.renew()
        action = opened.at(age_ms)
        if action == event.END:
            assert opened.at(0) == event.END
            break
        if action == event.TRANSMIT and opened.reserve():
            units.append(opened.unit)
        elif action == event.LISTEN:
            assert 1 <= opened.wait_ms() <= 86_400_000
    assert units == sorted(set(units))
    assert all(0 <= unit < 96 * 450 for unit in units)


@given(st.integers(0, 96 * 450 - 1), st.integers(-(2**31), 2**31))
def test_a_wake_inside_a_used_unit_takes_none(unit, age_ms):
    opened = event.Event(1, event.ALERT, Settings({"profile": "carried"}))
    opened.restore(age_ms, unit, 0, 0)
    assert opened.age_ms >= unit * event.UNIT_MS
    assert opened.reserve() == (unit < opened.unit)


def spans(opened, step_ms=100, until_ms=90_000_000):
    """Return the (action, from, to) of a life that skips its sleeps."""
    found, age_ms = [], 0
    while age_ms < until_ms:
        action = opened.at(age_ms)
        if not found or found[-1][0] != action:
            found.append([action, age_ms, age_ms])
        found[-1][2] = age_ms
        if action == event.END:
            return found
        age_ms += opened.wait_ms() if action == event.LISTEN else step_ms
    return found


def test_a_fixed_event():
    settings = Settings({"alert_s": 60, "event_s": 200, "burst_s": 10, "track_period_s": 50})
    found = spans(event.Event(1, event.ALERT, settings))
    on_air = [(first, last) for action, first, last in found if action == event.TRANSMIT]
    assert on_air == [(0, 59900), (100000, 109900), (150000, 159900)]
    assert found[-1][:2] == [event.END, 200000]


def test_a_carried_event_ends_before_slot_96():
    found = spans(event.Event(1, event.ALERT, Settings({"profile": "carried"})))
    assert found[-1][:2] == [event.END, event.LAST_MS]
    assert len([span for span in found if span[0] == event.TRANSMIT]) > 280


@pytest.mark.parametrize("profile", ["fixed", "carried"])
def test_a_drill_is_short_on_every_profile(profile):
    settings = Settings({"profile": profile, "event_s": 600})
    found = spans(event.Event(1, event.DRILL, settings, drill=True))
    assert found[-1][:2] == [event.END, 600000]


def test_a_hold_starts_the_times_anew():
    settings = Settings({"alert_s": 60, "event_s": 200, "burst_s": 10, "track_period_s": 50})
    opened = event.Event(1, event.ALERT, settings)
    assert opened.at(70000) == event.LISTEN
    opened.renew()
    assert (opened.at(129000), opened.phase) == (event.TRANSMIT, 0)
    assert opened.at(130000) == event.LISTEN
    assert opened.at(269999) != event.END
    assert opened.at(270000) == event.END


def test_an_oversleep_does_not_cost_the_burst():
    settings = Settings({"alert_s": 60, "burst_s": 10, "track_period_s": 50})
    opened = event.Event(1, event.ALERT, settings)
    assert opened.at(60000) == event.LISTEN
    assert opened.at(140000) == event.TRANSMIT
    assert opened.at(149900) == event.TRANSMIT
    assert opened.at(150000) == event.LISTEN


def test_a_self_test_has_no_track_phase():
    found = spans(event.Event(1, event.TEST, Settings({"self_test_s": 20})))
    assert [span[0] for span in found] == [event.TRANSMIT, event.END]
    assert found[-1][1] == 20000


@pytest.mark.parametrize(
    ("readings", "ends"),
    [
        ((2800,) * 3, True),
        ((2000,) * 3, True),
        ((2800, 2800, 3000, 2800, 2800), False),
        ((0,) * 9, False),
        ((284,) * 9, False),
        ((1999,) * 9, False),
    ],
    ids=["flat", "flatter", "dips", "none", "grounded", "too_low_to_run"],
)
def test_battery(readings, ends):
    opened = event.Event(1, event.ALERT, Settings())
    actions = [opened.battery(battery_mv) for battery_mv in readings]
    assert (event.END in actions) == ends
