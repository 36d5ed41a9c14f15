"""What is heard becomes groups: how soon, how often, how much; and what a flood cannot do."""

import random
from collections.abc import Callable
from itertools import pairwise

import pytest
from fanal.envelope import MOST_FRAMES, HeardFrame
from fanal.gateway.grouping import FLOOD, Grouper, Limits
from hypothesis import given
from hypothesis import strategies as st

SLOT_MS = 900_000


def even() -> float:
    """Every token costs the same."""
    return 0.5


def alert(rid: int, q: int = 0, tail: int = 0) -> bytes:
    return b"\x20" + rid.to_bytes(8, "big") + q.to_bytes(2, "big") + tail.to_bytes(12, "big")


def page(number: int, chunk: int = 0) -> bytes:
    return b"\x28" + bytes([number]) + chunk.to_bytes(25, "big")


def crumb(index: int) -> bytes:
    return b"\x30" + bytes([index]) + bytes(25)


def closed(grouper: Grouper, until_ms: int) -> list[tuple[int, tuple[HeardFrame, ...]]]:
    """All groups that are due until then, each with the time at which it was."""
    groups = []
    while (due_ms := grouper.due_ms()) is not None and due_ms <= until_ms:
        groups += [(due_ms, frames) for frames in grouper.close(due_ms)]
    return groups


@pytest.mark.parametrize("payload", [alert(1), page(3), crumb(9)])
def test_what_is_new_leaves_at_once(payload):
    grouper = Grouper()
    grouper.take(payload, -70, 1000)
    assert grouper.close(1299) == []
    assert closed(grouper, 10_000) == [(1300, (HeardFrame(payload, 1000, 1000, 1, -70),))]
    assert closed(grouper, 50_000) == []


def test_what_goes_on_is_gathered_for_five_seconds():
    grouper = Grouper()
    grouper.take(alert(1), -70, 1000)
    assert len(closed(grouper, 1300)) == 1
    for q in range(1, 4):
        grouper.take(alert(1, q), -70, 2000 * q)
    ((due_ms, frames),) = closed(grouper, 60_000)
    assert due_ms == 7000
    assert [f.first_ms for f in frames] == [2000, 4000, 6000]


def test_what_is_new_takes_along_what_waits():
    grouper = Grouper()
    grouper.take(alert(1), -70, 1000)
    closed(grouper, 1300)
    grouper.take(alert(1, 1), -70, 2000)
    grouper.take(alert(2), -70, 2500)
    ((due_ms, frames),) = closed(grouper, 60_000)
    assert (due_ms, len(frames)) == (2800, 2)


def test_the_same_again_is_counted_in_the_open_group():
    grouper = Grouper()
    for t_ms, rssi in ((1000, -80), (1100, None), (1200, -60), (1250, -90)):
        grouper.take(alert(1), rssi, t_ms)
    assert closed(grouper, 2000) == [(1300, (HeardFrame(alert(1), 1000, 1250, 4, -60),))]


def test_the_same_after_its_group_is_told_once_a_minute():
    grouper = Grouper()
    grouper.take(page(1), -70, 0)
    assert [due for due, _ in closed(grouper, 300)] == [300]
    groups = []
    for t_ms in range(1000, 180_000, 1000):
        groups += closed(grouper, t_ms)
        grouper.take(page(1), -70, t_ms)
    assert [due for due, _ in groups] == [65_300, 130_300]
    assert groups[0][1] == (HeardFrame(page(1), 1000, 65_000, 65, -70),)
    assert groups[1][1] == (HeardFrame(page(1), 66_000, 130_000, 65, -70),)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 30_000)), max_size=60))
def test_no_arrival_is_lost_and_none_is_counted_twice(steps):
    grouper, now_ms, groups = Grouper(), 0, []
    for kind, later_ms in steps:
        groups += closed(grouper, now_ms + later_ms)
        now_ms += later_ms
        grouper.take(alert(kind % 3, kind), -70, now_ms)
    groups += closed(grouper, now_ms + 10**9)
    if now_ms < SLOT_MS:
        assert sum(f.count for _, frames in groups for f in frames) == len(steps)
    for due_ms, frames in groups:
        assert all(f.first_ms <= f.last_ms <= due_ms for f in frames)
        assert len({(f.payload, f.first_ms) for f in frames}) == len(frames)
        # nothing waits longer than it may, counted from when it could be told again
        assert all(due_ms - f.first_ms <= 65_000 for f in frames)


def test_an_alert_that_is_echoed_is_a_hearing_of_its_own():
    grouper = Grouper()
    for t_ms in (0, 200, 1900):
        grouper.take(alert(1), -70, t_ms)
    assert closed(grouper, 1900) == [(300, (HeardFrame(alert(1), 0, 1900, 3, -70),))]
    grouper.take(alert(1), -50, 40_000)
    grouper.take(alert(1), -50, 41_000)
    ((due_ms, frames),) = closed(grouper, 46_000)
    assert (due_ms, frames) == (45_000, (HeardFrame(alert(1), 40_000, 41_000, 2, -50),))


def test_echoes_cost_tokens():
    grouper = Grouper(Limits(per_minute=1, burst=3), even)
    for t_ms in range(0, 60_000, 6_000):
        grouper.take(alert(1), -70, t_ms)
    assert grouper.dropped["flood"] == 7


def test_after_a_slot_a_payload_is_new_again():
    grouper = Grouper()
    grouper.take(alert(1), -70, 0)
    closed(grouper, 300)
    grouper.take(alert(1), -70, SLOT_MS + 1)
    assert [due for due, _ in closed(grouper, 10**9)] == [SLOT_MS + 301]


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "length"), (bytes(22), "length"), (bytes(31), "length"), (bytes(100), "length"),
        (b"\x40" + bytes(22), "version"), (b"\x38" + bytes(22), "type"),
        (b"\x21" + bytes(22), "reserved"), (b"\x28" + bytes(22), "length"),
        (alert(1, 450), "seq"), (page(12), "page"),
    ],
)  # fmt: skip
def test_what_is_no_frame_is_dropped_and_counted(payload, reason):
    grouper = Grouper()
    grouper.take(payload, -70, 1000)
    assert (grouper.due_ms(), dict(grouper.dropped)) == (None, {reason: 1})


@pytest.mark.parametrize("rssi", [-128, -127, 21, 127, 10**9])
def test_a_strength_that_no_radio_has_is_unknown(rssi):
    grouper = Grouper()
    grouper.take(alert(1), rssi, 1000)
    assert closed(grouper, 2000)[0][1][0].rssi_dbm is None


@pytest.mark.parametrize("seed", range(3))
def test_a_flood_takes_its_share_and_the_beacon_gets_through(seed):
    dice = random.Random(seed)
    grouper = Grouper(draw=dice.random)
    passed: set[bytes] = set()
    arrivals = [(t_ms, alert(dice.getrandbits(64))) for t_ms in range(0, 60_000, 5)]
    for frame in range(600):  # a beacon's, while the flood has twenty times as many
        true = alert(7, frame // 20) if frame % 3 == 0 else page(frame % 12, 99)
        arrivals.append((100 * frame + dice.randrange(100), true))
    for t_ms, payload in sorted(arrivals):
        passed.update(f.payload for _, frames in closed(grouper, t_ms) for f in frames)
        grouper.take(payload, -90, t_ms)
    assert len(passed) <= 300 + 1200 + 50
    assert grouper.dropped[FLOOD] > 8_000
    # of 30 alerts, each said seven times, with one chance in ten each time
    assert sum(payload[:9] == alert(7)[:9] for payload in passed) >= 8
    assert sum(payload[0] == 0x28 for payload in passed) >= 8  # all that are said


def openings(draw: Callable[[], float]) -> list[int]:
    """How many ms lie between the frames that pass, when there is one in each ms."""
    grouper = Grouper(Limits(burst=1), draw)
    passed = []
    for t_ms in range(5_000):
        before = grouper.dropped[FLOOD]
        grouper.take(alert(t_ms + 1), -40, t_ms)
        if grouper.dropped[FLOOD] == before:
            passed.append(t_ms)
    return [later - earlier for earlier, later in pairwise(passed)]


def test_nothing_on_air_can_keep_step_with_the_bucket():
    assert set(openings(even)) == {50}  # a beacon that sends every 100 ms could always be late
    uneven = openings(random.Random(1).random)
    assert len(set(uneven)) > 10
    assert sum(uneven) / len(uneven) <= 50


def test_what_has_passed_needs_no_more_tokens():
    grouper = Grouper(Limits(per_minute=0, burst=1), even)
    grouper.take(alert(1), -70, 0)
    for t_ms in range(1, 100):
        grouper.take(alert(1), -70, t_ms)
        grouper.take(alert(2), -70, t_ms)
    assert closed(grouper, 300)[0][1] == (HeardFrame(alert(1), 0, 99, 100, -70),)
    assert dict(grouper.dropped) == {FLOOD: 99}


def test_tokens_come_back_and_are_bounded():
    grouper = Grouper(Limits(per_minute=60, burst=2), even)
    for number, t_ms in enumerate((0, 0, 0, 1000, 1000, 100_000, 100_000, 100_000)):
        grouper.take(alert(number), None, t_ms)
    assert grouper.dropped[FLOOD] == 3


def test_a_steady_clock_that_is_not_steady_gives_no_tokens():
    grouper = Grouper(Limits(per_minute=60, burst=1), even)
    for number, t_ms in enumerate((10_000, 0, 10_000 - 1)):
        grouper.take(alert(number), None, t_ms)
    assert grouper.dropped[FLOOD] == 1  # 0 to 9,999 ms is worth one


def test_groups_and_memory_are_bounded():
    grouper = Grouper(Limits(per_minute=10**9, burst=10**6, remembered=1000))
    frames = 0
    for number in range(5000):
        grouper.take(alert(number), None, number // 100)
        for _, group in closed(grouper, number // 100):
            assert 1 <= len(group) <= MOST_FRAMES // 2
            frames += len(group)
    frames += sum(len(group) for _, group in closed(grouper, 10**6))
    assert frames == 5000
    assert len(grouper._known) <= 1001
    assert len(grouper._rids) <= 1001


def test_the_last_group_is_not_waited_for():
    grouper = Grouper()
    grouper.take(alert(1), -70, 0)
    assert len(grouper.close(1, is_last=True)) == 1
    assert grouper.close(2, is_last=True) == []


def test_what_goes_on_is_told_at_the_end_too():
    grouper = Grouper()
    grouper.take(page(1), -70, 0)
    closed(grouper, 5000)
    grouper.take(page(1), -60, 30_000)
    assert grouper.close(30_001) == []
    assert grouper.close(30_001, is_last=True) == [
        (HeardFrame(page(1), 30_000, 30_000, 1, -60),)
    ]  # fmt: skip
