"""It lives for --soak-hours: a self-test now and then, silence and no fault in between."""

import pytest

from tests.hil.beacon import Beacon
from tests.hil.figures import Figures
from tests.hil.listening import first_heard
from tests.hil.options import Options

EVERY_S = 900


@pytest.mark.needs("soak", "identity", "radio", "ears", "start", "sleep", "wake")
def test_hours_of_guard(beacon: Beacon, flags: Options, figures: Figures) -> None:
    first = number = beacon.on_guard()
    began_ms, free = beacon.rig.now_ms(), []
    while beacon.rig.now_ms() - began_ms < flags.soak_hours * 3_600_000:
        beacon.rig.let_pass(EVERY_S)
        begun_ms = beacon.start()
        account = beacon.account(begun_ms, number)
        first_heard(beacon, account)
        figures.plot("first packet, soak (s)", [(account.packets[0].t_ms - begun_ms) / 1000])
        assert {packet.event for packet in account.packets} == {number}
        beacon.rig.let_pass(beacon.settings["self_test_s"] + 5)
        with beacon.attached() as link:
            status = link.call("status")
        assert (status["faults"], status["event"]) == ([], None)
        number += 1
        assert status["next_event"] == number
        free.append(status["heap_free"])
    figures.note("soak", flags.soak_hours, "h")
    figures.note("events in the soak", number - first)
    figures.note("heap lost in the soak", free[0] - free[-1], "bytes", 4096)
