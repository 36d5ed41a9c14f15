"""One self-test on air: time to the first packet, schedule, rotation, signature, silence."""

import re
import statistics
from itertools import pairwise

import pytest
from fanal.sighting import TEST
from fanal_protocol import advert, alert, slot
from fanal_protocol.line import DUPLICATE, FRESH

from tests.hil.account import ALERT, PAGE
from tests.hil.beacon import Beacon
from tests.hil.figures import Figures
from tests.hil.listening import Recorded, self_test

pytestmark = pytest.mark.needs("identity", "radio", "ears", "start", "wake")

# DESIGN of the cycle: alert, page, page, through all twelve pages. SPEC 2.5
CYCLE = [ALERT if i % 3 == 0 else i // 3 * 2 + i % 3 - 1 for i in range(18)]
FIRST_PACKET_MS = 30_000  # the pattern of a self-test takes 15 s, by hand a little more
MAC = re.compile(r"([0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}")


@pytest.fixture
def recorded(beacon: Beacon) -> Recorded:
    return self_test(beacon)


@pytest.fixture
def by_address(recorded: Recorded):
    """The packets of each address, in order; a skip where the system hides addresses."""
    packets = recorded.account.packets
    if not all(MAC.fullmatch(packet.address) for packet in packets):
        pytest.skip("this system hides the addresses of devices")
    found = {}
    for packet in packets:
        found.setdefault(packet.address, []).append(packet)
    return found


def test_it_is_silent_before_it_is_squeezed(recorded: Recorded) -> None:
    early = [p for p in recorded.account.packets if p.t_ms < recorded.begun_ms - 1000]
    assert early == []


def test_its_first_packet_comes_in_time(recorded: Recorded, figures: Figures) -> None:
    first_ms = recorded.account.packets[0].t_ms - recorded.begun_ms
    figures.plot("first packet, self-test (s)", [first_ms / 1000])
    figures.note("self-test to first packet", first_ms, "ms", FIRST_PACKET_MS)


def test_it_says_that_it_is_a_self_test_of_this_event(recorded: Recorded) -> None:
    sightings = recorded.account.sightings
    assert {(s.event, s.kind, s.drill, s.resumed) for s in sightings} == {
        (recorded.event, TEST, False, False)
    }
    assert {s.activation for s in sightings} == {alert.SELF_TEST}
    assert {s.verdict for s in sightings} <= {FRESH, DUPLICATE}
    assert sightings[0].verdict == FRESH


def test_its_signature_arrives_and_is_its_own(
    recorded: Recorded, beacon: Beacon, figures: Figures
) -> None:
    signed = recorded.account.signatures
    assert signed, "no whole signature arrived"
    assert (signed[0].event, signed[0].slot) == (recorded.event, 0)
    figures.note("self-test to signature", signed[0].t_ms - recorded.begun_ms, "ms")


def test_there_is_one_alert_in_each_unit_and_none_twice(recorded: Recorded) -> None:
    payloads: dict[int, set[bytes]] = {}
    for packet in recorded.account.alerts:
        payloads.setdefault(packet.unit, set()).add(packet.payload)
    assert all(len(of_unit) == 1 for of_unit in payloads.values())
    units = [packet.unit for packet in recorded.account.alerts]
    assert units == sorted(units)


def test_its_frames_come_in_the_order_of_the_cycle(by_address, figures: Figures) -> None:
    for packets in by_address.values():
        units = {p.unit for p in packets if p.kind == ALERT}
        if len(units) == 1:
            heard = [ALERT if p.kind == ALERT else p.page for p in packets]
            unit = units.pop()
            assert fits(heard, unit), f"unit {unit}: {heard}"
    counts = [len(packets) for packets in by_address.values()]
    figures.note("frames heard per unit, mean", round(statistics.mean(counts), 1))


def fits(heard, unit):
    """Say whether frames, some of which may be missing or repeated, follow the cycle of a unit."""
    places = iter([CYCLE[(unit + i) % len(CYCLE)] for i in range(2 * len(CYCLE))])
    without_repeats = [f for i, f in enumerate(heard) if i == 0 or f != heard[i - 1]]
    return all(any(place == frame for place in places) for frame in without_repeats)


def test_the_order_of_frames_can_be_wrong() -> None:
    assert fits([ALERT, 0, 1, ALERT, 2], 0)
    assert fits([ALERT, ALERT, 1, 3], 0)
    assert fits([0, 1, ALERT, 2], 1)
    assert not fits([1, 0, 0, ALERT, 11, 3], 0)
    assert not fits([ALERT, 0, 2, 1, ALERT, 3, ALERT, 0, 1] * 4, 0)


def test_the_interval_between_frames(recorded: Recorded, figures: Figures) -> None:
    times = [packet.t_ms for packet in recorded.account.packets]
    intervals = [after - before for before, after in pairwise(times)]
    assert intervals
    figures.plot("interval between frames (ms)", intervals)
    figures.note("interval between frames, median", statistics.median(intervals), "ms")
    figures.note("interval between frames, longest", max(intervals), "ms")


def test_its_address_is_new_in_every_unit_and_private(by_address, figures: Figures) -> None:
    seen: dict[int, str] = {}
    for address, packets in by_address.items():
        assert int(address[:2], 16) >> 6 == 0, f"{address} is not non-resolvable private"
        for unit in {p.unit for p in packets if p.kind == ALERT}:
            assert seen.setdefault(unit, address) == address, f"unit {unit} has two addresses"
        assert len({p.unit for p in packets if p.kind == ALERT}) <= 1, f"{address} stayed"
        assert packets[-1].t_ms - packets[0].t_ms <= slot.UNIT_S * 1000 + 500
    figures.note("addresses in the event", len(by_address))


def test_it_sends_all_kinds_of_frames(recorded: Recorded) -> None:
    assert {packet.kind for packet in recorded.account.packets} == {ALERT, PAGE}
    for packet in recorded.account.packets:
        assert len(advert.wrap(packet.payload)) == 31


def test_how_strong_it_arrives(recorded: Recorded, figures: Figures) -> None:
    known = [p.rssi_dbm for p in recorded.account.packets if p.rssi_dbm is not None]
    if not known:
        pytest.skip("this radio tells no signal strength")
    figures.plot("signal strength (dBm)", known)
    figures.note("signal strength, median", statistics.median(known), "dBm")


def test_it_is_silent_when_the_event_is_over(recorded: Recorded) -> None:
    late = [p for p in recorded.account.packets if p.t_ms > recorded.over_ms]
    assert late == []
    assert recorded.end_ms - recorded.over_ms >= 10_000
