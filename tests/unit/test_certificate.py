"""The chain fleet, station, beacon: every link broken on purpose."""

from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fanal import certificate
from fanal.error import IntegrityError

NOW = datetime(1970, 1, 1, tzinfo=UTC)  # a laptop whose battery was empty
FLEET_KEY, STATION_KEY, BEACON_KEY, OTHER_KEY = (
    Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (1, 2, 3, 4)
)
PUBLIC = BEACON_KEY.public_key().public_bytes_raw()
ID = "F7F45YHV"


def chain(fleet_key=FLEET_KEY, station_signer=FLEET_KEY, beacon_signer=STATION_KEY, leaf=PUBLIC):
    fleet = certificate.for_fleet(fleet_key, NOW)
    station = certificate.for_station(0, STATION_KEY.public_key(), fleet, station_signer, NOW)
    return certificate.for_beacon(ID, leaf, station, beacon_signer, NOW), station, fleet


def check(beacon, station, fleet, beacon_id=ID, public_key=PUBLIC):
    certificate.verify_chain(beacon, station, fleet, beacon_id=beacon_id, public_key=public_key)


def test_a_chain_is_good_also_after_its_travels_as_der():
    check(*(certificate.from_der(certificate.to_der(c)) for c in chain()))


@pytest.mark.parametrize(
    "broken",
    [
        chain(station_signer=OTHER_KEY),
        chain(beacon_signer=OTHER_KEY),
        chain(beacon_signer=FLEET_KEY),
        chain(leaf=OTHER_KEY.public_key().public_bytes_raw()),
        (chain()[0], chain()[1], certificate.for_fleet(OTHER_KEY, NOW)),
        (chain()[0], chain()[0], chain()[2]),
        (chain()[0], chain()[2], chain()[2]),
    ],
    ids=["station", "beacon", "skipped", "key", "fleet", "leaf-as-station", "fleet-as-station"],
)
def test_a_broken_chain_is_refused(broken):
    with pytest.raises(IntegrityError):
        check(*broken)


def test_a_good_chain_of_another_beacon_is_refused():
    with pytest.raises(IntegrityError):
        check(*chain(), beacon_id="AAAAAAAA")
    with pytest.raises(IntegrityError):
        check(*chain(), public_key=bytes(32))


def test_a_beacon_cannot_certify_a_beacon():
    beacon, station, fleet = chain()
    forged = certificate.for_beacon(ID, PUBLIC, beacon, BEACON_KEY, NOW)
    with pytest.raises(IntegrityError):
        check(forged, beacon, fleet)
    with pytest.raises(IntegrityError):
        check(forged, station, fleet)


def test_every_flipped_byte_of_the_beacons_certificate_is_noticed():
    beacon, station, fleet = chain()
    der = certificate.to_der(beacon)
    for at in range(len(der)):
        damaged = der[:at] + bytes([der[at] ^ 1]) + der[at + 1 :]
        with pytest.raises(IntegrityError):
            check(certificate.from_der(damaged), station, fleet)


def test_every_truncation_is_unreadable():
    der = certificate.to_der(chain()[0])
    for length in range(len(der)):
        with pytest.raises(IntegrityError):
            certificate.from_der(der[:length])


def test_no_certificate_names_a_place_or_a_person():
    for one in chain():
        names = [a.value for a in one.subject] + [a.value for a in one.issuer]
        known = (certificate.fleet_name(FLEET_KEY.public_key()), "fanal station 0", ID)
        assert set(names) <= set(known)
        with pytest.raises(x509.ExtensionNotFound):
            one.extensions.get_extension_for_class(x509.SubjectAlternativeName)


def test_a_station_may_certify_beacons_and_no_station():
    constraints = chain()[1].extensions.get_extension_for_class(x509.BasicConstraints).value
    assert (constraints.ca, constraints.path_length) == (True, 0)
