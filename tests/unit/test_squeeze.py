"""The squeeze detector: each rule at its edges, and the adversary at all of them."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.corpus import score
from tests.corpus.score import squeeze

HOLD, SELF_TEST = squeeze.HOLD, squeeze.SELF_TEST
ROOT = Path(__file__).resolve().parents[2]
QUIET = (0, 15000)
PATTERN = [(1500, 2000), (0, 2000), (1500, 350), (0, 2000), (1500, 2000)]


def readings(pieces, period_ms=20, start_ms=0, jitter=(0,)):
    """Turn (force_mv, duration_ms) pieces into readings, the jitter taken round and round."""
    out, end_ms, t_ms, i = [], start_ms, start_ms, 0
    for force_mv, duration_ms in pieces:
        end_ms += duration_ms
        while t_ms < end_ms:
            out.append((t_ms, force_mv))
            t_ms += period_ms + jitter[i % len(jitter)]
            i += 1
    return out


def decisions(pieces, period_ms=20, **kwargs):
    """Return only what was decided, in order."""
    return [d for _, d in score.decide(readings(pieces, period_ms), **kwargs)]


def fed(detector, pieces, start_ms=0):
    """Feed the pieces; return the decisions."""
    decided = [detector.feed(t, mv) for t, mv in readings(pieces, start_ms=start_ms)]
    return [d for d in decided if d]


@pytest.mark.parametrize("force_mv", [300, 500, 1500, 3300])
@pytest.mark.parametrize(
    ("held_ms", "expected"), [(100, []), (1500, []), (2900, []), (3060, [HOLD]), (20000, [HOLD])]
)
def test_a_hold_is_three_seconds(force_mv, held_ms, expected):
    assert decisions([(0, 1000), (force_mv, held_ms), QUIET]) == expected


@pytest.mark.parametrize("hold_ms", [2000, 3000, 5000])
def test_the_setting_decides_how_long(hold_ms):
    [(t_ms, decision)] = score.decide(
        readings([(0, 1000), (1500, hold_ms + 1000), QUIET]), hold_ms=hold_ms
    )
    assert decision == HOLD
    assert -20 <= t_ms - 1000 - hold_ms <= 60


@pytest.mark.parametrize("sag_ms", [40, 100, 200, 380])
def test_a_sag_does_not_restart_a_hold(sag_ms):
    pieces = [(0, 1000), (1500, 1500), (0, sag_ms), (1500, 1700), QUIET]
    [(t_ms, decision)] = score.decide(readings(pieces))
    assert decision == HOLD
    assert t_ms <= 1000 + 3000 + 60


@pytest.mark.parametrize("period_ms", [20, 33, 50])
@pytest.mark.parametrize("hz_tenths", [24, 30, 40, 50])
@pytest.mark.parametrize("duty_percent", [35, 50, 70])
def test_frantic_squeezes_alert_within_ten_seconds(period_ms, hz_tenths, duty_percent):
    cycle_ms = 10000 // hz_tenths
    on_ms = cycle_ms * duty_percent // 100
    pieces = [(0, 777)] + [(900, on_ms), (0, cycle_ms - on_ms)] * (10000 // cycle_ms)
    assert decisions([*pieces, QUIET], period_ms) == [HOLD]


@pytest.mark.parametrize(
    ("on_ms", "off_ms"), [(1000, 1000), (500, 500), (800, 1600), (1000, 2500), (2000, 2000)]
)
def test_slow_repeated_squeezes_alert(on_ms, off_ms):
    assert HOLD in decisions([(0, 500), *[(800, on_ms), (0, off_ms)] * 6, QUIET])


@pytest.mark.parametrize(
    "pieces",
    [
        [(3000, 300)],  # a bump
        [(3000, 80), (0, 60), (900, 60), (0, 80), (400, 40)],  # one that bounces
        [(2500, 100), (0, 400)] * 60,  # a bag at walking pace
        [(2500, 70), (0, 280)] * 60,  # a bag that runs
        [(2800, 650), (0, 8000)] * 6,  # a foot now and then
        [(2800, 650), (0, 450)] * 3,  # three feet
        [(1500, 2500)],  # something leans on it
    ],
)
def test_what_is_no_hand_does_nothing(pieces):
    assert decisions([(0, 500), *pieces, QUIET]) == []


@pytest.mark.parametrize("period_ms", [20, 33, 50])
@pytest.mark.parametrize("force_mv", [400, 1500, 3300])
def test_the_pattern_is_a_self_test(period_ms, force_mv):
    pieces = [(force_mv and mv and force_mv, ms) for mv, ms in PATTERN]
    assert decisions([(0, 500), *pieces, QUIET], period_ms) == [SELF_TEST]


@pytest.mark.parametrize("step", range(5))
@pytest.mark.parametrize("factor_percent", [20, 60, 170, 250])
def test_a_pattern_with_one_wrong_step_is_none(step, factor_percent):
    pieces = list(PATTERN)
    mv, ms = pieces[step]
    wrong_ms = ms * factor_percent // 100
    if step == 2:
        wrong_ms = (30, 40, 900, 1200)[(20, 60, 170, 250).index(factor_percent)]
    pieces[step] = (mv, wrong_ms)
    assert SELF_TEST not in decisions([(0, 500), *pieces, QUIET])


@pytest.mark.parametrize("late_ms", [300, 1000, 2500, 3800])
def test_one_more_squeeze_after_the_pattern_is_an_alert(late_ms):
    assert decisions([(0, 500), *PATTERN, (0, late_ms), (1500, 150), QUIET]) == [HOLD]


def test_the_pattern_counts_only_from_rest():
    assert SELF_TEST not in decisions([(0, 500), (1500, 300), (0, 3000), *PATTERN, QUIET])


def test_faint_squeezes_in_a_pause_break_the_pattern():
    pieces = list(PATTERN)
    pieces[1:2] = [(0, 400), (200, 300), (0, 600), (200, 300), (0, 400)]
    assert decisions([(0, 500), *pieces, QUIET]) == [HOLD]


@pytest.mark.parametrize("stall_ms", [1000, 3000, 5500, 7500, 10000])
def test_a_stall_in_the_pattern_breaks_it(stall_ms):
    whole = readings([(0, 500), *PATTERN, QUIET])
    holed = [(t, mv) for t, mv in whole if not stall_ms < t < stall_ms + 500]
    assert [d for _, d in score.decide(whole)] == [SELF_TEST]
    assert [d for _, d in score.decide(holed)] == [HOLD]


def test_a_hold_after_a_self_test_is_an_alert():
    assert decisions([(0, 500), *PATTERN, (0, 6000), (1500, 4000), QUIET]) == [SELF_TEST, HOLD]


def test_stalls_do_not_lose_a_hold():
    stalled = [(t, mv) for t, mv in readings([(0, 500), (900, 4000), QUIET]) if t // 150 % 2]
    assert [d for _, d in score.decide(stalled)] == [HOLD]


@pytest.mark.parametrize("start_ms", [0, 12345, 2**30 - 60000])
def test_any_start_of_the_clock(start_ms):
    pieces = [(0, 1000), (1500, 3500), QUIET]
    assert [d for _, d in score.decide(readings(pieces, start_ms=start_ms))] == [HOLD]


def test_the_time_of_the_boot_counts():
    detector = squeeze.Detector(held_ms=800)
    decided = [t for t, mv in readings([(1500, 4000)], start_ms=5000) if detector.feed(t, mv)]
    assert decided
    assert 2150 <= decided[0] - 5000 <= 2260


def test_a_pattern_whose_first_squeeze_woke_the_board_is_a_self_test():
    assert decisions([(1500, 1400), *PATTERN[1:], QUIET], held_ms=600) == [SELF_TEST]


def test_a_bump_that_woke_the_board_does_nothing():
    assert decisions([QUIET], held_ms=600) == []
    assert decisions([(1500, 60), QUIET], held_ms=600) == []


def test_sat_on_for_hours_alerts_once_and_listens_again_after_a_release():
    sat = [(0, 500), (2800, 7_200_000)]
    shifting = [(2800, 40000), (0, 1000), (2500, 600_000), (100, 2000), (3000, 300_000)]
    assert decisions(sat, 200) == [HOLD]
    assert decisions([(0, 500), *shifting], 50) == [HOLD]
    assert decisions([*sat, (0, 4000), (800, 3500)], 100) == [HOLD, HOLD]


@pytest.mark.parametrize("load_mv", [500, 1200, 2000])
def test_a_clear_squeeze_on_top_of_a_load_counts(load_mv):
    top_mv = load_mv + 900
    loaded = [(0, 500), (load_mv, 120_000)]
    if load_mv == 500:
        loaded.insert(1, (900, 3500))
    assert decisions([*loaded, (top_mv, 4000), (load_mv, 20000)]) == [HOLD, HOLD]
    assert decisions([*loaded, (top_mv, 1000), (load_mv, 20000)]) == [HOLD]
    assert decisions([*loaded, (top_mv, 60000), (load_mv, 20000)]) == [HOLD]


def test_properties_follow_the_squeeze():
    detector = squeeze.Detector()
    fed(detector, [(0, 1000)])
    assert (detector.idle, detector.pressed, detector.waiting_release) == (True, False, False)
    fed(detector, [(1500, 1000)], 1000)
    assert (detector.idle, detector.pressed, detector.waiting_release) == (False, True, False)
    assert fed(detector, [(1500, 3000)], 2000) == [HOLD]
    assert (detector.idle, detector.pressed, detector.waiting_release) == (False, True, True)
    fed(detector, [(0, 2000)], 5000)
    assert detector.waiting_release
    fed(detector, [(0, 20000)], 7000)
    assert (detector.idle, detector.pressed, detector.waiting_release) == (True, False, False)


def test_a_beacon_that_slept_while_pressed_waits_for_the_release():
    detector = squeeze.Detector(waiting_release=True, baseline_mv=0, held_ms=500)
    assert fed(detector, [(2000, 30000)]) == []
    assert detector.waiting_release
    assert fed(detector, [(0, 5000), (2000, 3500)], 30000) == [HOLD]


def test_the_baseline_follows_a_drift_and_swallows_no_press():
    drift = [(mv, 1000) for mv in range(0, 800, 8)]
    assert decisions([*drift, (1200, 3500), (800, 15000)]) == [HOLD]
    assert decisions([*drift, (800, 60000), (400, 60000), (0, 15000)]) == []


def test_a_slow_weak_squeeze_is_not_taken_for_a_drift():
    rise = [(mv, 100) for mv in range(0, 450, 9)]
    assert decisions([(0, 1000), *rise, (450, 4000), QUIET]) == [HOLD]


def test_a_preloaded_sensor_is_at_rest():
    assert decisions([(500, 60000)]) == []
    assert decisions([(500, 5000), (950, 3500), (500, 5000)]) == [HOLD]
    assert decisions([(900, 60000)], baseline_mv=900) == []


_levels = st.sampled_from([0, 100, 200, 260, 400, 900, 2000, 3300])
_durations = st.integers(20, 4500)
_jitters = st.lists(st.integers(-8, 30), min_size=1, max_size=8)


def _steps(curve):
    """Return [(pressed, began_ms, ended_ms)] of a noiseless curve from 0 mV, 80 ms debounced."""
    runs = []
    for t_ms, mv in curve:
        pressed = mv >= (150 if runs and runs[-1][0] else 250)
        if not runs or runs[-1][0] != pressed:
            runs.append([pressed, t_ms, t_ms])
        runs[-1][2] = t_ms
    return runs


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(_levels, _durations), min_size=3, max_size=25), _jitters)
@example(PATTERN, [0])
@example([(200, 400), *PATTERN], [5, 30])
def test_only_the_pattern_is_ever_a_self_test(pieces, jitter):
    """Whatever happens: a TEST means long, pause, tap, pause, long and then nothing."""
    curve = readings([(0, 500), *pieces, QUIET], jitter=jitter)
    for at_ms, decision in score.decide(curve):
        if decision != SELF_TEST:
            continue
        before = [r for r in _steps([c for c in curve if c[0] <= at_ms]) if r[2] - r[1] >= 20]
        lengths = [end - began for pressed, began, end in before if pressed]
        lengths = [ms for ms in lengths if ms >= 80][-3:]
        assert len(lengths) == 3
        assert 1300 <= lengths[0] <= 2800
        assert lengths[1] <= 850
        assert 1300 <= lengths[2] <= 2800
        assert at_ms - before[-1][1] >= 3900


@settings(max_examples=400, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(120, 2500), st.integers(60, 1350), st.integers(330, 3300)),
        min_size=30,
        max_size=60,
    ),
    _jitters,
)
def test_no_rhythm_of_panic_is_missed_or_taken_for_a_self_test(beats, jitter):
    """Squeezes with pauses below 1.4 s, at least a quarter of the time pressed: an alert."""
    pieces, on_ms, off_ms = [], 0, 0
    for on, off, mv in beats:
        off = min(off, 2 * on)
        on_ms, off_ms = on_ms + on, off_ms + off
        pieces += [(mv, on), (0, off)]
    decided = [d for _, d in score.decide(readings([(0, 500), *pieces, QUIET], jitter=jitter))]
    assert HOLD in decided
    assert SELF_TEST not in decided


@settings(max_examples=300, deadline=None)
@given(
    st.integers(330, 3300),
    st.lists(st.tuples(st.integers(400, 3000), st.integers(20, 330)), min_size=8, max_size=12),
    st.integers(0, 200),
    _jitters,
)
def test_no_hold_with_short_sags_is_missed(force_mv, parts, rest_mv, jitter):
    pieces = [(rest_mv, 2000)]
    for on_ms, sag_ms in parts:
        pieces += [(rest_mv + force_mv, on_ms), (rest_mv, sag_ms)]
    pieces.append((rest_mv, 15000))
    curve = [(t, min(mv, 3300)) for t, mv in readings(pieces, jitter=jitter)]
    assert HOLD in [d for _, d in score.decide(curve)]


def test_on_micropython_it_decides_the_same_and_allocates_nothing(tmp_path):
    curve = readings([(0, 500), *PATTERN, (0, 9000), (1500, 4000), (0, 4000), (2000, 70000)], 50)
    wanted = score.decide(curve)
    assert len(wanted) == 3
    script = tmp_path / "heap.py"
    script.write_text(
        f"""import sys
sys.path[:0] = [{str(ROOT / "firmware")!r}]
import micropython
from array import array
from beacon.squeeze import Detector
ts = array("i", {[t for t, _ in curve]})
mvs = array("i", {[mv for _, mv in curve]})
decided = bytearray(len(ts))
detector = Detector()
def run():
    i = 0
    while i < len(ts):
        decided[i] = detector.feed(ts[i], mvs[i])
        detector.idle
        detector.pressed
        detector.waiting_release
        detector.baseline_mv
        i += 1
micropython.heap_lock()
run()
micropython.heap_unlock()
print([(ts[i], decided[i]) for i in range(len(ts)) if decided[i]])
"""
    )
    micropython = Path(sys.executable).with_name("micropython")
    done = subprocess.run(
        [micropython, "-X", "heapsize=1m", script], capture_output=True, text=True, timeout=30
    )
    assert done.stderr == ""
    assert done.stdout.strip() == str(wanted)
