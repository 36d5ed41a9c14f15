"""`fanal list` says which beacons to replace; `--wipe` takes an id as it is on the label."""

import json

import pytest
from click.testing import CliRunner
from fanal.cli import choice, main
from fanal.error import UsageError
from fanal.identity import CORRUPT
from fanal.registry import Reservation
from fanal_protocol import keys


@pytest.fixture
def folder(fleet):
    for number, site in ((0, "office"), (1, "depot")):
        public_key = bytes([40 + number]) * 32
        fleet.registry.reserve(
            Reservation(
                keys.beacon_id(public_key), public_key, None, "ESP32", number, site, "", "fixed"
            )
        )
    fleet.registry.close()
    fleet.path.rename(fleet.path.parent / "registry.db")
    return fleet.path.parent


def _run(folder, *words):
    return CliRunner().invoke(main, ["--fleet", str(folder), *words])


def test_the_beacons_of_a_revoked_station_are_named_in_the_list(folder):
    assert "REVOKED" not in _run(folder, "list").output
    assert _run(folder, "station", "revoke", "1", "--reason", "laptop stolen").exit_code == 0
    lines = _run(folder, "list").output.splitlines()
    assert [("station 1 REVOKED" in line) for line in lines if "office" in line] == [False]
    assert "REVOKED" in " ".join(line for line in lines if "office" not in line)
    told = json.loads(_run(folder, "list", "--json").output)["beacons"]
    assert {b["site"]: b["station_revoked"] for b in told} == {
        "office": None,
        "depot": "laptop stolen",
    }


@pytest.mark.parametrize("typed", ["K7Q29XMD", "k7q2-9xmd", "K7Q2 9XMD"])
def test_wipe_takes_the_id_of_the_label(typed):
    assert choice.wiped_id(typed) == "K7Q29XMD"


def test_wipe_takes_nothing_the_word_for_a_vault_and_no_part_of_an_id():
    assert choice.wiped_id(None) is None
    assert choice.wiped_id(CORRUPT) == CORRUPT
    with pytest.raises(UsageError):
        choice.wiped_id("K7Q2")
