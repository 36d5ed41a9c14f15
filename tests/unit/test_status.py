"""What a board says of itself, and how it proves it."""

import types

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from fanal.error import IntegrityError
from fanal.status import prove

IDENTITY = (1).to_bytes(32, "little")  # the neutral point: of order 1


def test_a_key_of_small_order_is_no_identity():
    fits_everything = IDENTITY + bytes(32)
    Ed25519PublicKey.from_public_bytes(IDENTITY).verify(fits_everything, b"OpenSSL takes it")
    board = types.SimpleNamespace(call=lambda *_: {"signature": fits_everything.hex()})
    with pytest.raises(IntegrityError):
        prove(board, IDENTITY)
