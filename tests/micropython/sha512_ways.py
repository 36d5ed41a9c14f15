"""On MicroPython only: digests of every length up to 300 bytes, by machine code and by bytecode.

Prints what `sha512` chose, then the SHA-256 sum over all digests of each way.
"""

import hashlib

from fanal_protocol import sha512, sha512_viper


def total(digest):
    """Return the SHA-256 sum, as hex, over the digests of 301 messages."""
    message = bytes([(37 * i + 11) & 255 for i in range(300)])
    total = hashlib.sha256(b"")
    for length in range(len(message) + 1):
        total.update(digest(message[:length]))
    return total.digest().hex()


print("viper" if sha512._ROUNDS is sha512_viper.rounds else "plain")
print(total(sha512.sha512))
print(total(lambda message: sha512.digest(message, sha512_viper.expand, sha512_viper.rounds)))
print(total(lambda message: sha512.digest(message, sha512.expand, sha512.rounds)))
