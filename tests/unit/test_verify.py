"""Verifying: each check fails for its own reason, with its own exit code."""

import pytest
from fanal.error import BoardLost, BoardRefused, DeviceError
from fanal.provision import Request, provision
from fanal.registry import VERIFIED
from fanal.verify import FAIL, OK, WARN, verify

from tests.unit.paper_board import FILES, Fuse, Fused, PaperBoard
from tests.unit.paper_fleet import NOW, PaperFleet


@pytest.fixture
def board(fleet):
    board = PaperBoard()
    provision(board, fleet.station, fleet.registry, Request("shelter-3"), now=lambda: NOW)
    return board


def check(board, fleet, version="0.1.0"):
    return verify(board, fleet.registry, FILES, version)


def outcomes(result):
    return {row.name: row.outcome for row in result.checks}


def test_a_good_beacon_passes_every_row(board, fleet):
    result = check(board, fleet)
    assert set(outcomes(result).values()) == {OK}
    assert set(outcomes(result)) == {
        "identity", "certificate", "version", "chip", "firmware", "known answers",
        "settings",
        "counter", "battery", "sensor", "vault", "drill", "event", "faults",
    }  # fmt: skip
    assert result.exit_code == 0
    assert all(row.reason for row in result.checks)
    assert fleet.registry.find(result.beacon_id).state == VERIFIED


@pytest.mark.parametrize(
    ("says", "row", "exit_code"),
    [
        ({"fanal": "0.0.9"}, "version", 1),
        ({"chip": "unknown"}, "chip", 1),
        ({"settings": {"profile": "carried"}}, "settings", 5),
        ({"next_event": 3}, "counter", 4),
        ({"battery_mv": 3399}, "battery", 1),
        ({"battery_mv": 0}, "battery", 1),
        ({"force_mv": 150}, "sensor", 1),
        ({"force_mv": 3300}, "sensor", 1),
        ({"vault": "file"}, "vault", 1),
        ({"drill_armed_s": 60}, "drill", 1),
        ({"event": {"n": 1}}, "event", 1),
        ({"faults": ["settings"]}, "faults", 1),
        ({"mac": "020000000009"}, "identity", 4),
        ({"id": "AAAAAAAA"}, None, 3),
        ({"provisioned": False}, "identity", 5),
    ],
)
def test_what_a_board_says_fails_its_row(board, fleet, says, row, exit_code):
    registry = fleet.registry
    registry.record_sighting(
        registry.beacons()[0].beacon_id, 3, slot=0, seq=0, t_ms=0, verdict="fresh"
    )
    board.says = {"next_event": 4, **says}
    if row is None:
        with pytest.raises(DeviceError):
            check(board, fleet)
        return
    result = check(board, fleet)
    assert {name for name, outcome in outcomes(result).items() if outcome == FAIL} == {row}
    assert result.exit_code == exit_code
    assert registry.find(result.beacon_id).state != VERIFIED


@pytest.mark.parametrize(
    "files",
    [
        {**FILES, "main.py": "00" * 32},
        {k: v for k, v in FILES.items() if k != "main.py"},
        {**FILES, "lib/evil.py": "00" * 32},
        {},
    ],
    ids=["changed", "missing", "foreign", "none"],
)
def test_firmware_that_is_not_as_shipped(board, fleet, files):
    board.files = files
    result = check(board, fleet)
    assert outcomes(result)["firmware"] == FAIL
    assert result.exit_code == 4


def test_a_wrong_known_answer(board, fleet):
    board._self_test = lambda: {"results": {"sha256": True, "ccm": False}}
    row = next(row for row in check(board, fleet).checks if row.outcome == FAIL)
    assert (row.name, "ccm" in row.reason, row.exit_code) == ("known answers", True, 1)


@pytest.mark.parametrize("answer", [{}, {"results": {}}, {"results": None}])
def test_no_known_answers_at_all(board, fleet, answer):
    board._self_test = lambda: answer
    assert outcomes(check(board, fleet))["known answers"] == FAIL


def test_a_board_with_the_right_id_and_another_key(board, fleet):
    board._challenge = lambda nonce: {"signature": "00" * 64}
    result = check(board, fleet)
    assert outcomes(result)["identity"] == FAIL
    assert result.exit_code == 4


def test_a_certificate_that_was_tampered_with(board, fleet):
    row = fleet.registry.beacons()[0]
    forged = bytearray(row.certificate)
    forged[-1] ^= 1
    fleet.registry.provisioned(
        row.beacon_id, bytes(forged), site="", place="", profile="fixed", settings=row.settings
    )
    result = check(board, fleet)
    assert outcomes(result)["certificate"] == FAIL
    assert result.exit_code == 4


def test_a_refused_check_is_a_finding(board, fleet):
    def refuse(*_):
        raise BoardRefused("No.")

    board._hashes = board._self_test = refuse
    result = check(board, fleet)
    assert [row.name for row in result.checks if row.outcome == FAIL] == [
        "firmware", "known answers",
    ]  # fmt: skip


def test_what_a_board_cannot_measure_is_a_warning(board, fleet):
    board.says = {"battery_mv": None, "force_mv": None}
    result = check(board, fleet)
    assert [row.name for row in result.checks if row.outcome == WARN] == ["battery", "sensor"]
    assert result.exit_code == 0


def test_one_reading_at_rest_does_not_hide_another(board, fleet):
    forces = iter((10, 10, 900))
    plain = board._status
    board._status = lambda: {**plain(), "force_mv": next(forces)}
    assert outcomes(check(board, fleet))["sensor"] == FAIL


def test_the_gravest_failure_decides(board, fleet):
    board.says = {"battery_mv": 0, "settings": {}}
    assert check(board, fleet).exit_code == 5
    board.files = {}
    assert check(board, fleet).exit_code == 4


def test_a_dead_cable_is_no_finding(board, fleet):
    fuse = Fuse()
    verify(Fused(board, fuse), fleet.registry, FILES, "0.1.0")
    for at in range(fuse.points):
        with pytest.raises(BoardLost):
            verify(Fused(board, Fuse(at)), fleet.registry, FILES, "0.1.0")


def test_a_board_of_another_fleet_is_the_wrong_device(board, tmp_path):
    other = PaperFleet(tmp_path, 90)
    with pytest.raises(DeviceError) as caught:
        check(board, other)
    assert (caught.value.code, caught.value.exit_code) == ("not_registered", 3)
    other.registry.close()


def test_a_retired_beacon_is_the_wrong_device(board, fleet):
    fleet.registry.retire(fleet.registry.beacons()[0].beacon_id, "lost")
    with pytest.raises(DeviceError):
        check(board, fleet)
