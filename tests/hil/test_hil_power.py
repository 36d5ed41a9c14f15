"""The power fails: in an alert, at rest, in the middle of a write. Nothing is lost or repeated."""

import random

import pytest
from fanal.sighting import ALERT

from tests.hil.beacon import Beacon
from tests.hil.listening import first_heard, silence

pytestmark = pytest.mark.needs("identity", "power", "wake")

CUTS = 5


@pytest.mark.needs("squeeze", "radio", "ears")
def test_an_alert_comes_back_as_the_next_event(beacon: Beacon) -> None:
    number = beacon.on_guard()
    account = beacon.account(beacon.rig.squeeze("hold"), number)
    first_heard(beacon, account)
    beacon.rig.power(False)
    beacon.rig.let_pass(1)
    beacon.rig.release()
    silence(beacon, account, 5)
    on_ms = beacon.rig.now_ms()
    beacon.rig.power(True)
    resumed = beacon.account(on_ms, number)
    first_heard(beacon, resumed)
    first = resumed.sightings[0]
    assert (first.kind, first.event, first.resumed) == (ALERT, number + 1, True)


@pytest.mark.needs("radio", "ears")
def test_at_rest_it_comes_back_silent(beacon: Beacon) -> None:
    number = beacon.on_guard()
    account = beacon.account(beacon.rig.now_ms(), number)
    beacon.rig.power(False)
    beacon.rig.let_pass(2)
    beacon.rig.power(True)
    silence(beacon, account, 20)
    assert beacon.status().next_event == number


@pytest.mark.needs("trigger", "sleep")
def test_a_cut_around_an_activation_repeats_no_event(beacon: Beacon) -> None:
    dice = random.Random(11)
    expected = beacon.on_guard()
    for _ in range(CUTS):
        with beacon.attached() as link:
            assert link.call("begin_self_test")["ok"]
        beacon.rig.let_pass(dice.uniform(0.0, 1.2))
        beacon.rig.power(False)
        beacon.rig.let_pass(0.5)
        beacon.rig.power(True)
        with beacon.attached(wake=False) as link:
            status = link.call("status")
            assert status["faults"] == []
            assert expected <= status["next_event"] <= expected + 1
            expected = status["next_event"]


def test_a_cut_while_settings_are_written_leaves_the_old_or_the_new(beacon: Beacon) -> None:
    dice = random.Random(12)
    beacon.on_guard(hold_ms=3000)
    for turn in range(CUTS):
        wanted = '{"hold_ms": 2500}' if turn % 2 else '{"hold_ms": 3000}'
        with beacon.line() as line:
            line.require_prompt()
            line.begin(f"from beacon import console\nconsole.configure({wanted!r})")
            line.heard_for(dice.uniform(0, 0.06))
            beacon.rig.power(False)
            beacon.rig.power(True)
        with beacon.attached(wake=False) as link:
            status = link.call("status")
            assert status["faults"] == []
            assert status["settings"]["hold_ms"] in (2500, 3000)
            assert status["provisioned"] is True
