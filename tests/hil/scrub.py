"""Keys out of whatever is about to be shown, in every form in which a program writes bytes."""

import base64
from collections.abc import Iterable

HIDDEN = "[a key]"

_LINE_BYTES = 32  # of text; a shorter rest of a key says too little to be looked for


def forms(key: bytes) -> list[str]:
    """Return the texts that show `key`: hex, base64 at each alignment, base32, repr, numbers."""
    found = [key.hex(), key.hex().upper(), key.hex(":"), key.hex(" "), repr(key)[2:-1]]
    found += [base64.b32encode(key).decode().rstrip("="), ", ".join(map(str, key))]
    for lead in range(3):
        # what surrounds a key changes the characters at its ends, never those in its middle
        text = base64.b64encode(b"\0" * lead + key).decode().rstrip("=")
        middle = text[4 if lead else 0 : -2]
        found += [middle, middle.replace("+", "-").replace("/", "_")]
    return [form for form in dict.fromkeys(found) if len(form) >= _LINE_BYTES]


def scrubbed(text: str, keys: Iterable[bytes]) -> str:
    """Return `text` with every key in it replaced."""
    for key in keys:
        for form in forms(key):
            text = text.replace(form, HIDDEN)
    return text
