"""Median times of our own Ed25519 and SHA-512, in microseconds, as one JSON object.

Runs on CPython and on MicroPython; `signature.py` calls it on both.
"""

import json
import os
import sys
import time

from fanal_protocol import ed25519, sha512

ROUNDS = 15
SEED = bytes(range(32))
MESSAGE = bytes(38)  # as long as what a beacon signs
BLOCK = bytes(102)  # what is hashed for its challenge: one block

if sys.implementation.name == "micropython":
    now_us = time.ticks_us
    between_us = time.ticks_diff
else:

    def now_us():
        """Return the time in microseconds."""
        return time.perf_counter_ns() / 1000

    def between_us(end, start):
        """Return end - start in microseconds."""
        return end - start


def median_us(call, calls=1):
    """Return the median time of one `call`, in microseconds, over ROUNDS times `calls`."""
    times = []
    for _ in range(ROUNDS):
        start = now_us()
        for _ in range(calls):
            call()
        times.append(between_us(now_us(), start) / calls)
    return sorted(times)[ROUNDS // 2]


def plain_sha512():
    """Hash one block by the plain functions."""
    return sha512.digest(BLOCK, sha512.expand, sha512.rounds)


if __name__ == "__main__":
    public_key = ed25519.public_key(SEED)
    signed = ed25519.sign(SEED, MESSAGE, public_key)
    times_us = {
        "public key": median_us(lambda: ed25519.public_key(SEED, os.urandom)),
        "sign": median_us(lambda: ed25519.sign(SEED, MESSAGE, public_key, os.urandom)),
        "verify": median_us(lambda: ed25519.verify(public_key, MESSAGE, signed)),
        "sha512, plain": median_us(plain_sha512, 10),
    }
    if sys.implementation.name == "micropython":
        way = "sha512, plain again" if sha512._ROUNDS is sha512.rounds else "sha512, viper"
        times_us[way] = median_us(lambda: sha512.sha512(BLOCK), 10)
    print(json.dumps(times_us))
