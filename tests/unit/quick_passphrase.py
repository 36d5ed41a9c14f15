"""Passphrases that cost nothing, for tests in which only the price is in the way.

What they seal is sealed: to a key made of the passphrase by one hash. tests/unit/test_keyring.py
pays the price of a real one.
"""

import hashlib

import pyrage
from fanal.age_key import secret_text

HEADER = b"age-encryption.org/v1\n-> scrypt "


def _identity(passphrase):
    return pyrage.x25519.Identity.from_str(
        secret_text(hashlib.sha256(passphrase.encode()).digest())
    )


def encrypt(plain, passphrase):
    return HEADER + pyrage.encrypt(plain, [_identity(passphrase).to_public()])


def decrypt(sealed, passphrase):
    if not sealed.startswith(HEADER):
        raise pyrage.DecryptError("header")
    return pyrage.decrypt(sealed.removeprefix(HEADER), [_identity(passphrase)])
