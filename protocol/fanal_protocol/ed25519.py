"""Ed25519 (RFC 8032) for a beacon: signing fast enough in Python, verifying plain and strict.

Multiples of the base point come from a signed comb of seven teeth over two tables: 38 additions
and 18 doublings for every scalar, a seventh of what double-and-add takes. Points are extended
homogeneous coordinates (X, Y, Z, T) with x = X/Z, y = Y/Z, T = XY/Z, and the formulas are
complete, so no case of them needs a branch.

This is not constant-time; Python is not. What depends on the secret scalar is which table
entries are read. The inversion, whose course would show its argument, is blinded.
"""

from fanal_protocol.error import Misuse
from fanal_protocol.sha512 import sha512

KEY_BYTES = 32
SIGNATURE_BYTES = 64

_P = 2**255 - 19
_ORDER = 2**252 + 27742317777372353535851937790883648493
_D = 0x52036CEE2B6FFE738CC740797779E89800700A4D4141D8AB75EB4DCA135978A3
_ROOT_OF_MINUS_1 = 0x2B8324804FC1DF0B2B4D00993DFBD7A72F431806AD2FE478C4EE1B274A0EA0B0

_TABLES = 2
_TEETH = 7
_COLUMNS = 19
_TABLE_BITS = _TEETH * _COLUMNS
_COMB_BYTES = (_TABLES * _TABLE_BITS + 7) // 8
_ALL_ONES = (2 ** (_TABLES * _TABLE_BITS) - 1) % _ORDER
_IDENTITY = (0, 1, 1, 0)


def public_key(seed, random=None):
    """Return the public key, 32 bytes, of a seed of 32 bytes. Raises Misuse. RFC 8032, 5.1.5.

    random: as in `sign`.
    """
    return _encode(_times_base(_expanded(seed)[0]), random)


def sign(seed, message, public_key=None, random=None):
    """Return the signature, 64 bytes, of `message`, bytes of any length. RFC 8032, 5.1.6.

    seed: 32 bytes. public_key: that of this seed, 32 bytes, if the caller has it: saves half of
    the work. It must come from `public_key` and never from outside, since two signatures under
    two public keys give the seed away. random: a callable that returns n random bytes, such as
    os.urandom, to blind the inversions; it does not change the signature. Raises Misuse.
    """
    scalar, prefix = _expanded(seed)
    if public_key is None:
        public_key = _encode(_times_base(scalar), random)
    if len(public_key) != KEY_BYTES:
        raise Misuse("public key length")
    nonce = _number(sha512(prefix + message)) % _ORDER
    commitment = _encode(_times_base(nonce), random)
    challenge = _number(sha512(commitment + public_key + message)) % _ORDER
    response = (nonce + challenge * scalar) % _ORDER
    return commitment + response.to_bytes(32, "little")


def verify(public_key, message, signature):
    """Return whether `signature` is one of `message` by `public_key`; all bytes, untrusted.

    The signature is R || S. The equation is the one without the cofactor: the encoding of
    [S]B - [k]A must be R byte for byte, with k = SHA-512(R || A || message) mod L. Refused
    besides: a wrong length, S >= L, an A that is no point in its one canonical encoding, and an
    A or R of order 1, 2, 4 or 8 (for those a signature says nothing about the message).
    """
    if len(public_key) != KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    response = _number(signature[32:])
    if response >= _ORDER:
        return False
    try:
        x, y = _decoded(public_key)
    except ValueError:
        return False
    commitment = signature[:32]
    challenge = _number(sha512(commitment + public_key + message)) % _ORDER
    product = _affine(_times(challenge, _P - x, y))
    point = _add(_times_base(response), *_summand(*product))
    if _is_small(point) or _is_small((x, y, 1, x * y % _P)):
        return False
    return _encode(point) == commitment


def _expanded(seed):
    """Return (secret scalar, 32-byte prefix) of a seed."""
    if len(seed) != KEY_BYTES:
        raise Misuse("seed length")
    expanded = sha512(seed)
    scalar = _number(expanded[:32]) & (2**254 - 8) | 2**254
    return scalar, expanded[32:]


def _number(data):
    return int.from_bytes(data, "little")


def _times_base(scalar):
    """Return scalar * B for 0 <= scalar < 2**255.

    The comb has no zero digits: bit b of `digits` stands for 2^i if set, for -2^i if clear. So
    scalar = 2 * digits - (2^266 - 1), modulo the order of B. The table is imported here because
    it takes 12 KB and most boots sign nothing.
    """
    from fanal_protocol.ed25519_table import TABLE

    digits = scalar + _ALL_ONES
    digits = (digits + _ORDER * (digits & 1)) >> 1
    digits = digits.to_bytes(_COMB_BYTES, "little")
    point = _IDENTITY
    for column in range(_COLUMNS - 1, -1, -1):
        if column < _COLUMNS - 1:
            point = _double(point)
        for table in range(_TABLES):
            index = 0
            for tooth in range(_TEETH):
                i = table * _TABLE_BITS + tooth * _COLUMNS + column
                index |= (digits[i >> 3] >> (i & 7) & 1) << tooth
            point = _add(point, *_entry(TABLE, table, index))
    return point


def _entry(values, table, index):
    """Return (y - x, y + x, 2dxy) for a column of seven bits; the top one is the sign."""
    negative = index < 64
    if negative:
        index ^= 127
    offset = (table * 64 + (index & 63)) * 96
    minus = _number(values[offset : offset + 32])
    plus = _number(values[offset + 32 : offset + 64])
    product = _number(values[offset + 64 : offset + 96])
    return (plus, minus, _P - product) if negative else (minus, plus, product)


def _times(scalar, x, y):
    """Return scalar * (x, y), bit by bit, for verifying only."""
    summand = _summand(x, y)
    point = _IDENTITY
    mask = 1 << 252
    while mask:
        point = _double(point)
        if scalar & mask:
            point = _add(point, *summand)
        mask >>= 1
    return point


def _summand(x, y):
    return y - x, y + x, 2 * _D * x * y % _P


def _add(point, minus, plus, product):
    """Return point + (x, y), given y - x, y + x and 2dxy. Hisil et al. 2008, 3.1 with Z2 = 1."""
    x, y, z, t = point
    a = (y - x) * minus % _P
    b = (y + x) * plus % _P
    c = t * product % _P
    e = b - a
    h = b + a
    f = 2 * z - c
    g = 2 * z + c
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _double(point):
    """Return 2 * point. Hisil et al. 2008, 3.3."""
    x, y, z, _ = point
    a = x * x % _P
    b = y * y % _P
    h = a + b
    e = h - (x + y) * (x + y) % _P
    g = a - b
    f = 2 * (z * z % _P) + g
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _is_small(point):
    """Return whether the order of point is 1, 2, 4 or 8."""
    for _ in range(3):
        point = _double(point)
    return point[0] == 0


def _affine(point, random=None):
    x, y, z, _ = point
    inverse = _inverse(z, random)
    return x * inverse % _P, y * inverse % _P


def _inverse(value, random):
    """Return 1 / value modulo P by Euclid's algorithm, on value times a random factor."""
    blind = (_number(random(32)) % _P or 1) if random else 1
    high, low = _P, value * blind % _P
    before, factor = 0, 1
    while low > 1:
        quotient, remainder = divmod(high, low)
        high, low = low, remainder
        before, factor = factor, before - quotient * factor
    return factor * blind % _P


def _encode(point, random=None):
    """Return the 32 bytes of a point. RFC 8032, 5.1.2."""
    x, y = _affine(point, random)
    return (y | (x & 1) << 255).to_bytes(32, "little")


def _decoded(encoded):
    """Return (x, y) of 32 bytes. Raises ValueError if they are not canonical. RFC 8032, 5.1.3."""
    y = _number(encoded)
    odd = y >> 255
    y &= 2**255 - 1
    if y >= _P:
        raise ValueError("y is not below p")
    u = y * y - 1
    v = _D * y * y + 1
    x = u * v**3 * pow(u * v**7 % _P, (_P - 5) // 8, _P) % _P
    if (v * x * x + u) % _P == 0:
        x = x * _ROOT_OF_MINUS_1 % _P
    if (v * x * x - u) % _P or (x == 0 and odd):
        raise ValueError("no point has this y and sign")
    return (_P - x if x & 1 != odd else x), y
