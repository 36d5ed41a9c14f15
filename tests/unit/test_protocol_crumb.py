"""Crumbs: round trips through plaintext, seal and page, and everything that must be refused."""

import pytest
from fanal_protocol import crumb, frame, keys
from fanal_protocol.error import LengthError, Misuse, PageError, TagError
from hypothesis import given
from hypothesis import strategies as st

ABSENT = (bytes(6), 0)
access_points = st.tuples(st.binary(min_size=6, max_size=6), st.integers(-128, 127)).filter(
    lambda ap: ap != ABSENT
)
crumbs = st.builds(
    lambda age_2s, seen, aps: crumb.Crumb(age_2s, seen, tuple(sorted(aps, key=lambda ap: -ap[1]))),
    st.integers(0, 0xFFFF),
    st.integers(0, 255),
    st.lists(access_points, max_size=2),
)
events = st.integers(1, 2**32 - 1)
indexes = st.integers(0, 254)
rids = st.binary(min_size=8, max_size=8)

KEY = bytes(range(16))
PAGE_KEY = bytes(range(32))
RID = bytes(range(8))
PLAIN = crumb.Crumb(
    5164, 2, ((b"\xb4\x40\x1e\x9a\x93\xe6", -81), (b"\x17\xbe\xaa\x3e\xb4\x68", -86))
)


@given(crumbs)
def test_plaintext_round_trip(plain):
    encoded = crumb.encode(plain)
    assert len(encoded) == 17
    assert crumb.decode(encoded) == plain


@given(st.binary(min_size=17, max_size=17))
def test_any_17_bytes_decode(plain):
    decoded = crumb.decode(plain)
    assert (decoded.age_2s, decoded.seen) == (plain[0] << 8 | plain[1], plain[2])
    assert len(decoded.aps) <= 2


def test_other_lengths_do_not_decode():
    for size in [*range(17), 18]:
        with pytest.raises(LengthError):
            crumb.decode(bytes(size))


def test_numbers_saturate():
    assert crumb.encode(crumb.Crumb(1 << 20, 300, ())) == b"\xff\xff\xff" + bytes(14)


@given(crumbs, events, indexes, rids)
def test_from_crumb_to_page_and_back(plain, event, index, rid):
    sealed = crumb.seal(KEY, event, index, plain)
    payload = crumb.page(PAGE_KEY, rid, index, sealed)
    assert (len(sealed), len(payload)) == (25, 27)
    assert crumb.unveil(PAGE_KEY, rid, frame.decode(payload)) == (index, sealed)
    assert crumb.open_crumb(KEY, event, index, sealed) == plain


@given(crumbs, indexes)
def test_every_flipped_bit_is_refused(plain, index):
    sealed = crumb.seal(KEY, 7, index, plain)
    for bit in range(8 * len(sealed)):
        spoilt = bytearray(sealed)
        spoilt[bit >> 3] ^= 1 << (bit & 7)
        with pytest.raises(TagError):
            crumb.open_crumb(KEY, 7, index, bytes(spoilt))


def test_a_crumb_is_of_one_key_event_and_index():
    sealed = crumb.seal(KEY, 7, 1, PLAIN)
    for key, event, index in [(KEY[::-1], 7, 1), (KEY, 8, 1), (KEY, 7, 2)]:
        with pytest.raises(TagError):
            crumb.open_crumb(key, event, index, sealed)


@given(st.binary(max_size=40).filter(lambda sealed: len(sealed) != 25))
def test_a_sealed_crumb_has_25_bytes(sealed):
    with pytest.raises(LengthError):
        crumb.open_crumb(KEY, 7, 1, sealed)
    with pytest.raises(Misuse):
        crumb.page(PAGE_KEY, RID, 1, sealed)


@given(rids)
def test_exactly_one_veiled_index_means_255(rid):
    refused = 0
    seen = set()
    for x in range(256):
        try:
            seen.add(crumb.unveil(PAGE_KEY, rid, frame.CrumbFrame(x, bytes(25)))[0])
        except PageError:
            refused += 1
    assert (refused, seen) == (1, set(range(255)))


@given(rids, indexes)
def test_the_same_crumb_looks_different_in_every_slot(rid, index):
    sealed = crumb.seal(KEY, 7, index, PLAIN)
    other = bytes((rid[0] ^ 1,)) + rid[1:]
    left = crumb.page(PAGE_KEY, rid, index, sealed)
    right = crumb.page(PAGE_KEY, other, index, sealed)
    assert all(left[i : i + 6] not in right for i in range(2, 22))


def test_no_two_crumbs_share_a_key():
    chain = keys.crumb_chain(PAGE_KEY)
    seen = set()
    for _ in range(crumb.LAST_INDEX + 1):
        crumb_key, chain = keys.crumb_step(chain)
        seen.add(crumb_key)
    assert len(seen) == 255


@pytest.mark.parametrize(
    "plain",
    [
        crumb.Crumb(-1, 0, ()),
        crumb.Crumb(0, -1, ()),
        crumb.Crumb(0, 3, (PLAIN.aps[0],) * 3),
        crumb.Crumb(0, 2, PLAIN.aps[::-1]),
        crumb.Crumb(0, 1, (ABSENT,)),
        crumb.Crumb(0, 1, ((bytes(5), -40),)),
        crumb.Crumb(0, 1, ((bytes(7), -40),)),
        crumb.Crumb(0, 1, ((b"abcdef", -129),)),
        crumb.Crumb(0, 1, ((b"abcdef", 128),)),
    ],
)
def test_misuse_of_encode(plain):
    with pytest.raises(Misuse):
        crumb.encode(plain)


@pytest.mark.parametrize(("event", "index"), [(0, 0), (2**32, 0), (1, -1), (1, 255)])
def test_misuse_of_seal(event, index):
    with pytest.raises(Misuse):
        crumb.seal(KEY, event, index, PLAIN)


def test_misuse_of_page():
    for rid, index in [(RID[:7], 0), (RID, -1), (RID, 255)]:
        with pytest.raises(Misuse):
            crumb.page(PAGE_KEY, rid, index, bytes(25))
