"""Decode many random and mutated payloads and adverts; print a hash of all outcomes and counts.

Runs on both interpreters, which must print the same: python refuse_payloads.py COUNT SEED
"""

import hashlib
import sys

HERE = __file__.rsplit("/", 1)[0] if "/" in __file__ else "."
sys.path.insert(0, HERE + "/../../protocol")

from fanal_protocol import advert, alert, crumb, frame, signature  # noqa: E402
from fanal_protocol.error import REASONS, Refused  # noqa: E402

KEY = bytes(range(16))
PAGE_KEY = bytes(range(32))
RID = b"\xa1\xb2\xc3\xd4\xe5\xf6\x07\x18"
SEALED_CRUMB = bytes(range(25))
GENUINE = [
    alert.seal(KEY, RID, 17, alert.Alert(0x20, 150, 0, 0)),
    signature.pages(bytes(range(64)), PAGE_KEY, RID)[7],
    crumb.page(PAGE_KEY, RID, 254, SEALED_CRUMB),
]


class Random:
    """xorshift32 (Marsaglia, 2003): the same numbers on both interpreters."""

    def __init__(self, seed):
        self._state = seed

    def below(self, limit):
        state = self._state
        state ^= state << 13 & 0xFFFFFFFF
        state ^= state >> 17
        state ^= state << 5 & 0xFFFFFFFF
        self._state = state
        return (state >> 4) % limit

    def bytes(self, count):
        return bytes(self.below(256) for _ in range(count))


def payload_from(random):
    """Return noise, noise behind a good first byte, or a genuine payload cut and flipped."""
    kind = random.below(4)
    if kind == 0:
        return random.bytes((23, 27, random.below(40))[random.below(3)])
    if kind == 1:
        return bytes((0x20 | random.below(3) << 3,)) + random.bytes((22, 26)[random.below(2)])
    payload = bytearray(GENUINE[random.below(3)])
    for _ in range(random.below(4)):
        payload[random.below(len(payload))] ^= 1 << random.below(8)
    if kind == 3:
        payload = payload[: random.below(30)] + random.bytes(random.below(4))
    return bytes(payload)


def advert_from(random, payload):
    """Return advertising data around a payload: as it should be, behind others, or noise."""
    kind = random.below(8)
    if kind < 3 and len(payload) in (frame.ALERT_BYTES, frame.PAGE_BYTES):
        return advert.wrap(payload)
    if kind == 3:
        return random.bytes(random.below(32))
    size = random.below(4)
    before = bytes((1 + size, 0x09)) + random.bytes(size)
    return before + bytes((3 + len(payload), 0x16, 0xA1, 0xF5)) + payload


def outcome(adv):
    """Return what a receiver with the keys of one slot makes of advertising data, as text."""
    try:
        heard = frame.decode(advert.unwrap(adv))
        if isinstance(heard, frame.AlertFrame):
            return repr(tuple(alert.open_alert(KEY, heard)))
        if isinstance(heard, frame.SignatureFrame):
            return repr((heard.page, signature.open_page(PAGE_KEY, RID, heard)))
        return repr(crumb.unveil(PAGE_KEY, RID, heard))
    except Refused as error:
        return error.reason


def main(count, seed):
    """Print the hash of all outcomes, then how often each came."""
    random = Random(seed)
    digest = hashlib.sha256()
    counts = {}
    for _ in range(count):
        text = outcome(advert_from(random, payload_from(random)))
        digest.update(text.encode() + b"\n")
        kind = text if text in REASONS else "read"
        counts[kind] = counts.get(kind, 0) + 1
    print("".join(f"{byte:02x}" for byte in digest.digest()))
    print(" ".join(f"{kind}={counts[kind]}" for kind in sorted(counts)))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
