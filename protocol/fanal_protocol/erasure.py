"""Any three of twelve: three chunks of 22 bytes as twelve, nine of them parity. SPEC 2.2.

Byte-wise over GF(2^8) with polynomial 0x11D. Parity page p is the sum over j = 0..2 of
inverse(p xor j) times chunk j. These factors are a Cauchy matrix, so every choice of three
pages can be solved. A chunk is worked on as one integer, all of its bytes at once.
"""

from fanal_protocol.error import Misuse
from fanal_protocol.frame import CHUNK_BYTES, SIGNATURE_PAGES

CHUNKS = 3

_REDUCTION = 0x1D
_ONES = int.from_bytes(b"\x01" * CHUNK_BYTES, "big")
_LOW_BITS = _ONES * 0x7F

# inverse(x) for x = 1..11, all that p xor j can be.
INVERSES = b"\x00\x01\x8e\xf4\x47\xa7\x7a\xba\xad\x9d\xdd\x98"


def encode(chunks):
    """Return the twelve chunks, 22 bytes each, of a sequence of three. Raises Misuse."""
    if len(chunks) != CHUNKS:
        raise Misuse("number of chunks")
    numbers = [_number(chunk) for chunk in chunks]
    pages = []
    for page in range(SIGNATURE_PAGES):
        factors = _factors(page)
        total = 0
        for j in range(CHUNKS):
            total ^= _times(factors[j], numbers[j])
        pages.append(total.to_bytes(CHUNK_BYTES, "big"))
    return pages


def decode(pages):
    """Return the list of the first three chunks from any three.

    pages: a dictionary of exactly three, page number 0..11 to its chunk, 22 bytes. Any
    chunks give some answer; only the signature tells whether they belonged together.
    Raises Misuse.
    """
    if len(pages) != CHUNKS or not all(0 <= page < SIGNATURE_PAGES for page in pages):
        raise Misuse("three pages of twelve are needed")
    rows = [_factors(page) + [_number(chunk)] for page, chunk in pages.items()]
    for column in range(CHUNKS):
        _eliminate(rows, column)
    return [row[CHUNKS].to_bytes(CHUNK_BYTES, "big") for row in rows]


def _number(chunk):
    if len(chunk) != CHUNK_BYTES:
        raise Misuse("chunk length")
    return int.from_bytes(chunk, "big")


def _factors(page):
    """Return the three factors by which the chunks enter a page."""
    if page < CHUNKS:
        return [int(page == j) for j in range(CHUNKS)]
    return [INVERSES[page ^ j] for j in range(CHUNKS)]


def _times(factor, number):
    """Return factor, 0..255, times each byte of a number of up to 22 bytes."""
    total = 0
    while factor:
        if factor & 1:
            total ^= number
        number = (number & _LOW_BITS) << 1 ^ (number >> 7 & _ONES) * _REDUCTION
        factor >>= 1
    return total


def _inverse(factor):
    """Return the inverse of 1..255: its 254th power."""
    power = 1
    for _ in range(7):
        factor = _times(factor, factor)
        power = _times(factor, power)
    return power


def _eliminate(rows, column):
    """Make `column` of the rows that of the unit matrix (Gauss and Jordan)."""
    pivot = column
    while not rows[pivot][column]:
        pivot += 1
    rows[column], rows[pivot] = rows[pivot], rows[column]
    scale = _inverse(rows[column][column])
    rows[column] = [_times(scale, value) for value in rows[column]]
    for i in range(CHUNKS):
        factor = rows[i][column]
        if i != column and factor:
            for k in range(CHUNKS + 1):
                rows[i][k] ^= _times(factor, rows[column][k])
