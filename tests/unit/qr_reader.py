"""A reader for QR codes of version 1 in a clean picture, written from ISO/IEC 18004 and not from
what draws them: no error correction, so that not one module may be wrong."""

SIZE = 21
QUIET = 4
LEVEL_H = 0b10
_FORMAT_MASK = 0x5412
_DATA_CODEWORDS = 9  # of 26 at level H
_ALPHANUMERIC = 0b0010
_LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:"
_MASKS = (
    lambda r, c: (r + c) % 2,
    lambda r, c: r % 2,
    lambda r, c: c % 3,
    lambda r, c: (r + c) % 3,
    lambda r, c: (r // 2 + c // 3) % 2,
    lambda r, c: r * c % 2 + r * c % 3,
    lambda r, c: (r * c % 2 + r * c % 3) % 2,
    lambda r, c: ((r + c) % 2 + r * c % 3) % 2,
)


def find(image):
    """Return (left, top, dots per module) of the code at the left of a 1-bit image."""
    dark = image.convert("L").point(lambda value: 255 - value)
    left = dark.getbbox()[0]
    column = [dark.getpixel((left, y)) for y in range(dark.height)]
    top = column.index(255)
    run = 0
    while dark.getpixel((left + run, top)):
        run += 1
    assert run % 7 == 0, "the finder's edge is seven modules"
    return left, top, run // 7


def modules(image):
    """Return 21 rows of 21 bits; every dot of a module has to agree, the quiet zone is white."""
    left, top, size = find(image)
    whole = image.crop(
        (left - QUIET * size, top - QUIET * size, left + 25 * size, top + 25 * size)
    ).convert("L")
    rows = []
    for y in range(SIZE + 2 * QUIET):
        row = []
        for x in range(SIZE + 2 * QUIET):
            tile = whole.crop((x * size, y * size, (x + 1) * size, (y + 1) * size))
            least, most = tile.getextrema()
            assert least == most, "a module of two colours"
            row.append(least == 0)
        rows.append(row)
    inside = [row[QUIET:-QUIET] for row in rows[QUIET:-QUIET]]
    assert sum(map(sum, rows)) == sum(map(sum, inside)), "the quiet zone is not quiet"
    return inside


def read(rows):
    """Return (text, level) of a code of version 1 in alphanumeric mode."""
    level, mask = _format(rows)
    bits = _data_bits(rows, _MASKS[mask])

    def take(count):
        value = int("".join(map(str, bits[:count])), 2)
        del bits[:count]
        return value

    assert take(4) == _ALPHANUMERIC
    left, text = take(9), ""
    while left >= 2:
        text += "".join(_LETTERS[n] for n in divmod(take(11), 45))
        left -= 2
    if left:
        text += _LETTERS[take(6)]
    return text, level


def _format(rows):
    cells = [(8, c) for c in (0, 1, 2, 3, 4, 5, 7, 8)] + [(r, 8) for r in (7, 5, 4, 3, 2, 1, 0)]
    word = int("".join(str(int(rows[r][c])) for r, c in cells), 2) ^ _FORMAT_MASK
    return word >> 13, word >> 10 & 7


def _data_bits(rows, mask):
    bits = []
    columns = [c for c in range(SIZE - 1, -1, -1) if c != 6]
    for turn in range(len(columns) // 2):
        down = range(SIZE) if turn % 2 else range(SIZE - 1, -1, -1)
        for r in down:
            for c in columns[2 * turn : 2 * turn + 2]:
                if not _is_function(r, c):
                    bits.append(int(rows[r][c]) ^ (mask(r, c) == 0))
    return bits[: 8 * _DATA_CODEWORDS]


def _is_function(r, c):
    corner = (r < 9 and (c < 9 or c > 12)) or (r > 12 and c < 9)
    return corner or r == 6 or c == 6
