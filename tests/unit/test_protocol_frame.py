"""Frames and advertising data: round trips, the order of reasons, and anything at all as input."""

import pytest
from fanal_protocol import advert, error, frame
from fanal_protocol.error import Misuse, Refused
from hypothesis import given
from hypothesis import strategies as st

rids = st.binary(min_size=8, max_size=8)
alerts = st.builds(
    lambda rid, q, sealed: b"\x20" + rid + q.to_bytes(2, "big") + sealed,
    rids,
    st.integers(0, 449),
    st.binary(min_size=12, max_size=12),
)
signature_pages = st.builds(
    lambda page, rest: bytes((0x28, page)) + rest,
    st.integers(0, 11),
    st.binary(min_size=25, max_size=25),
)
crumb_pages = st.binary(min_size=26, max_size=26).map(lambda rest: b"\x30" + rest)
payloads = st.one_of(alerts, signature_pages, crumb_pages)
near = st.one_of(
    st.binary(max_size=40),
    st.binary(min_size=23, max_size=23),
    st.binary(min_size=27, max_size=27),
    st.builds(lambda hdr, rest: bytes((hdr,)) + rest, st.integers(0x20, 0x3F), st.binary()),
)


def reason_of(payload):
    """The reason why `payload` is refused; None if it is not."""
    try:
        frame.decode(payload)
    except Refused as refused:
        return refused.reason
    return None


def encoded(heard):
    """A payload once more from the fields of a frame: what decode must not lose."""
    if isinstance(heard, frame.AlertFrame):
        return b"\x20" + heard.rid + heard.q.to_bytes(2, "big") + heard.sealed
    if isinstance(heard, frame.SignatureFrame):
        return bytes((0x28, heard.page)) + heard.chunk + heard.check
    return bytes((0x30, heard.index)) + heard.veiled


def test_reasons_are_a_closed_list():
    classes = [found for found in vars(error).values() if isinstance(found, type)]
    refusals = [found for found in classes if issubclass(found, Refused) and found is not Refused]
    assert [refusal.reason for refusal in refusals] == list(error.REASONS)
    assert not issubclass(Misuse, Refused)
    assert not issubclass(Refused, ValueError)


@given(payloads)
def test_decode_loses_nothing(payload):
    for given_as in (bytes, bytearray, memoryview):
        assert encoded(frame.decode(given_as(payload))) == payload


@given(near)
def test_anything_decodes_or_has_a_reason(payload):
    reason = reason_of(payload)
    if reason is None:
        assert encoded(frame.decode(payload)) == payload
    else:
        assert reason in error.REASONS


@given(payloads)
def test_every_truncation_has_the_reason_length(payload):
    for size in range(len(payload)):
        assert reason_of(payload[:size]) == "length"
    assert reason_of(payload + b"\x00") == "length"


# Each row breaks one more rule than the row before it, from the last rule asked to the first.
ORDER = [
    ("2000000000000000000" + "1c1" + "00" * 12, None),
    ("2000000000000000000" + "1c2" + "00" * 12, "seq"),
    ("2800000000000000000" + "1c2" + "00" * 12, "length"),
    ("2900000000000000000" + "1c2" + "00" * 12, "reserved"),
    ("3900000000000000000" + "1c2" + "00" * 12, "type"),
    ("5900000000000000000" + "1c2" + "00" * 12, "version"),
    ("5900000000000000000" + "1c2" + "00" * 13, "length"),
    ("280b" + "00" * 25, None),
    ("280c" + "00" * 25, "page"),
    ("200c" + "00" * 25, "length"),
    ("270c" + "00" * 25, "reserved"),
    ("3f0c" + "00" * 25, "type"),
    ("1f0c" + "00" * 25, "version"),
    ("1f0c" + "00" * 24, "length"),
    ("28ff" + "00" * 25, "page"),
    ("30ff" + "00" * 25, None),
    ("30ff" + "00" * 21, "length"),
    ("", "length"),
]


@pytest.mark.parametrize(("text", "reason"), ORDER)
def test_reasons_in_order(text, reason):
    assert reason_of(bytes.fromhex(text)) == reason


@pytest.mark.parametrize("hdr", range(256))
def test_every_first_byte(hdr):
    for size, fitting in ((23, {0x20}), (27, {0x28, 0x30})):
        reason = reason_of(bytes((hdr,)) + bytes(size - 1))
        if hdr in fitting:
            assert reason is None
        elif hdr >> 5 != 1:
            assert reason == "version"
        elif hdr >> 3 & 3 == 3:
            assert reason == "type"
        else:
            assert reason == ("reserved" if hdr & 7 else "length")


# Advertising data

others = st.lists(
    st.builds(
        lambda kind, data: bytes((1 + len(data), kind)) + data,
        st.sampled_from([0x01, 0x02, 0x03, 0x09, 0x16, 0x21, 0xFF]),
        st.one_of(st.just(b""), st.just(b"\xa1"), st.binary(max_size=8)).filter(
            lambda data: data[:2] != b"\xa1\xf5"
        ),
    ),
    max_size=4,
).map(b"".join)


@given(payloads)
def test_wrap_and_unwrap(payload):
    adv = advert.wrap(payload)
    assert len(adv) == 31
    assert adv[: -len(payload)].hex() == ("0303a1f51a16a1f5" if len(payload) == 23 else "1e16a1f5")
    assert advert.unwrap(adv) == advert.unwrap(bytearray(adv)) == payload
    out = bytearray(31)
    advert.wrap_into(out, payload)
    assert out == adv


@given(payloads, others, st.binary(max_size=9))
def test_unwrap_passes_over_others(payload, before, after):
    adv = before + bytes((3 + len(payload), 0x16, 0xA1, 0xF5)) + payload + after
    assert advert.unwrap(adv) == payload


@given(payloads)
def test_every_truncation_of_an_advert_is_refused(payload):
    adv = advert.wrap(payload)
    for size in range(len(adv)):
        with pytest.raises(error.LengthError):
            advert.unwrap(adv[:size])


@given(st.one_of(st.binary(max_size=64), st.builds(lambda a, b: a + b, others, st.binary())))
def test_any_advert_is_unwrapped_or_refused(adv):
    try:
        payload = advert.unwrap(adv)
    except error.LengthError:
        return
    assert bytes((3 + len(payload), 0x16, 0xA1, 0xF5)) + payload in adv


@pytest.mark.parametrize(
    "text",
    [
        "",
        "00",
        "020106",
        "0303a1f5",
        "0416a1f600",
        "0217a1",
        "0316f5a1",
        "ff16a1f5",
        "000416a1f500",
    ],
)
def test_adverts_without_our_service_data(text):
    with pytest.raises(error.LengthError):
        advert.unwrap(bytes.fromhex(text))


@pytest.mark.parametrize("size", [0, 22, 24, 26, 28])
def test_wrap_refuses_other_lengths(size):
    with pytest.raises(Misuse):
        advert.wrap(bytes(size))


@pytest.mark.parametrize("room", [0, 30, 32])
def test_wrap_into_needs_31_bytes(room):
    with pytest.raises(Misuse):
        advert.wrap_into(bytearray(room), bytes(23))
