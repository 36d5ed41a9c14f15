"""AES-CCM (NIST SP 800-38C, RFC 3610) with a 13-byte nonce and an 8-byte tag.

`BlockCcm` is made of single AES blocks and is what a beacon runs; `Ccm` is that on
MicroPython and the one of the `cryptography` package on CPython. Both pass the same vectors.
"""

from fanal_protocol import crypto
from fanal_protocol.error import Misuse, TagError

NONCE_BYTES = 13
TAG_BYTES = 8

# Flags of SP 800-38C, A.2.1: a 2-byte length field, an 8-byte tag, and is there associated data.
_FLAGS_COUNTER = 0x01
_FLAGS_NO_AD = 0x19
_FLAGS_AD = 0x59

# One byte holds each length, which is far more than a 31-byte advert needs.
_MOST_BYTES = 255


def _check_lengths(nonce, size, ad):
    if len(nonce) != NONCE_BYTES or size > _MOST_BYTES or len(ad) > _MOST_BYTES:
        raise Misuse("CCM nonce, text or associated data length")


class BlockCcm:
    """CCM under one key of 16 bytes. Its working blocks are made once, with it."""

    def __init__(self, key):
        self._aes = crypto.aes(key)
        self._mac = bytearray(16)
        self._counter = bytearray(16)
        self._stream = bytearray(16)

    def seal_into(self, out, at, nonce, plaintext, ad):
        """Write ciphertext, then tag, into `out` from offset `at`; allocate nothing.

        out: a bytearray with len(plaintext) + 8 bytes from `at` on. nonce: 13 bytes.
        plaintext, ad: at most 255 bytes. Raises Misuse.
        """
        size = len(plaintext)
        if at < 0 or len(out) < at + size + TAG_BYTES:
            raise Misuse("no room to seal")
        _check_lengths(nonce, size, ad)
        self._authenticate(nonce, plaintext, ad)
        self._crypt(nonce, plaintext, size, out, at)
        self._start_stream(nonce)
        for i in range(TAG_BYTES):
            out[at + size + i] = self._mac[i] ^ self._stream[i]

    def seal(self, nonce, plaintext, ad):
        """Return ciphertext || tag, len(plaintext) + 8 bytes. Raises Misuse."""
        out = bytearray(len(plaintext) + TAG_BYTES)
        self.seal_into(out, 0, nonce, plaintext, ad)
        return bytes(out)

    def open(self, nonce, sealed, ad):
        """Return the plaintext of `sealed`, at least 8 bytes, untrusted.

        Raises TagError if key, nonce, `sealed` or `ad` is not as when it was sealed.
        """
        size = len(sealed) - TAG_BYTES
        if size < 0:
            raise TagError("shorter than a tag")
        plaintext = bytearray(size)
        _check_lengths(nonce, size, ad)
        self._crypt(nonce, sealed, size, plaintext, 0)
        self._authenticate(nonce, plaintext, ad)
        self._start_stream(nonce)
        difference = 0
        for i in range(TAG_BYTES):
            difference |= sealed[size + i] ^ self._mac[i] ^ self._stream[i]
        if difference:
            raise TagError("tag")
        return bytes(plaintext)

    def _authenticate(self, nonce, text, ad):
        """Leave the CBC-MAC of the nonce, the associated data and the text in _mac."""
        mac = self._mac
        mac[0] = _FLAGS_AD if len(ad) else _FLAGS_NO_AD
        for i in range(NONCE_BYTES):
            mac[1 + i] = nonce[i]
        mac[14] = 0
        mac[15] = len(text)
        self._aes.encrypt_into(mac, mac)
        if len(ad):
            mac[1] ^= len(ad)
            self._absorb(ad, 2)
        self._absorb(text, 0)

    def _absorb(self, data, column):
        """Mix `data` into _mac, starting at `column` of its first block, zero padded."""
        mac = self._mac
        for i in range(len(data)):
            mac[column] ^= data[i]
            column += 1
            if column == 16:
                self._aes.encrypt_into(mac, mac)
                column = 0
        if column:
            self._aes.encrypt_into(mac, mac)

    def _start_stream(self, nonce):
        """Leave the key stream block that hides the tag, number 0, in _stream."""
        counter = self._counter
        counter[0] = _FLAGS_COUNTER
        for i in range(NONCE_BYTES):
            counter[1 + i] = nonce[i]
        counter[14] = 0
        counter[15] = 0
        self._aes.encrypt_into(counter, self._stream)

    def _crypt(self, nonce, data, size, out, at):
        """Write data[:size] xor the key stream from block 1 on into `out` from `at`."""
        self._start_stream(nonce)
        for i in range(size):
            if i & 15 == 0:
                self._counter[15] += 1
                self._aes.encrypt_into(self._counter, self._stream)
            out[at + i] = data[i] ^ self._stream[i & 15]


try:
    import cryptolib  # noqa: F401  only MicroPython has it

    Ccm = BlockCcm

except ImportError:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESCCM

    class Ccm:
        """CCM under one key of 16 bytes, as `BlockCcm`, by OpenSSL."""

        def __init__(self, key):
            if len(key) != crypto.KEY_BYTES:
                raise Misuse("AES key length")
            self._library = AESCCM(key, tag_length=TAG_BYTES)

        def seal_into(self, out, at, nonce, plaintext, ad):
            """As `BlockCcm.seal_into`."""
            end = at + len(plaintext) + TAG_BYTES
            if at < 0 or len(out) < end:
                raise Misuse("no room to seal")
            out[at:end] = self.seal(nonce, plaintext, ad)

        def seal(self, nonce, plaintext, ad):
            """Return ciphertext || tag, len(plaintext) + 8 bytes. Raises Misuse."""
            _check_lengths(nonce, len(plaintext), ad)
            return self._library.encrypt(nonce, plaintext, ad)

        def open(self, nonce, sealed, ad):
            """Return the plaintext of `sealed`, untrusted. Raises Misuse, TagError."""
            if len(sealed) < TAG_BYTES:
                raise TagError("shorter than a tag")
            _check_lengths(nonce, len(sealed) - TAG_BYTES, ad)
            try:
                return self._library.decrypt(nonce, sealed, ad)
            except InvalidTag:
                raise TagError("tag") from None
