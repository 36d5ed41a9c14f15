"""Is it the firmware that was built, whole, and does a restart change nothing?"""

from dataclasses import replace
from importlib.metadata import version

import pytest
from fanal.status import Status, read_status

from tests.hil.beacon import Beacon
from tests.hil.figures import Figures

KNOWN_ANSWERS = {"kdf", "rid", "ccm", "sha512", "ed25519", "pages"}


def test_it_runs_the_firmware_that_was_built(beacon: Beacon) -> None:
    assert beacon.facts.version == version("fanal")
    assert beacon.facts.differing == ()
    assert beacon.facts.firmware == beacon.facts.built


def test_its_known_answers_are_right(beacon: Beacon) -> None:
    results = beacon.call("self_test")["results"]
    assert results.keys() - {"address"} == KNOWN_ANSWERS
    assert all(results.values()), results


@pytest.mark.needs("radio")
def test_its_radio_changes_its_address(beacon: Beacon) -> None:
    assert beacon.call("self_test")["results"]["address"] is True


def test_it_complains_of_nothing(beacon: Beacon, figures: Figures) -> None:
    assert beacon.status().faults == ()
    figures.note("free heap", beacon.facts.heap_free, "bytes")


@pytest.mark.needs("radio")
def test_it_can_measure_its_battery_and_its_sensor(beacon: Beacon, figures: Figures) -> None:
    status = beacon.status()
    figures.note("battery", status.battery_mv, "mV")
    figures.note("sensor at rest", status.force_mv, "mV")
    assert status.battery_mv > 0
    assert status.force_mv < status.settings["press_mv"], "something presses it"


@pytest.mark.needs("vault")
def test_its_keys_lie_in_a_partition_of_their_own(beacon: Beacon) -> None:
    assert beacon.status().vault == "partition"


def test_leaving_restarts_it_and_changes_nothing(beacon: Beacon) -> None:
    before, after = beacon.at_rest(), beacon.status()
    assert lasting(after) == lasting(before)


@pytest.mark.needs("reset")
def test_a_cold_boot_by_its_reset_line(beacon: Beacon, figures: Figures) -> None:
    before = beacon.at_rest()
    begun_ms = beacon.rig.now_ms()
    beacon.rig.reset()
    with beacon.attached(wake=False) as link:
        figures.note("reset to prompt", beacon.rig.now_ms() - begun_ms, "ms")
        assert lasting(read_status(link)) == lasting(before)
    assert lasting(beacon.status()) == lasting(before)


@pytest.mark.needs("power")
def test_a_cold_boot_by_its_power(beacon: Beacon) -> None:
    before = beacon.at_rest()
    beacon.rig.power(False)
    beacon.rig.power(True)
    with beacon.attached(wake=False) as link:
        assert lasting(read_status(link)) == lasting(before)
    assert lasting(beacon.status()) == lasting(before)


def lasting(status: Status) -> Status:
    """Return a status without what is measured anew each time."""
    return replace(status, battery_mv=None, force_mv=None)
