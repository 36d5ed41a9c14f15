"""On MicroPython only: what a signature costs beside all protocol modules, as `name=value` words.

Arguments: a folder that goes first on the path, then `sign`, or `import` to stop after the
imports: the difference in the smallest heap in which it runs is what a signature needs.
"""

import gc
import os
import sys
import time

sys.path.insert(0, sys.argv[1])

from fanal_protocol import (  # noqa: F401  the signature has to fit beside them
    advert,
    alert,
    ccm,
    crumb,
    crypto,
    ed25519,
    erasure,
    frame,
    keys,
    line,
    signature,
    slot,
)

SEED = bytes(range(32))
ROUNDS = 20


def microseconds(call):
    """Return the median time of `call`."""
    times = []
    for _ in range(ROUNDS):
        start = time.ticks_us()
        call()
        times.append(time.ticks_diff(time.ticks_us(), start))
    return sorted(times)[ROUNDS // 2]


gc.collect()
imported = gc.mem_alloc()
if sys.argv[2] == "sign":
    public_key = ed25519.public_key(SEED)
    message = signature.message(1, 0, bytes(8), 0x20)
    gc.collect()
    with_table = gc.mem_alloc() - imported
    us = microseconds(lambda: ed25519.sign(SEED, message, public_key, os.urandom))
    print(f"table_bytes={with_table} sign_us={us}")
