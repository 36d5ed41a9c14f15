"""An identity is given, read back, proved; interrupted at each step, given again, and wiped."""

import pytest
from fanal.firmware_image import locate
from fanal.provision import Request, provision
from fanal.registry import RETIRED
from fanal.status import prove, read_status
from fanal.verify import FAIL, verify

from tests.hil.beacon import Beacon
from tests.hil.fleet import SITE

pytestmark = pytest.mark.needs("identity")

# what `verify` refuses of a board that is no ESP32, and what the suite names by a capability
EXCUSED = {"vault": "vault", "chip": "radio"}


class Unplugged(Exception):
    """The technician's hand at the cable."""


def request(**more):
    return Request(SITE, replace=True, **more)


def test_giving_it_again_changes_nothing(beacon: Beacon) -> None:
    beacon.on_guard()
    fleet = beacon.fleet
    with beacon.attached() as link:
        first = provision(link, fleet.station, fleet.registry, request())
        again = provision(link, fleet.station, fleet.registry, request())
        prove(link, again.public_key)
    assert again.changed is False
    assert first.beacon_id == again.beacon_id


def test_every_row_of_verify_is_right(beacon: Beacon) -> None:
    beacon.on_guard()
    fleet = beacon.fleet
    with beacon.attached() as link:
        in_force = {k: v for k, v in beacon.settings.items() if k != "profile"}
        provision(link, fleet.station, fleet.registry, request(settings=in_force))
        rows = verify(link, fleet.registry, locate().manifest.files, beacon.facts.version).checks
    failed = {row.name: row.reason for row in rows if row.outcome == FAIL}
    excused = {name for name, ability in EXCUSED.items() if ability not in beacon.abilities}
    assert failed.keys() <= excused, failed


def test_wiped_it_makes_another_key(beacon: Beacon) -> None:
    beacon.on_guard()
    fleet = beacon.fleet
    with beacon.attached() as link:
        before = read_status(link)
        done = provision(link, fleet.station, fleet.registry, request(wipe=before.beacon_id))
        after = read_status(link)
    assert after.beacon_id == done.beacon_id != before.beacon_id
    assert after.next_event == 1
    if beacon.facts.mac is not None:  # by which the registry knows that it is the same board
        assert fleet.registry.find(before.beacon_id).state == RETIRED
    assert beacon.status().public_key == done.public_key != before.public_key


# before the key is made, before it is proved, before the event key is written, before it is filed
@pytest.mark.parametrize("step", range(1, 5))
def test_interrupted_at_any_step_it_ends_with_one_identity(beacon: Beacon, step: int) -> None:
    beacon.on_guard()
    fleet = beacon.fleet
    wiped_id = wiped(beacon)
    steps = []

    def pull_the_cable(what):
        steps.append(what)
        if len(steps) > step:
            raise Unplugged

    with beacon.attached() as link, pytest.raises(Unplugged):
        provision(link, fleet.station, fleet.registry, request(), on_step=pull_the_cable)
    with beacon.attached() as link:
        done = provision(link, fleet.station, fleet.registry, request())
        assert read_status(link).is_provisioned
        prove(link, done.public_key)
    active = [row for row in fleet.registry.beacons() if row.state != RETIRED]
    on_this_board = [row.beacon_id for row in active if row.mac == beacon.facts.mac]
    assert done.beacon_id in on_this_board
    assert beacon.facts.mac is None or on_this_board == [done.beacon_id]
    assert wiped_id != done.beacon_id


def wiped(beacon):
    """Erase the suite's own identity from the board; return its id."""
    with beacon.attached() as link:
        beacon_id = read_status(link).beacon_id
        assert link.call("wipe", beacon_id)["wiped"] is True
        assert read_status(link).public_key is None
    beacon.fleet.registry.retire(beacon_id, "wiped by a test")
    return beacon_id
