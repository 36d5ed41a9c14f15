"""An X25519 key as age writes it: Bech32 (BIP 173) under its own prefix, any length."""

from collections.abc import Iterable

_LETTERS = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_SECRET_PREFIX = "age-secret-key-"


def secret_text(key: bytes) -> str:
    """Return the "AGE-SECRET-KEY-1..." line of an X25519 key of 32 bytes. Raises ValueError."""
    if len(key) != 32:
        raise ValueError("an X25519 key has 32 bytes")
    data = _fives(key)
    return f"{_SECRET_PREFIX}1{_written(data + _checksum(_SECRET_PREFIX, data))}".upper()


def _fives(octets: bytes) -> list[int]:
    """Return the bits of `octets` five at a time, zeros at the end."""
    number, bits = int.from_bytes(octets, "big"), 8 * len(octets)
    padding = -bits % 5
    number <<= padding
    return [number >> at & 31 for at in range(bits + padding - 5, -1, -5)]


def _checksum(prefix: str, data: list[int]) -> list[int]:
    expanded = [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix]
    state = _polymod(expanded + data + [0] * 6) ^ 1
    return [state >> 5 * (5 - i) & 31 for i in range(6)]


def _polymod(values: Iterable[int]) -> int:
    state = 1
    for value in values:
        top = state >> 25
        state = (state & 0x1FFFFFF) << 5 ^ value
        for i, term in enumerate(_GENERATOR):
            state ^= term if top >> i & 1 else 0
    return state


def _written(data: Iterable[int]) -> str:
    return "".join(_LETTERS[value] for value in data)
