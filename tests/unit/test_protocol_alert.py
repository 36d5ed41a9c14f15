"""The alert: round trips, every bit, and what its four bytes mean."""

import itertools

import pytest
from fanal_protocol import alert, frame
from fanal_protocol.error import Misuse, Refused, TagError
from hypothesis import given
from hypothesis import strategies as st

byte = st.integers(0, 255)
keys = st.binary(min_size=16, max_size=16)
rids = st.binary(min_size=8, max_size=8)
units = st.integers(0, 449)
alerts = st.builds(alert.Alert, byte, byte, byte, byte)

KEY = bytes(range(16))
RID = bytes(range(8))
PLAIN = alert.Alert(0x20, 150, 3, 1)


@given(keys, rids, units, alerts)
def test_round_trip(key, rid, q, plain):
    payload = alert.seal(key, rid, q, plain)
    heard = frame.decode(payload)
    assert (len(payload), heard.rid, heard.q) == (23, rid, q)
    assert alert.open_alert(key, heard) == plain


@given(rids, units, alerts, alerts)
def test_a_sealer_keeps_nothing_from_one_alert_to_the_next(rid, q, first, second):
    sealer = alert.Sealer(KEY)
    out = bytearray(23)
    for plain in (first, second):
        sealer.seal_into(out, rid, q, *plain)
        assert out == alert.seal(KEY, rid, q, plain)


@given(rids, units, alerts)
def test_every_flipped_bit_is_refused(rid, q, plain):
    payload = alert.seal(KEY, rid, q, plain)
    for bit in range(8 * len(payload)):
        spoilt = bytearray(payload)
        spoilt[bit >> 3] ^= 1 << (bit & 7)
        with pytest.raises(Refused) as refused:
            alert.open_alert(KEY, frame.decode(spoilt))
        assert bit < 8 or refused.value.reason in ("tag", "seq")


@given(keys.filter(lambda key: key != KEY))
def test_another_key_is_refused(key):
    with pytest.raises(TagError):
        alert.open_alert(key, frame.decode(alert.seal(KEY, RID, 0, PLAIN)))


@pytest.mark.parametrize("activation", [alert.SELF_TEST, alert.HOLD])
def test_status_byte_and_back(activation):
    for flags in itertools.product([False, True], repeat=3):
        status = alert.status_byte(activation, *flags)
        assert alert.read_status(status) == (activation, *flags)
        assert alert.readable(alert.Alert(status, 0, 0, 0))


def test_status_bits_are_where_the_specification_has_them():
    assert alert.status_byte(alert.HOLD) == 0b001_0_0_0_0_0
    assert alert.status_byte(alert.SELF_TEST, drill=True) == 0b000_1_0_0_0_0
    assert alert.status_byte(alert.SELF_TEST, battery_low=True) == 0b000_0_1_0_0_0
    assert alert.status_byte(alert.SELF_TEST, resumed=True) == 0b000_0_0_0_1_0


@pytest.mark.parametrize("activation", [-1, 2, 7, 8])
def test_reserved_activations_are_not_written(activation):
    with pytest.raises(Misuse):
        alert.status_byte(activation)


def test_what_is_readable():
    written = {
        alert.status_byte(activation, *flags)
        for activation in (alert.SELF_TEST, alert.HOLD)
        for flags in itertools.product([False, True], repeat=3)
    }
    for status, phase in itertools.product(range(256), (0, 1, 2, 255)):
        expected = status in written and phase <= alert.PHASE_TRACK
        assert alert.readable(alert.Alert(status, 255, 255, phase)) is expected


@pytest.mark.parametrize(
    ("battery_mv", "units_20_mv"),
    [(-5, 0), (0, 0), (19, 0), (20, 1), (3000, 150), (5099, 254), (5100, 255), (9000, 255)],
)
def test_battery_byte(battery_mv, units_20_mv):
    assert alert.battery_byte(battery_mv) == units_20_mv


@pytest.mark.parametrize(
    ("room", "rid", "q", "plain"),
    [
        (22, RID, 0, PLAIN),
        (24, RID, 0, PLAIN),
        (23, RID[:7], 0, PLAIN),
        (23, RID + b"x", 0, PLAIN),
        (23, RID, -1, PLAIN),
        (23, RID, 450, PLAIN),
        *[(23, RID, 0, PLAIN._replace(**{field: 256})) for field in PLAIN._fields],
        *[(23, RID, 0, PLAIN._replace(**{field: -1})) for field in PLAIN._fields],
    ],
)
def test_misuse(room, rid, q, plain):
    with pytest.raises(Misuse):
        alert.Sealer(KEY).seal_into(bytearray(room), rid, q, *plain)
