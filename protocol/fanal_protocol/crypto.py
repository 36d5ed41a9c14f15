"""The two primitives, SHA-256 and AES-128, and what is made of the first: HMAC and KDF.

MicroPython has `hashlib.sha256` (one digest, no copy) and AES in ECB mode; CPython takes the
same from OpenSSL. The choice is made once, here, when the module is imported.
"""

import hashlib

from fanal_protocol.error import Misuse

KEY_BYTES = 16
BLOCK_BYTES = 16

_HASH_BLOCK_BYTES = 64
_KDF_MOST_BYTES = 32


def sha256(data):
    """Return the 32 bytes of SHA-256 (FIPS 180-4) of `data`."""
    return hashlib.sha256(data).digest()


def hmac_of_sha256(key, data):
    """Return HMAC-SHA256 (RFC 2104), 32 bytes, made of `sha256` alone."""
    if len(key) > _HASH_BLOCK_BYTES:
        key = sha256(key)
    pad = bytearray(_HASH_BLOCK_BYTES)
    for i in range(_HASH_BLOCK_BYTES):
        pad[i] = 0x36 ^ (key[i] if i < len(key) else 0)
    inner = hashlib.sha256(pad)
    inner.update(data)
    for i in range(_HASH_BLOCK_BYTES):
        pad[i] ^= 0x36 ^ 0x5C
    outer = hashlib.sha256(pad)
    outer.update(inner.digest())
    return outer.digest()


def kdf(key, info, length):
    """Return the first `length` (1..32) bytes of HMAC-SHA256(key, info || 0x01).

    This is HKDF-Expand (RFC 5869) for one block. Raises Misuse. SPEC, Conventions.
    """
    if not 1 <= length <= _KDF_MOST_BYTES:
        raise Misuse("kdf length")
    return hmac_sha256(key, info + b"\x01")[:length]


def same(left, right):
    """Return whether two byte strings are equal, looking at every byte in any case."""
    if len(left) != len(right):
        return False
    difference = 0
    for i in range(len(left)):
        difference |= left[i] ^ right[i]
    return difference == 0


try:
    from cryptolib import aes as _ecb_aes

    class _Aes:
        def __init__(self, key):
            self._cipher = _ecb_aes(key, 1)

        def encrypt(self, block):
            return self._cipher.encrypt(block)

        def encrypt_into(self, block, out):
            self._cipher.encrypt(block, out)

    hmac_sha256 = hmac_of_sha256

except ImportError:
    import hmac

    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    class _Aes:
        def __init__(self, key):
            # One block at a time is all that is asked of it, so ECB repeats nothing.
            self._encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()

        def encrypt(self, block):
            return self._encryptor.update(block)

        def encrypt_into(self, block, out):
            out[:] = self._encryptor.update(block)

    def hmac_sha256(key, data):
        """Return HMAC-SHA256 (RFC 2104), 32 bytes."""
        return hmac.digest(key, data, "sha256")


def aes(key):
    """Return an AES-128 (FIPS 197) encryptor under a key of 16 bytes.

    It has `encrypt(block)`, which returns 16 bytes, and `encrypt_into(block, out)`, which
    fills a bytearray of 16 and allocates nothing on MicroPython; `out` may be `block`.
    Blocks are 16 bytes. Raises Misuse.
    """
    if len(key) != KEY_BYTES:
        raise Misuse("AES key length")
    return _Aes(key)
