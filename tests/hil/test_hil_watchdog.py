"""A loop that hangs is reset, and so is a prompt that somebody forgot."""

import pytest

from tests.hil.beacon import Beacon

pytestmark = pytest.mark.needs("watchdog", "identity", "wake")

# as `life` starts it, and then nobody feeds it
HUNG_LOOP = """
from beacon import sleep, this_board
import time
sleep.Sleep(this_board.profile(this_board.load("settings.json")[0].board)).watch()
while True:
    print("tick")
    time.sleep_ms(500)
"""
LOOP_S = 30
PROMPT_S = 300
MARGIN_S = 6
WINDOW_S = 120  # in which it can be asked afterwards


def test_a_loop_that_hangs_is_reset(beacon: Beacon) -> None:
    number = beacon.on_guard(window_s=WINDOW_S)
    with beacon.line() as line:
        line.mark()
        line.begin(HUNG_LOOP)
        beacon.rig.let_pass(LOOP_S - MARGIN_S)
        line.heard_for(0.3)
        beacon.rig.let_pass(1)
        assert b"tick" in line.heard_for(0.3), "it was reset too early"
        beacon.rig.let_pass(2 * MARGIN_S)
        assert line.is_marked() is False, "it hangs for ever"
    assert beacon.status().next_event == number


@pytest.mark.needs("long")
def test_a_prompt_that_was_forgotten_is_reset(beacon: Beacon) -> None:
    beacon.on_guard(window_s=WINDOW_S)
    with beacon.line() as line:
        line.mark()
        line.begin("from beacon import sleep\nsleep.guard()")
        beacon.rig.let_pass(PROMPT_S + MARGIN_S)
        assert line.is_marked() is False, "whoever forgets it makes it deaf"
