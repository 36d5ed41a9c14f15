"""What `ed25519.verify` must refuse, and where it is stricter than OpenSSL."""

import json

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from fanal_protocol import ed25519

from tests.micropython.interpreter import ROOT

FILE = ROOT / "protocol" / "vectors" / "rfc8032-ed25519-verify.json"
VECTORS = json.loads(FILE.read_text())["vectors"]
# Keys and commitments of small order: right by the equation, but right for any message.
STRICTER = {
    "ed25519_key_order_1",
    "ed25519_key_order_1_negative_zero",
    "ed25519_key_order_1_y_plus_p",
    "ed25519_key_order_2",
    "ed25519_key_order_2_negative_zero",
    "ed25519_key_order_4",
    "ed25519_key_order_4_y_plus_p",
    "ed25519_key_order_8",
    "ed25519_r_order_1",
}
P = 2**255 - 19
SEED = bytes(range(32))
MESSAGE = b"fanal/1 alert signature"
PUBLIC_KEY = ed25519.public_key(SEED)
SIGNATURE = ed25519.sign(SEED, MESSAGE)


def openssl_accepts(public_key, message, signature):
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def flipped(data, bit):
    spoilt = bytearray(data)
    spoilt[bit // 8] ^= 1 << bit % 8
    return bytes(spoilt)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["case"])
def test_vectors(vector):
    case = [bytes.fromhex(vector[name]) for name in ("public_key", "message", "signature")]
    accepted = ed25519.verify(*case)
    assert accepted == vector["verifies"]
    assert openssl_accepts(*case) == (accepted or vector["case"] in STRICTER)


def test_the_stricter_cases_are_vectors():
    assert {vector["case"] for vector in VECTORS} >= STRICTER


@pytest.mark.parametrize("which", [0, 1, 2], ids=["public key", "message", "signature"])
def test_every_flipped_bit_is_refused(which):
    case = [PUBLIC_KEY, MESSAGE, SIGNATURE]
    assert ed25519.verify(*case)
    for bit in range(8 * len(case[which])):
        spoilt = [*case[:which], flipped(case[which], bit), *case[which + 1 :]]
        assert not ed25519.verify(*spoilt), bit


def test_every_other_length_is_refused():
    for length in range(80):
        padded = (SIGNATURE + bytes(80))[:length]
        assert ed25519.verify(PUBLIC_KEY, MESSAGE, padded) == (length == 64)
        padded = (PUBLIC_KEY + bytes(80))[:length]
        assert ed25519.verify(padded, MESSAGE, SIGNATURE) == (length == 32)


def test_only_canonical_encodings_are_decoded():
    points = 0
    for y in range(19):
        for sign in (0, 1 << 255):
            with pytest.raises(ValueError, match="y is not below p"):
                ed25519._decoded((y + P | sign).to_bytes(32, "little"))
            encoded = (y | sign).to_bytes(32, "little")
            try:
                x, decoded_y = ed25519._decoded(encoded)
            except ValueError:
                continue
            points += 1
            assert ed25519._encode((x, decoded_y, 1, x * y % P)) == encoded
    # 12 of these y are on the curve (so 24 of the 26 non-canonical encodings that ZIP 215 counts
    # have y >= p), and y = 1 has one x instead of two
    assert points == 23


@pytest.mark.parametrize("y", [1, P - 1])
def test_negative_zero_is_no_point(y):
    assert ed25519._decoded(y.to_bytes(32, "little")) == (0, y)
    with pytest.raises(ValueError, match="no point"):
        ed25519._decoded((y | 1 << 255).to_bytes(32, "little"))
