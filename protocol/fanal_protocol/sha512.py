"""SHA-512 (FIPS 180-4) for a beacon, whose MicroPython has SHA-256 only.

Three ways give one answer: the library of CPython, the compression function of `sha512_viper`
in machine code, and the plain one here. Viper is taken only if it is there and a known answer
comes out right. Words are kept as two halves of 32 bits, high half first, because viper has no
wider integers on a board.
"""

from array import array
from struct import unpack_from

try:
    from hashlib import sha512 as _library
except ImportError:
    _library = None

_viper = None
if _library is None:
    try:
        from fanal_protocol import sha512_viper as _viper
    except (ImportError, SyntaxError, NotImplementedError):
        pass  # a chip or a build that has no viper

_MASK = 0xFFFFFFFF

# fractional parts of the square roots of the first 8 primes, FIPS 180-4, 5.3.5
_INITIAL = (
    b"\x6a\x09\xe6\x67\xf3\xbc\xc9\x08\xbb\x67\xae\x85\x84\xca\xa7\x3b"
    b"\x3c\x6e\xf3\x72\xfe\x94\xf8\x2b\xa5\x4f\xf5\x3a\x5f\x1d\x36\xf1"
    b"\x51\x0e\x52\x7f\xad\xe6\x82\xd1\x9b\x05\x68\x8c\x2b\x3e\x6c\x1f"
    b"\x1f\x83\xd9\xab\xfb\x41\xbd\x6b\x5b\xe0\xcd\x19\x13\x7e\x21\x79"
)

# fractional parts of the cube roots of the first 80 primes, FIPS 180-4, 4.2.3
_ROUND_CONSTANTS = (
    b"\x42\x8a\x2f\x98\xd7\x28\xae\x22\x71\x37\x44\x91\x23\xef\x65\xcd"
    b"\xb5\xc0\xfb\xcf\xec\x4d\x3b\x2f\xe9\xb5\xdb\xa5\x81\x89\xdb\xbc"
    b"\x39\x56\xc2\x5b\xf3\x48\xb5\x38\x59\xf1\x11\xf1\xb6\x05\xd0\x19"
    b"\x92\x3f\x82\xa4\xaf\x19\x4f\x9b\xab\x1c\x5e\xd5\xda\x6d\x81\x18"
    b"\xd8\x07\xaa\x98\xa3\x03\x02\x42\x12\x83\x5b\x01\x45\x70\x6f\xbe"
    b"\x24\x31\x85\xbe\x4e\xe4\xb2\x8c\x55\x0c\x7d\xc3\xd5\xff\xb4\xe2"
    b"\x72\xbe\x5d\x74\xf2\x7b\x89\x6f\x80\xde\xb1\xfe\x3b\x16\x96\xb1"
    b"\x9b\xdc\x06\xa7\x25\xc7\x12\x35\xc1\x9b\xf1\x74\xcf\x69\x26\x94"
    b"\xe4\x9b\x69\xc1\x9e\xf1\x4a\xd2\xef\xbe\x47\x86\x38\x4f\x25\xe3"
    b"\x0f\xc1\x9d\xc6\x8b\x8c\xd5\xb5\x24\x0c\xa1\xcc\x77\xac\x9c\x65"
    b"\x2d\xe9\x2c\x6f\x59\x2b\x02\x75\x4a\x74\x84\xaa\x6e\xa6\xe4\x83"
    b"\x5c\xb0\xa9\xdc\xbd\x41\xfb\xd4\x76\xf9\x88\xda\x83\x11\x53\xb5"
    b"\x98\x3e\x51\x52\xee\x66\xdf\xab\xa8\x31\xc6\x6d\x2d\xb4\x32\x10"
    b"\xb0\x03\x27\xc8\x98\xfb\x21\x3f\xbf\x59\x7f\xc7\xbe\xef\x0e\xe4"
    b"\xc6\xe0\x0b\xf3\x3d\xa8\x8f\xc2\xd5\xa7\x91\x47\x93\x0a\xa7\x25"
    b"\x06\xca\x63\x51\xe0\x03\x82\x6f\x14\x29\x29\x67\x0a\x0e\x6e\x70"
    b"\x27\xb7\x0a\x85\x46\xd2\x2f\xfc\x2e\x1b\x21\x38\x5c\x26\xc9\x26"
    b"\x4d\x2c\x6d\xfc\x5a\xc4\x2a\xed\x53\x38\x0d\x13\x9d\x95\xb3\xdf"
    b"\x65\x0a\x73\x54\x8b\xaf\x63\xde\x76\x6a\x0a\xbb\x3c\x77\xb2\xa8"
    b"\x81\xc2\xc9\x2e\x47\xed\xae\xe6\x92\x72\x2c\x85\x14\x82\x35\x3b"
    b"\xa2\xbf\xe8\xa1\x4c\xf1\x03\x64\xa8\x1a\x66\x4b\xbc\x42\x30\x01"
    b"\xc2\x4b\x8b\x70\xd0\xf8\x97\x91\xc7\x6c\x51\xa3\x06\x54\xbe\x30"
    b"\xd1\x92\xe8\x19\xd6\xef\x52\x18\xd6\x99\x06\x24\x55\x65\xa9\x10"
    b"\xf4\x0e\x35\x85\x57\x71\x20\x2a\x10\x6a\xa0\x70\x32\xbb\xd1\xb8"
    b"\x19\xa4\xc1\x16\xb8\xd2\xd0\xc8\x1e\x37\x6c\x08\x51\x41\xab\x53"
    b"\x27\x48\x77\x4c\xdf\x8e\xeb\x99\x34\xb0\xbc\xb5\xe1\x9b\x48\xa8"
    b"\x39\x1c\x0c\xb3\xc5\xc9\x5a\x63\x4e\xd8\xaa\x4a\xe3\x41\x8a\xcb"
    b"\x5b\x9c\xca\x4f\x77\x63\xe3\x73\x68\x2e\x6f\xf3\xd6\xb2\xb8\xa3"
    b"\x74\x8f\x82\xee\x5d\xef\xb2\xfc\x78\xa5\x63\x6f\x43\x17\x2f\x60"
    b"\x84\xc8\x78\x14\xa1\xf0\xab\x72\x8c\xc7\x02\x08\x1a\x64\x39\xec"
    b"\x90\xbe\xff\xfa\x23\x63\x1e\x28\xa4\x50\x6c\xeb\xde\x82\xbd\xe9"
    b"\xbe\xf9\xa3\xf7\xb2\xc6\x79\x15\xc6\x71\x78\xf2\xe3\x72\x53\x2b"
    b"\xca\x27\x3e\xce\xea\x26\x61\x9c\xd1\x86\xb8\xc7\x21\xc0\xc2\x07"
    b"\xea\xda\x7d\xd6\xcd\xe0\xeb\x1e\xf5\x7d\x4f\x7f\xee\x6e\xd1\x78"
    b"\x06\xf0\x67\xaa\x72\x17\x6f\xba\x0a\x63\x7d\xc5\xa2\xc8\x98\xa6"
    b"\x11\x3f\x98\x04\xbe\xf9\x0d\xae\x1b\x71\x0b\x35\x13\x1c\x47\x1b"
    b"\x28\xdb\x77\xf5\x23\x04\x7d\x84\x32\xca\xab\x7b\x40\xc7\x24\x93"
    b"\x3c\x9e\xbe\x0a\x15\xc9\xbe\xbc\x43\x1d\x67\xc4\x9c\x10\x0d\x4c"
    b"\x4c\xc5\xd4\xbe\xcb\x3e\x42\xb6\x59\x7f\x29\x9c\xfc\x65\x7e\x2a"
    b"\x5f\xcb\x6f\xab\x3a\xd6\xfa\xec\x6c\x44\x19\x8c\x4a\x47\x58\x17"
)


def sha512(data):
    """Return the 64-byte SHA-512 digest of `data`, bytes of any length. FIPS 180-4, 6.4."""
    if _library is not None:
        return _library(data).digest()
    return digest(data, _EXPAND, _ROUNDS)


def digest(data, expand, rounds):
    """Return the 64-byte digest of `data` by this pair of functions.

    expand(window) replaces 16 words of the message schedule by the next 16; rounds(work, window,
    constants, first) does rounds first .. first + 15. All are arrays "I" of halves: `window` 32,
    `work` 16, `constants` 160. What `sha512` uses is chosen once; tests and benches name it.
    """
    constants = _halves(_ROUND_CONSTANTS)
    state = _halves(_INITIAL)
    window = array("I", bytes(128))
    whole = len(data) // 128 * 128
    for offset in range(0, whole, 128):
        _compress(state, window, constants, data, offset, expand, rounds)
    rest = bytes(data[whole:]) + b"\x80"
    rest += bytes((112 - len(rest)) % 128 + 8) + (8 * len(data)).to_bytes(8, "big")
    for offset in range(0, len(rest), 128):
        _compress(state, window, constants, rest, offset, expand, rounds)
    return b"".join([half.to_bytes(4, "big") for half in state])


def expand(window):
    """Replace words t .. t + 15 of the message schedule by words t + 16 .. t + 31, in place."""
    for i in range(0, 32, 2):
        j = (i + 2) & 31
        wh = window[j]
        wl = window[j + 1]
        # sigma 0: rotations by 1 and 8, shift by 7
        low = ((wl >> 1 | wh << 31) ^ (wl >> 8 | wh << 24) ^ (wl >> 7 | wh << 25)) & _MASK
        high = (wh >> 1 | wl << 31) ^ (wh >> 8 | wl << 24) ^ wh >> 7
        j = (i + 28) & 31
        wh = window[j]
        wl = window[j + 1]
        # sigma 1: rotations by 19 and 61, shift by 6
        low += ((wl >> 19 | wh << 13) ^ (wh >> 29 | wl << 3) ^ (wl >> 6 | wh << 26)) & _MASK
        high += (wh >> 19 | wl << 13) ^ (wl >> 29 | wh << 3) ^ wh >> 6
        j = (i + 18) & 31
        low += window[i + 1] + window[j + 1]
        window[i + 1] = low & _MASK
        window[i] = (high + window[i] + window[j] + (low >> 32)) & _MASK


def rounds(work, window, constants, first):
    """Do rounds first .. first + 15 on `work`, the eight working variables, in place.

    Each round makes a new `a` and a new `e`; the rest only change their names. So a variable
    keeps its place and the places rotate: `a` of round t is at index -2t mod 16.
    """
    for t in range(0, 32, 2):
        place = 16 - t
        e = (place + 8) & 15
        f = (place + 10) & 15
        g = (place + 12) & 15
        k = 2 * first + t
        eh = work[e]
        el = work[e + 1]
        last = (place + 14) & 15
        # h + Sigma 1 (14, 18, 41) + Ch(e, f, g) + K + W
        low = ((el >> 14 | eh << 18) ^ (el >> 18 | eh << 14) ^ (eh >> 9 | el << 23)) & _MASK
        high = (eh >> 14 | el << 18) ^ (eh >> 18 | el << 14) ^ (el >> 9 | eh << 23)
        low += work[g + 1] ^ (el & (work[f + 1] ^ work[g + 1]))
        high += work[g] ^ (eh & (work[f] ^ work[g]))
        low += work[last + 1] + constants[k + 1] + window[t + 1]
        high = (high + work[last] + constants[k] + window[t] + (low >> 32)) & _MASK
        low &= _MASK
        d = (place + 6) & 15
        new = low + work[d + 1]
        work[d] = (high + work[d] + (new >> 32)) & _MASK
        work[d + 1] = new & _MASK
        a = place & 15
        b = (place + 2) & 15
        c = (place + 4) & 15
        ah = work[a]
        al = work[a + 1]
        # + Sigma 0 (28, 34, 39) + Maj(a, b, c)
        low += ((al >> 28 | ah << 4) ^ (ah >> 2 | al << 30) ^ (ah >> 7 | al << 25)) & _MASK
        high += (ah >> 28 | al << 4) ^ (al >> 2 | ah << 30) ^ (al >> 7 | ah << 25)
        low += (al & (work[b + 1] | work[c + 1])) | (work[b + 1] & work[c + 1])
        high += (ah & (work[b] | work[c])) | (work[b] & work[c])
        work[last] = (high + (low >> 32)) & _MASK
        work[last + 1] = low & _MASK


def _compress(state, window, constants, data, offset, expand, rounds):
    for i, half in enumerate(unpack_from(">32I", data, offset)):
        window[i] = half
    work = array("I", state)
    for first in range(0, 80, 16):
        if first:
            expand(window)
        rounds(work, window, constants, first)
    for i in range(14, -2, -2):
        low = state[i + 1] + work[i + 1]
        state[i] = (state[i] + work[i] + (low >> 32)) & _MASK
        state[i + 1] = low & _MASK


def _halves(words):
    return array("I", [int.from_bytes(words[i : i + 4], "big") for i in range(0, len(words), 4)])


def _chosen():
    """Return (expand, rounds): viper's if its answer to a message of two blocks is right."""
    if _viper is None:
        return expand, rounds
    answer = digest(_KNOWN_MESSAGE, _viper.expand, _viper.rounds)
    if answer != _KNOWN_ANSWER:
        return expand, rounds
    return _viper.expand, _viper.rounds


# FIPS 180-4 example of 896 bits: two blocks, so the state is carried from one to the next
_KNOWN_MESSAGE = (
    b"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmn"
    b"hijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu"
)
_KNOWN_ANSWER = (
    b"\x8e\x95\x9b\x75\xda\xe3\x13\xda\x8c\xf4\xf7\x28\x14\xfc\x14\x3f"
    b"\x8f\x77\x79\xc6\xeb\x9f\x7f\xa1\x72\x99\xae\xad\xb6\x88\x90\x18"
    b"\x50\x1d\x28\x9e\x49\x00\xf7\xe4\x33\x1b\x99\xde\xc4\xb5\x43\x3a"
    b"\xc7\xd3\x29\xee\xb6\xdd\x26\x54\x5e\x96\xe5\x5b\x87\x4b\xe9\x09"
)

_EXPAND, _ROUNDS = _chosen()
