"""Its store is written again and again; --commits says how often."""

import json

import pytest

from tests.hil.beacon import Beacon
from tests.hil.figures import Figures
from tests.hil.options import Options

SELF_TEST_S = 4


@pytest.mark.needs("identity", "trigger", "sleep", "wake")
def test_many_events_count_up_and_leave_no_fault(
    beacon: Beacon, flags: Options, figures: Figures
) -> None:
    first = beacon.on_guard(self_test_s=SELF_TEST_S)
    for done in range(flags.commits):
        with beacon.attached() as link:
            status = link.call("status")
            assert (status["next_event"], status["event"]) == (first + done, None)
            assert status["faults"] == []
            link.call("begin_self_test")
        beacon.rig.let_pass(SELF_TEST_S + 2)
    assert beacon.status().next_event == first + flags.commits
    figures.note("events written to the vault", flags.commits)


def test_many_settings_are_each_read_back(beacon: Beacon, flags: Options, figures: Figures) -> None:
    with beacon.attached() as link:
        found = link.call("status")["settings"]
        free = []
        for turn in range(flags.commits):
            wanted = {**found, "hold_ms": 2000 + turn % 500}
            assert link.call("configure", json.dumps(wanted))["settings"] == wanted
            free.append(link.call("status")["heap_free"])
        assert link.call("configure", json.dumps(found))["settings"] == found
    figures.note("settings written", flags.commits)
    figures.note("heap lost over these writes", free[0] - free[-1], "bytes", 4096)
