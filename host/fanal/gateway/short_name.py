"""Eight letters that two people compare by telephone, as a beacon's id has them: "K7Q2-9XMD"."""

import hashlib

from fanal.beacon_name import ALPHABET, LETTERS, shown

_BITS = 5  # in a letter


def short_name(context: bytes, content: bytes) -> str:
    """Return the first 40 bits of SHA-256(context || content) in Crockford's base32.

    Enough to notice a wrong file or a wrong computer; whoever has some days of computing can make
    another content with the same letters.
    """
    digest = hashlib.sha256(context + content).digest()
    number = int.from_bytes(digest[: LETTERS * _BITS // 8], "big")
    letters = (ALPHABET[number >> _BITS * at & 31] for at in reversed(range(LETTERS)))
    return shown("".join(letters))
