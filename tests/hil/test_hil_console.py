"""Every function of the console does what docs/architecture.md says, over this wire."""

import json
import re
import secrets

import pytest
from fanal.error import BoardRefused
from fanal.status import prove, read_status, require_own_id
from fanal_protocol import crypto

from tests.hil.beacon import Beacon

STATUS = {
    "ok", "fanal", "protocol", "machine", "chip", "mac", "id", "public_key", "provisioned",
    "next_event", "event", "drill_armed_s", "battery_mv", "force_mv", "settings", "vault",
    "faults", "heap_free",
}  # fmt: skip


def refusal(link, function, *args):
    """Return the console's word for why it says no; the test fails if it does not."""
    with pytest.raises(BoardRefused) as caught:
        link.call(function, *args)
    return caught.value.code


def test_status_names_everything(beacon: Beacon) -> None:
    with beacon.attached() as link:
        assert link.call("status").keys() == STATUS
        require_own_id(read_status(link))


def test_hashes_are_those_of_files(beacon: Beacon) -> None:
    files = beacon.call("hashes")["files"]
    assert {"boot.py", "main.py"} <= files.keys()
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in files.values())


@pytest.mark.needs("identity")
def test_an_identity_is_made_once_and_proved(beacon: Beacon) -> None:
    beacon.on_guard()
    with beacon.attached() as link:
        made = link.call("create_identity")
        assert made["created"] is False
        assert made["public_key"] == beacon.public_key.hex()
        prove(link, beacon.public_key)


@pytest.mark.needs("identity")
def test_the_first_key_is_taken_once_and_no_other_after_it(beacon: Beacon) -> None:
    beacon.on_guard()
    with beacon.attached() as link:
        again = link.call("provision", beacon.fleet.offer(beacon.public_key))
        assert again["written"] is False
        assert again["check"] == expected_check(beacon)
        assert refusal(link, "provision", secrets.token_hex(32)) == "provisioned"
        assert read_status(link).is_provisioned


def expected_check(beacon):
    offered = bytes.fromhex(beacon.fleet.offer(beacon.public_key))
    return crypto.kdf(offered, b"fanal/1 first key check", 8).hex()


def test_settings_are_taken_whole_and_kept(beacon: Beacon) -> None:
    with beacon.attached() as link:
        found = link.call("status")["settings"]
        wanted = {**found, "hold_ms": 2500 if found["hold_ms"] != 2500 else 2600}
        assert link.call("configure", json.dumps(wanted))["settings"] == wanted
    assert beacon.status().settings == wanted
    with beacon.attached() as link:
        assert link.call("configure", json.dumps(found))["settings"] == found


@pytest.mark.needs("identity", "rtc")
def test_a_drill_is_armed_and_taken_back(beacon: Beacon) -> None:
    beacon.on_guard()
    with beacon.attached() as link:
        assert 0 < link.call("arm_drill", 600)["drill_armed_s"] <= 600
        assert 0 < read_status(link).drill_armed_s <= 600
        assert link.call("disarm_drill")["drill_armed_s"] == 0
        assert read_status(link).drill_armed_s == 0


@pytest.mark.needs("identity", "rtc", "wake")
def test_a_cold_boot_forgets_a_drill(beacon: Beacon) -> None:
    beacon.on_guard()
    with beacon.attached() as link:
        link.call("arm_drill", 600)
    beacon.rig.reset()
    with beacon.attached(wake=False) as link:
        assert read_status(link).drill_armed_s == 0


@pytest.mark.needs("identity")
def test_there_is_no_event_to_end(beacon: Beacon) -> None:
    number = beacon.on_guard()
    with beacon.attached() as link:
        assert link.call("end_event")["event"] is None
        assert read_status(link).next_event == number


@pytest.mark.needs("identity", "trigger", "rtc")
def test_a_self_test_is_refused_while_a_drill_is_armed(beacon: Beacon) -> None:
    number = beacon.on_guard()
    with beacon.attached() as link:
        link.call("arm_drill", 600)
        with pytest.raises(BoardRefused):
            link.call("begin_self_test")
        link.call("disarm_drill")
    assert beacon.status().next_event == number
