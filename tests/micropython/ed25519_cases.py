"""Sign and verify the cases of a file: one per line, seed, public key, message, signature in hex.

Runs on both interpreters. Prints how many were as expected and stops at the first that is not.
"""

import os
import sys
from binascii import unhexlify

from fanal_protocol import ed25519

VERIFIED_EVERY = 10

count = 0
with open(sys.argv[1]) as file:
    for line in file:
        seed, public_key, message, signature = [
            unhexlify(field) for field in line.rstrip("\n").split(",")
        ]
        assert ed25519.public_key(seed) == public_key, count
        assert ed25519.sign(seed, message) == signature, count
        assert ed25519.sign(seed, message, public_key, os.urandom) == signature, count
        if count % VERIFIED_EVERY == 0:
            assert ed25519.verify(public_key, message, signature), count
            assert not ed25519.verify(public_key, message + b"\x00", signature), count
        count += 1
print(count)
