"""Records in RTC memory: round trip, every flip, every cut; sleeps and drills by a bad clock."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.fake_board import FIRST_KEY, SEED, event, retained, vault

KEY16 = bytes(range(16))
EVENT = retained.EventRecord(
    7,
    event.TRACK,
    0,
    0,
    0,
    120,
    450,
    900_000,
    0,
    1_200_000,
    288_000,
    2**40,
    KEY16,
    KEY16,
    SEED,
    SEED,
)
QUIET = retained.QuietRecord(2**40 + 5000, 2**40, 0, 3, 120)
BACKOFF = retained.BackoffRecord(8, 2**40, 240_000)
ASKED = retained.SelfTestRecord(8, 2**40)
RECORDS = [EVENT, QUIET, BACKOFF, QUIET._replace(seen_ms=-(2**40)), ASKED]
OPEN = vault.Record(SEED, SEED, 8, FIRST_KEY, True, 1, False, 0)


@pytest.mark.parametrize("record", RECORDS)
def test_round_trip(record):
    data = retained.encode(record)
    assert len(data) <= retained.RTC_BYTES
    assert retained.decode(data) == record
    assert type(retained.decode(data)) is type(record)


@pytest.mark.parametrize("record", RECORDS)
def test_every_flip_and_every_cut_is_refused(record):
    data = retained.encode(record)
    for bit in range(len(data) * 8):
        bad = bytearray(data)
        bad[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ValueError):  # noqa: PT011  the one error there is
            retained.decode(bytes(bad))
    for size in range(len(data)):
        with pytest.raises(ValueError):  # noqa: PT011
            retained.decode(data[:size])
    with pytest.raises(ValueError):  # noqa: PT011
        retained.decode(data + b"\x00")


@given(st.binary(max_size=300))
def test_noise_is_refused(data):
    with pytest.raises(ValueError):  # noqa: PT011
        retained.decode(data)


@pytest.mark.parametrize(
    ("kept", "record", "agrees"),
    [
        (EVENT, OPEN, True),
        (EVENT._replace(n=6), OPEN, False),
        (EVENT._replace(n=8), OPEN, False),
        (EVENT._replace(planned_ms=0), OPEN, False),
        (EVENT, vault.closed(OPEN), False),
        (EVENT, OPEN._replace(drill=True), False),
        (EVENT._replace(state=event.DRILL_TRACK), OPEN._replace(drill=True), True),
        (EVENT._replace(state=event.DRILL_TRACK), OPEN, False),
        (EVENT._replace(state=event.TEST), OPEN, False),
        (EVENT._replace(state=event.TEST), OPEN._replace(activation=0), True),
        (EVENT._replace(state=event.TEST), OPEN._replace(activation=0, drill=True), True),
        (QUIET, OPEN, False),
        (QUIET, vault.closed(OPEN), True),
        (QUIET, vault.EMPTY, True),
        (BACKOFF, OPEN, True),
        (BACKOFF, OPEN._replace(n=9), False),
        (BACKOFF, vault.closed(OPEN), False),
        (ASKED, OPEN, False),
        (ASKED, vault.closed(OPEN), True),
        (ASKED._replace(n=7), vault.closed(OPEN), False),
        (ASKED._replace(n=9), vault.closed(OPEN), False),
        (ASKED._replace(n=1), vault.identity(SEED, SEED), False),
        (ASKED._replace(n=1), vault.EMPTY, False),
    ],
)
def test_what_agrees_with_the_vault(kept, record, agrees):
    assert retained.agrees(kept, record) == agrees


@pytest.mark.parametrize(
    ("planned_ms", "went_ms", "now_ms", "slept_ms"),
    [
        (288_000, 10_000, 298_000, 288_000),
        (288_000, 10_000, 40_000, 30_000),  # the pin woke it
        (288_000, 10_000, 310_000, 300_000),  # a slow oscillator
        (288_000, 10_000, 430_000, 420_000),
        (288_000, 10_000, 430_001, 288_000),  # somebody set the clock
        (288_000, 10_000, 9_999, 288_000),
        (288_000, 10_000, 2**41, 288_000),
        (0, 10_000, 10_000, 0),
    ],
)
def test_how_long_a_sleep_was(planned_ms, went_ms, now_ms, slept_ms):
    assert retained.slept_ms(planned_ms, went_ms, now_ms) == slept_ms


@pytest.mark.parametrize(
    ("until_ms", "seen_ms", "now_ms", "armed_s"),
    [
        (0, 0, 1000, 0),
        (61_000, 1000, 1000, 60),
        (61_000, 1000, 60_001, 1),
        (61_000, 1000, 61_000, 0),
        (61_000, 1000, 999, 0),  # the clock went back
        (0, -9000, -1000, 0),
        (3_601_000, 1000, 1000, 3600),
        (3_601_001, 1000, 1000, 0),  # longer than anybody can arm it
    ],
)
def test_whether_a_drill_is_armed(until_ms, seen_ms, now_ms, armed_s):
    record = retained.quiet(seen_ms, until_ms)
    assert retained.armed_for_s(record, now_ms) == armed_s


@pytest.mark.parametrize(
    ("later_ms", "is_due"),
    [(0, True), (100, True), (30_000, True), (30_001, False), (-1, False), (2**41, False)],
)
def test_whether_a_self_test_is_due(later_ms, is_due):
    assert retained.is_due(ASKED, ASKED.asked_ms + later_ms) is is_due
