"""What hands, knocks and bags do: by force curve, by solenoid, or by a person."""

import pytest
from fanal.sighting import ALERT, DRILL, TEST

from tests.hil.beacon import Beacon
from tests.hil.figures import Figures
from tests.hil.listening import first_heard, silence

pytestmark = pytest.mark.needs("identity", "squeeze", "radio", "ears", "wake")

HOLDS = ("hold", "weak", "cold", "child", "glove", "frantic", "repeated", "irregular")
HARMLESS = ("bump", "bag", "footstep", "nothing")
ALWAYS = ("hold", "bump", "bag")
LISTEN_S = 60
WINDOW_S = 120


def some(names):
    """The curves of a plain run, and the others behind a flag."""
    rare = pytest.mark.needs("curves")
    return [name if name in ALWAYS else pytest.param(name, marks=rare) for name in names]


@pytest.mark.parametrize("curve", some(HOLDS))
def test_a_call_for_help_is_an_alert(beacon: Beacon, figures: Figures, curve: str) -> None:
    number = beacon.on_guard()
    begun_ms = beacon.rig.squeeze(curve)
    account = beacon.account(begun_ms, number)
    first_heard(beacon, account)
    first = account.sightings[0]
    assert (first.kind, first.event, first.resumed) == (ALERT, number, False)
    first_ms = account.packets[0].t_ms - begun_ms
    figures.plot(f"first packet, {curve} (s)", [first_ms / 1000])
    figures.note(f"{curve} to first packet", first_ms, "ms")


@pytest.mark.parametrize("curve", some(HARMLESS))
def test_what_is_no_call_is_silence(beacon: Beacon, curve: str) -> None:
    number = beacon.on_guard(window_s=WINDOW_S)
    account = beacon.account(beacon.rig.now_ms(), number)
    beacon.rig.squeeze(curve)
    silence(beacon, account, LISTEN_S)
    beacon.rig.release()
    assert beacon.status().next_event == number


def test_the_pattern_of_a_self_test_alarms_nobody(beacon: Beacon, figures: Figures) -> None:
    number = beacon.on_guard()
    begun_ms = beacon.rig.squeeze("self-test")
    account = beacon.account(begun_ms, number)
    first_heard(beacon, account)
    assert {seen.kind for seen in account.sightings} == {TEST}
    assert {seen.event for seen in account.sightings} == {number}
    figures.note("self-test pattern to first packet", account.packets[0].t_ms - begun_ms, "ms")


@pytest.mark.needs("rtc")
def test_a_squeeze_while_a_drill_is_armed_is_a_drill(beacon: Beacon) -> None:
    number = beacon.on_guard()
    with beacon.attached() as link:
        link.call("arm_drill", 600)
    beacon.rig.let_pass(2)
    account = beacon.account(beacon.rig.squeeze("hold"), number)
    first_heard(beacon, account)
    assert {seen.kind for seen in account.sightings} == {DRILL}


def test_a_hold_in_a_self_test_is_an_alert(beacon: Beacon) -> None:
    number = beacon.on_guard(self_test_s=60)
    account = beacon.account(beacon.rig.squeeze("self-test"), number)
    first_heard(beacon, account)
    beacon.rig.let_pass(8)  # until the pattern's last rest is over
    beacon.rig.squeeze("hold")
    assert beacon.rig.wait_until(lambda: account.update().sightings[-1].kind == ALERT, LISTEN_S)
    assert account.sightings[-1].event == number + 1
