"""The primitives and CCM: both implementations against each other and against `cryptography`."""

import hmac

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESCCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from fanal_protocol import ccm, crypto
from fanal_protocol.error import Misuse, TagError
from hypothesis import given
from hypothesis import strategies as st

keys = st.binary(min_size=16, max_size=16)
nonces = st.binary(min_size=13, max_size=13)
texts = st.binary(max_size=60)
ads = st.binary(max_size=40)

KEY = bytes(range(16))
NONCE = bytes(range(13))

both = pytest.mark.parametrize("cipher_class", [ccm.BlockCcm, ccm.Ccm])


def test_aes_is_that_of_fips_197():
    block = bytes.fromhex("00112233445566778899aabbccddeeff")
    expected = bytes.fromhex("69c4e0d86a7b0430d8cdb78070b4c55a")
    out = bytearray(block)
    cipher = crypto.aes(KEY)
    cipher.encrypt_into(out, out)
    assert cipher.encrypt(block) == out == expected


@pytest.mark.parametrize("size", [0, 15, 17, 24, 32])
def test_only_aes_128(size):
    for make in (crypto.aes, ccm.BlockCcm, ccm.Ccm):
        with pytest.raises(Misuse):
            make(bytes(size))


@given(st.binary(max_size=140), texts)
def test_both_hmacs_agree(key, data):
    expected = hmac.digest(key, data, "sha256")
    assert crypto.hmac_sha256(key, data) == crypto.hmac_of_sha256(key, data) == expected


@given(st.binary(min_size=16, max_size=40), texts, st.integers(1, 32))
def test_kdf_is_hkdf_expand(key, info, length):
    expected = HKDFExpand(hashes.SHA256(), length, info).derive(key)
    assert crypto.kdf(key, info, length) == expected


@pytest.mark.parametrize("length", [-1, 0, 33])
def test_kdf_refuses_other_lengths(length):
    with pytest.raises(Misuse):
        crypto.kdf(KEY, b"", length)


@given(texts, texts)
def test_same_is_equality(left, right):
    assert crypto.same(left, right) == (left == right)
    assert crypto.same(left, bytes(left))


@given(keys, nonces, st.binary(max_size=255), st.binary(max_size=255))
def test_both_ccms_are_that_of_the_library(key, nonce, text, ad):
    sealed = AESCCM(key, tag_length=8).encrypt(nonce, text, ad)
    for cipher in (ccm.BlockCcm(key), ccm.Ccm(key)):
        assert cipher.seal(nonce, text, ad) == sealed
        assert cipher.open(nonce, sealed, ad) == text


@both
@given(nonces, texts, ads, st.integers(0, 9))
def test_seal_into_touches_its_place_only(cipher_class, nonce, text, ad, at):
    cipher = cipher_class(KEY)
    out = bytearray(b"\xee" * (at + len(text) + 8 + 3))
    cipher.seal_into(out, at, nonce, text, ad)
    assert out[at:-3] == cipher.seal(nonce, text, ad)
    assert out[:at] + out[-3:] == b"\xee" * (at + 3)


@both
@given(nonces, st.binary(min_size=1, max_size=20), st.binary(min_size=1, max_size=4))
def test_every_flipped_bit_is_refused(cipher_class, nonce, text, ad):
    cipher = cipher_class(KEY)
    parts = [nonce, cipher.seal(nonce, text, ad), ad]
    for part in range(3):
        for bit in range(8 * len(parts[part])):
            spoilt = [bytearray(whole) for whole in parts]
            spoilt[part][bit >> 3] ^= 1 << (bit & 7)
            with pytest.raises(TagError):
                cipher.open(*map(bytes, spoilt))


@both
def test_every_truncation_is_refused(cipher_class):
    cipher = cipher_class(KEY)
    sealed = cipher.seal(NONCE, bytes(17), b"\x30\x00")
    for size in range(len(sealed)):
        with pytest.raises(TagError):
            cipher.open(NONCE, sealed[:size], b"\x30\x00")


@both
def test_misuse_of_ccm(cipher_class):
    cipher = cipher_class(KEY)
    for nonce, text, ad in [
        (bytes(12), b"", b""),
        (bytes(14), b"", b""),
        (NONCE, bytes(256), b""),
        (NONCE, b"", bytes(256)),
    ]:
        with pytest.raises(Misuse):
            cipher.seal(nonce, text, ad)
        with pytest.raises(Misuse):
            cipher.open(nonce, text + bytes(8), ad)
    for at, room in [(0, 8), (1, 9), (-1, 30)]:
        with pytest.raises(Misuse):
            cipher.seal_into(bytearray(room), at, NONCE, b"x", b"")
