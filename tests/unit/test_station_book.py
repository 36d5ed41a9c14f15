"""Stations in the registry: one key a number, revoked for good; the epoch of a restored file."""

from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fanal import certificate
from fanal.error import IntegrityError
from fanal.registry import Clash, Registry, Reservation

from tests.unit.paper_fleet import NOW, officer


def certified(number, seed=1, fill=7, at=NOW):
    boss = officer(fill)
    of_fleet = certificate.for_fleet(boss.signing_key, NOW)
    key = Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32).public_key()
    return certificate.to_der(certificate.for_station(number, key, of_fleet, boss.signing_key, at))


def test_a_station_is_added_once(fleet):
    first = certified(7)
    assert fleet.registry.add_station(7, first)
    assert not fleet.registry.add_station(7, first)
    again = certified(7, at=NOW + timedelta(days=1))  # of the same key
    assert not fleet.registry.add_station(7, again)
    assert [s.number for s in fleet.registry.stations()] == [0, 1, 7]
    assert fleet.registry.station_certificate(7) == first


@pytest.mark.parametrize(
    ("number", "der", "error"),
    [
        (7, certified(7, seed=2), Clash),
        (8, certified(7), IntegrityError),
        (7, certified(7, fill=40), IntegrityError),
        (7, b"der", IntegrityError),
    ],
    ids=["another key", "another number", "another fleet", "no certificate"],
)
def test_what_is_no_station_of_ours_is_refused(fleet, number, der, error):
    fleet.registry.add_station(7, certified(7))
    before = fleet.registry.stations()
    with pytest.raises(error):
        fleet.registry.add_station(number, der)
    assert fleet.registry.stations() == before


def test_a_station_is_revoked_since_the_first_time(fleet):
    assert fleet.registry.revoke_station(1, "lost")
    at = fleet.registry.stations()[1].revocation.at_ms
    assert not fleet.registry.revoke_station(1, "lost")
    assert fleet.registry.revoke_station(1, "stolen")
    told = fleet.registry.stations()[1].revocation
    assert (told.at_ms, told.reason) == (at, "stolen")
    assert fleet.registry.stations()[0].revocation is None
    with pytest.raises(Clash):
        fleet.registry.revoke_station(9, "lost")


def test_an_epoch_only_grows_and_outlives_a_restart(fleet):
    assert fleet.registry.epoch() == 0
    assert [fleet.registry.raise_epoch() for _ in range(2)] == [1, 2]
    fleet.registry.close()
    with Registry(fleet.path) as registry:
        assert registry.epoch() == 2


def test_beacons_of_a_revoked_station_stay_in_service_and_are_marked(fleet):
    fleet.registry.add_station(7, certified(7))
    for number, station in ((1, 0), (2, 7), (3, 7)):
        key = bytes([number]) * 32
        fleet.registry.reserve(Reservation(f"AAAAAAA{number}", key, None, "esp32", station,
                                           "depot", "", "fixed"))  # fmt: skip
    fleet.registry.revoke("AAAAAAA3", "lost")
    fleet.registry.revoke_station(7, "laptop stolen")
    marks = {one.beacon_id: one.revocation for one in fleet.registry.watched()}
    assert marks["AAAAAAA1"] is None
    assert marks["AAAAAAA2"].reason == "its station 7 was revoked: laptop stolen"
    assert marks["AAAAAAA3"].reason == "lost"
    assert fleet.registry.find("AAAAAAA2").revocation is None
    assert fleet.registry.moved("AAAAAAA2", "shelter", "")
    late = Reservation("AAAAAAA4", b"\x04" * 32, None, "esp32", 7, "depot", "", "fixed")
    for attempt in (fleet.registry.check, fleet.registry.reserve):
        with pytest.raises(Clash) as caught:
            attempt(late)
        assert (caught.value.code, caught.value.exit_code) == ("station_revoked", 4)


def test_a_restored_registry_knows_up_to_where_all_is_old(fleet):
    for number in (1, 2):
        fleet.registry.reserve(Reservation(f"AAAAAAA{number}", bytes([number]) * 32, None, "esp32",
                                           0, "depot", "", "fixed"))  # fmt: skip
    fleet.registry.record_sighting("AAAAAAA1", 4, slot=0, seq=0, t_ms=1, verdict="fresh")
    assert {w.beacon_id: w.horizon for w in fleet.registry.watched()} == {
        "AAAAAAA1": 0, "AAAAAAA2": 0,
    }  # fmt: skip
    assert fleet.registry.raise_epoch({"AAAAAAA2": 9, "AAAAAAA1": 3, "ZZZZZZZZ": 1}) == 1
    fleet.registry.record_sighting("AAAAAAA1", 6, slot=0, seq=0, t_ms=2, verdict="fresh")
    assert {w.beacon_id: w.horizon for w in fleet.registry.watched()} == {
        "AAAAAAA1": 4, "AAAAAAA2": 9,
    }  # fmt: skip
