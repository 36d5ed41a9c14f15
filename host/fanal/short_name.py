"""Letters that two people compare by telephone, as a beacon's id has them: "K7Q2-9XMD"."""

import hashlib

from fanal.beacon_name import ALPHABET, GROUP, LETTERS

_BITS = 5  # in a letter


def short_name(context: bytes, content: bytes, letters: int = LETTERS) -> str:
    """Return the first bits of SHA-256(context || content) in Crockford's base32, 5 a letter.

    letters: a multiple of 8. Eight, 40 bits, are enough to notice a wrong file or a wrong computer;
    whoever has some days of computing can make another content with the same ones.
    """
    digest = hashlib.sha256(context + content).digest()
    number = int.from_bytes(digest[: letters * _BITS // 8], "big")
    read = "".join(ALPHABET[number >> _BITS * at & 31] for at in reversed(range(letters)))
    return "-".join(read[at : at + GROUP] for at in range(0, letters, GROUP))
