"""Bech32 as age writes its keys: against pyrage, and against the vectors of BIP 173."""

import secrets

import pyrage
import pytest
from fanal import age_key
from hypothesis import given
from hypothesis import strategies as st

LETTERS = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"


def raw(text: str) -> bytes:
    """The bytes of a Bech32 text, read without any of our code but the alphabet."""
    data = [LETTERS.index(c) for c in text.lower().rsplit("1", 1)[1][:-6]]
    number, bits = 0, 5 * len(data)
    for five in data:
        number = number << 5 | five
    return (number >> bits % 8).to_bytes(bits // 8, "big")


def test_an_identity_of_pyrage_survives_the_way_through_its_bytes():
    for _ in range(50):
        text = str(pyrage.x25519.Identity.generate())
        assert age_key.secret_text(raw(text)) == text


@given(st.binary(min_size=32, max_size=32))
def test_any_32_bytes_are_a_key(key):
    text = age_key.secret_text(key)
    identity = pyrage.x25519.Identity.from_str(text)
    assert str(identity) == text
    assert raw(text) == key


def test_a_known_key():
    # the identity of the test vectors of age (C2SP/CCTV)
    text = "AGE-SECRET-KEY-1XMWWC06LY3EE5RYTXM9MFLAZ2U56JJJ36S0MYPDRWSVLUL66MV4QX3S7F6"
    assert age_key.secret_text(raw(text)) == text


@pytest.mark.parametrize("size", [0, 1, 31, 33, 64])
def test_other_lengths_are_no_keys(size):
    with pytest.raises(ValueError, match="32 bytes"):
        age_key.secret_text(secrets.token_bytes(size))


@pytest.mark.parametrize(
    ("prefix", "data", "written"),
    [
        ("a", [], "a12uel5l"),
        ("abcdef", list(range(32)), "abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw"),
        ("?", [], "?1ezyfcl"),
    ],
)
def test_the_checksums_of_bip_173(prefix, data, written):
    checksum = age_key._checksum(prefix, data)
    assert f"{prefix}1{age_key._written(data + checksum)}" == written


@pytest.mark.parametrize(
    ("octets", "fives"),
    [
        (b"", []),
        (b"\xff", [31, 28]),
        (b"\x00\x00", [0, 0, 0, 0]),
        (b"\x84\x21\x08\x42\x10", [16] * 8),
    ],
)
def test_five_bits_at_a_time(octets, fives):
    assert age_key._fives(octets) == fives
