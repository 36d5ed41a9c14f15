"""Signature pages: any three of twelve, the veil, the check; the field against a slow one."""

import itertools

import pytest
from fanal_protocol import erasure, frame, signature
from fanal_protocol.error import Misuse, TagError
from hypothesis import given
from hypothesis import strategies as st

chunks = st.binary(min_size=22, max_size=22)
signatures = st.binary(min_size=64, max_size=64)
page_keys = st.binary(min_size=32, max_size=32)
rids = st.binary(min_size=8, max_size=8)
triples = st.lists(st.integers(0, 11), min_size=3, max_size=3, unique=True)

PAGE_KEY = bytes(range(32))
RID = bytes(range(8))
SIGNATURE = bytes(range(64))


def product(left, right):
    """Long multiplication in GF(2^8) with polynomial 0x11D, bit by bit."""
    total = 0
    for bit in range(8):
        if right >> bit & 1:
            total ^= left << bit
    for bit in range(14, 7, -1):
        if total >> bit & 1:
            total ^= 0x11D << (bit - 8)
    return total


INVERSE = {left: right for left in range(12) for right in range(256) if product(left, right) == 1}


def test_the_inverses():
    assert list(erasure.INVERSES[1:]) == [INVERSE[factor] for factor in range(1, 12)]


@given(st.lists(chunks, min_size=3, max_size=3))
def test_parity_is_as_written(three):
    pages = erasure.encode(three)
    assert pages[:3] == three
    for page in range(3, 12):
        for i in range(22):
            expected = 0
            for j in range(3):
                expected ^= product(INVERSE[page ^ j], three[j][i])
            assert pages[page][i] == expected


@given(chunks, chunks, chunks, triples)
def test_any_three_pages_in_any_order_give_the_chunks(a, b, c, triple):
    pages = erasure.encode([a, b, c])
    assert erasure.decode({page: pages[page] for page in triple}) == [a, b, c]


def test_all_220_triples():
    three = [bytes(range(22)), bytes(range(100, 122)), b"\xff" * 22]
    pages = erasure.encode(three)
    for triple in itertools.combinations(range(12), 3):
        assert erasure.decode({page: pages[page] for page in triple}) == three


@given(st.dictionaries(st.integers(0, 11), chunks, min_size=3, max_size=3))
def test_any_chunks_at_all_give_some_answer(pages):
    three = erasure.decode(pages)
    again = erasure.encode(three)
    assert all(again[page] == chunk for page, chunk in pages.items())


@pytest.mark.parametrize(
    "pages",
    [
        {},
        dict.fromkeys([0, 1], bytes(22)),
        dict.fromkeys([0, 1, 2, 3], bytes(22)),
        dict.fromkeys([0, 1, 12], bytes(22)),
        dict.fromkeys([-1, 0, 1], bytes(22)),
        {0: bytes(22), 1: bytes(22), 2: bytes(21)},
        {0: bytes(22), 1: bytes(23), 2: bytes(22)},
    ],
)
def test_misuse_of_erasure(pages):
    with pytest.raises(Misuse):
        erasure.decode(pages)
    with pytest.raises(Misuse):
        signature.assemble(pages, PAGE_KEY, RID)
    with pytest.raises(Misuse):
        erasure.encode([*list(pages.values())[1:3], bytes(21)])


@given(signatures, page_keys, rids, triples)
def test_any_three_pages_give_the_signature(signed, page_key, rid, triple):
    payloads = signature.pages(signed, page_key, rid)
    assert [len(payload) for payload in payloads] == [27] * 12
    heard = [frame.decode(payload) for payload in payloads]
    assert [one.page for one in heard] == list(range(12))
    opened = {page: signature.open_page(page_key, rid, heard[page]) for page in triple}
    assert signature.assemble(opened, page_key, rid) == signed


@given(signatures, page_keys, rids)
def test_the_signature_is_veiled(signed, page_key, rid):
    on_air = b"".join(signature.pages(signed, page_key, rid))
    assert all(signed[i : i + 6] not in on_air for i in range(59))


@given(signatures, rids)
def test_pages_of_two_slots_have_nothing_in_common(signed, rid):
    other = bytes((rid[0] ^ 1,)) + rid[1:]
    for left, right in zip(
        signature.pages(signed, PAGE_KEY, rid),
        signature.pages(signed, PAGE_KEY, other),
        strict=True,
    ):
        assert all(left[i : i + 6] not in right for i in range(2, 22))


@given(signatures, rids)
def test_every_flipped_bit_of_a_page_is_refused(signed, rid):
    payload = signature.pages(signed, PAGE_KEY, rid)[7]
    for bit in range(16, 8 * len(payload)):
        spoilt = bytearray(payload)
        spoilt[bit >> 3] ^= 1 << (bit & 7)
        with pytest.raises(TagError):
            signature.open_page(PAGE_KEY, rid, frame.decode(spoilt))


def test_a_page_is_of_one_number_slot_and_key():
    heard = frame.decode(signature.pages(SIGNATURE, PAGE_KEY, RID)[3])
    for page_key, rid, one in [
        (PAGE_KEY, RID, heard._replace(page=4)),
        (PAGE_KEY, RID[::-1], heard),
        (PAGE_KEY[::-1], RID, heard),
    ]:
        with pytest.raises(TagError):
            signature.open_page(page_key, rid, one)


def test_chunks_that_do_not_belong_together_show_in_the_padding():
    pages = signature.pages(SIGNATURE, PAGE_KEY, RID)
    opened = {page: pages[page][2:24] for page in (0, 1)}
    opened[2] = pages[2][2:23] + bytes((pages[2][23] ^ 1,))
    with pytest.raises(TagError):
        signature.assemble(opened, PAGE_KEY, RID)


@given(st.integers(1, 2**32 - 1), st.integers(0, 95), rids, st.integers(0, 255))
def test_the_message(event, slot, rid, status):
    message = signature.message(event, slot, rid, status)
    text = b"fanal/1 alert signature"
    assert message[: len(text)] == text
    rest = message[len(text) :]
    assert rest == event.to_bytes(4, "big") + bytes((0, slot)) + rid + bytes((status // 16 * 16,))


@pytest.mark.parametrize(
    "arguments",
    [
        (0, 0, RID, 0),
        (2**32, 0, RID, 0),
        (1, -1, RID, 0),
        (1, 96, RID, 0),
        (1, 0, RID[:7], 0),
        (1, 0, RID, 256),
        (1, 0, RID, -1),
    ],
)
def test_misuse_of_the_message(arguments):
    with pytest.raises(Misuse):
        signature.message(*arguments)


def test_misuse_of_pages():
    for signed, rid in [(SIGNATURE[:63], RID), (SIGNATURE + b"x", RID), (SIGNATURE, RID[:7])]:
        with pytest.raises(Misuse):
            signature.pages(signed, PAGE_KEY, rid)
    for page, chunk in [(-1, bytes(22)), (12, bytes(22)), (0, bytes(21))]:
        with pytest.raises(Misuse):
            signature.check(PAGE_KEY, RID, page, chunk)
