"""Write fanal_protocol/ed25519_table.py: multiples of the base point, for the comb of `ed25519`.

Run from anywhere: `python protocol/make_ed25519_table.py`. The arithmetic here is the affine
group law of RFC 8032, section 5.1, with nothing in common with `ed25519`, so that one checks
the other.
"""

from pathlib import Path

P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P
BASE_Y = 4 * pow(5, -1, P) % P
TEETH = 7
COLUMNS = 19  # 2 tables x 7 teeth x 19 columns = 266 bits, enough for any scalar below 2**255
TABLES = 2
TARGET = Path(__file__).parent / "fanal_protocol" / "ed25519_table.py"
BYTES_PER_LINE = 24

Point = tuple[int, int]

HEADER = '''"""Multiples of the base point of Ed25519 for the comb of `ed25519`.

Generated, not written, by protocol/make_ed25519_table.py. Two tables of 64 entries of 96 bytes:
y - x, y + x and 2dxy of one point (x, y), each 32 bytes, little-endian.

Entry i of table v is the sum over teeth t = 0 .. 6 of +-2^(133 v + 19 t) B, plus where bit t of i
is set and for tooth 6. The other 64 combinations are the negatives of these.
"""

# fmt: off
TABLE = (
'''
FOOTER = ")\n"


def base_point() -> Point:
    """Return (x, y) of B: y = 4/5 and the even root x. RFC 8032, 5.1."""
    x2 = (BASE_Y * BASE_Y - 1) * pow(D * BASE_Y * BASE_Y + 1, -1, P) % P
    x = pow(x2, (P + 3) // 8, P)
    if x * x % P != x2:
        x = x * pow(2, (P - 1) // 4, P) % P
    return (P - x if x & 1 else x), BASE_Y


def add(a: Point, b: Point) -> Point:
    """Return a + b; the law is complete, so a may equal b. RFC 8032, 5.1.4."""
    (x1, y1), (x2, y2) = a, b
    product = D * x1 * x2 * y1 * y2 % P
    x = (x1 * y2 + x2 * y1) * pow(1 + product, -1, P) % P
    y = (y1 * y2 + x1 * x2) * pow(1 - product, -1, P) % P
    return x, y


def double(point: Point, times: int) -> Point:
    """Return 2**times * point."""
    for _ in range(times):
        point = add(point, point)
    return point


def entry(teeth: list[Point], index: int) -> bytes:
    """Return the 96 bytes of the entry `index` (0..63) of the table with these seven teeth."""
    x, y = teeth[TEETH - 1]
    for tooth in range(TEETH - 1):
        tooth_x, tooth_y = teeth[tooth]
        sign = 1 if index >> tooth & 1 else -1
        x, y = add((x, y), (sign * tooth_x % P, tooth_y))
    values = ((y - x) % P, (y + x) % P, 2 * D * x * y % P)
    return b"".join(value.to_bytes(32, "little") for value in values)


def table() -> bytes:
    """Return the 12,288 bytes of both tables."""
    teeth = [base_point()]
    while len(teeth) < TABLES * TEETH:
        teeth.append(double(teeth[-1], COLUMNS))
    return b"".join(
        entry(teeth[start : start + TEETH], index)
        for start in range(0, TABLES * TEETH, TEETH)
        for index in range(2 ** (TEETH - 1))
    )


def module() -> str:
    """Return the text of ed25519_table.py."""
    data = table()
    lines = []
    for start in range(0, len(data), BYTES_PER_LINE):
        escaped = "".join(f"\\x{byte:02x}" for byte in data[start : start + BYTES_PER_LINE])
        lines.append(f'    b"{escaped}"\n')
    return HEADER + "".join(lines) + FOOTER


if __name__ == "__main__":
    TARGET.write_text(module(), encoding="ascii")
