"""Deep sleep and wake: a squeeze wakes it, an event goes on through its sleeps."""

from itertools import pairwise

import pytest
from fanal.sighting import ALERT
from fanal_protocol import alert

from tests.hil.beacon import QUICK, Beacon
from tests.hil.figures import Figures
from tests.hil.listening import first_heard

pytestmark = pytest.mark.needs("identity", "squeeze", "radio", "ears", "wake", "sleep")

TRACK = {"alert_s": 10, "event_s": 90, "track_period_s": 20, "burst_s": 4}
ASLEEP_S = QUICK["window_s"] + 4


def test_a_squeeze_wakes_it_and_is_an_alert(beacon: Beacon, figures: Figures) -> None:
    number = beacon.on_guard()
    beacon.rig.let_pass(ASLEEP_S)
    begun_ms = beacon.rig.squeeze("hold")
    account = beacon.account(begun_ms, number)
    first_heard(beacon, account)
    assert (account.sightings[0].kind, account.sightings[0].resumed) == (ALERT, False)
    first_ms = account.packets[0].t_ms - begun_ms
    figures.plot("first packet, hold from deep sleep (s)", [first_ms / 1000])
    figures.note("hold from deep sleep to first packet", first_ms, "ms")


def test_it_tracks_in_bursts_with_sleep_between(beacon: Beacon, figures: Figures) -> None:
    number = beacon.on_guard(**TRACK)
    account = beacon.account(beacon.rig.squeeze("hold"), number)
    first_heard(beacon, account)
    beacon.rig.let_pass(TRACK["event_s"] + 10)
    alerts = account.update().alerts
    assert {packet.event for packet in alerts} == {number}
    assert not any(alert.read_status(packet.status).resumed for packet in alerts)
    tracking = [packet for packet in alerts if packet.phase == alert.PHASE_TRACK]
    gaps_s = [(b.t_ms - a.t_ms) / 1000 for a, b in pairwise(tracking)]
    pauses_s = [gap_s for gap_s in gaps_s if gap_s > TRACK["burst_s"]]
    assert len(pauses_s) >= 2, f"bursts: {gaps_s}"
    figures.note("pause between bursts, longest", round(max(pauses_s), 1), "s")
    # what a sleep must not do: give the same unit out again, or go back
    units = [packet.unit for packet in alerts]
    assert units == sorted(units)
    by_unit = {packet.unit: packet.payload for packet in alerts}
    assert all(by_unit[packet.unit] == packet.payload for packet in alerts)


def test_it_sleeps_again_when_the_event_is_over(beacon: Beacon) -> None:
    number = beacon.on_guard()
    account = beacon.account(beacon.rig.squeeze("hold"), number)
    first_heard(beacon, account)
    beacon.rig.let_pass(QUICK["event_s"] + 10)
    begun_ms = beacon.rig.now_ms()
    beacon.rig.squeeze("hold")
    again = beacon.account(begun_ms, number)
    first_heard(beacon, again)
    assert {packet.event for packet in again.packets} == {number + 1}


@pytest.mark.needs("long")
def test_identifier_and_address_change_together_with_the_slot(
    beacon: Beacon, figures: Figures
) -> None:
    # fewer frames than usual: it is the identifiers that are looked at
    number = beacon.on_guard(alert_s=960, event_s=960, frame_ms=500)
    account = beacon.account(beacon.rig.squeeze("hold"), number)
    first_heard(beacon, account)
    assert beacon.rig.wait_until(lambda: len(account.update().signatures) == 2, 960)
    assert [signed.slot for signed in account.signatures] == [0, 1]
    of_address: dict[str, set[int]] = {}
    for packet in account.packets:
        of_address.setdefault(packet.address, set()).add(packet.slot)
    assert {len(slots) for slots in of_address.values()} == {1}
    figures.note("addresses in 900 s", len(of_address))
