"""After a reset a technician can attach for `window_s`; after that the beacon sleeps, deaf."""

import pytest

from tests.hil.beacon import QUICK, Beacon

pytestmark = pytest.mark.needs("identity", "sleep", "wake")

MARGIN_S = 4


def test_it_is_reachable_in_its_window(beacon: Beacon) -> None:
    beacon.on_guard(window_s=20)
    beacon.rig.let_pass(10)
    with beacon.line() as line:
        line.require_prompt()
    assert beacon.status().is_provisioned


def test_it_sleeps_after_its_window_and_answers_nobody(beacon: Beacon) -> None:
    beacon.on_guard()
    with beacon.line() as line:
        beacon.rig.let_pass(QUICK["window_s"] + MARGIN_S)
        # a chip's own USB port may be gone by now: that is an answer too
        assert line.is_dead(), "it is still awake"


def test_a_reset_opens_the_window_again(beacon: Beacon) -> None:
    beacon.on_guard()
    beacon.rig.let_pass(QUICK["window_s"] + MARGIN_S)
    beacon.rig.reset()
    with beacon.attached(wake=False) as link:
        assert link.call("status")["provisioned"] is True
