"""How people and barcode readers write a beacon's id, and how it is shown to them.

An id is 8 letters of Crockford's base32, which has no I, L, O and U: what is typed for the
first three is read as the digit it looks like.
"""

from fanal.error import UsageError
from fanal.printable import printable

LETTERS = 8
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
GROUP = 4

_MEANT = str.maketrans("OIL", "011")
# as typed, and as word processors make of it
_BETWEEN = dict.fromkeys(map(ord, " \t\r\n-\u00a0\u2010\u2011\u2012\u2013\u2212"))
_PREFIX = "FANAL:"
_LONGEST = 64
_SHOWN_AT_MOST = 24


def parse(text: str) -> str:
    """Return the id, 8 letters, that a person typed or a barcode reader sent.

    Taken as well: any case, spaces and hyphens, O for 0, I and L for 1, `FANAL:` in front, and the
    control characters and the symbology identifier (such as `]Q1`) that readers add. Raises
    UsageError for everything else; its sentence is safe to print whatever the text was.
    """
    if len(text) > _LONGEST or not (plain := _bare(text)).isascii():
        raise _no_id(text, "It is eight letters and digits, as on the label.")
    read = plain.upper().translate(_MEANT)
    if strange := sorted(set(read) - set(ALPHABET)):
        letter = strange[0] if strange[0].isprintable() else "that"
        raise _no_id(text, f"There is no {letter} in any id: look at the label again.")
    if len(read) != LETTERS:
        raise _no_id(text, f"It has {len(read)} letters, and an id has {LETTERS}.")
    return read


def shown(beacon_id: str) -> str:
    """Return an id in the two groups in which people read it: "K7Q2-9XMD"."""
    return f"{beacon_id[:GROUP]}-{beacon_id[GROUP:]}"


def _bare(text: str) -> str:
    """Return the text without what stands around and between the letters."""
    text = text.strip("".join(map(chr, range(33))) + "\x7f")
    if text[:2].upper() == "]Q" and text[2:3].isdigit():
        text = text[3:]
    text = text.translate(_BETWEEN)
    return text[len(_PREFIX) :] if text[: len(_PREFIX)].upper() == _PREFIX else text


def _no_id(text: str, hint: str) -> UsageError:
    head = printable(text.strip(), _SHOWN_AT_MOST)
    if len(text.strip()) > _SHOWN_AT_MOST:
        head += " ..."
    what = f"“{head}” is no beacon id." if head else "There is no beacon id here."
    return UsageError(what, hint, code="beacon_id")
