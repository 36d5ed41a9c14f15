"""Searches for secrets where none may be in clear: raw, in hex, in base64, whatever its offset."""

import base64
import os
import re
from pathlib import Path

_KEY_LINE = re.compile(rb"AGE-SECRET-KEY-1[A-Z0-9]{20}", re.IGNORECASE)


def forms(secret):
    """Return the ways in which a secret of 32 bytes may lie about."""
    found = {secret, secret.hex().encode(), secret.hex().upper().encode()}
    for offset in range(3):  # base64 looks different at each offset of three
        text = base64.b64encode(bytes(offset) + secret)
        found.add(text[(4, 4, 4)[offset] if offset else 0 : 40])
        found.add(text[(4, 4, 4)[offset] if offset else 0 : 40].translate(
            bytes.maketrans(b"+/", b"-_")))  # fmt: skip
    found |= {repr(secret).encode(), secret[::-1]}
    return found


def of_keyring(keyring):
    """Return every secret that an open folder holds."""
    found = [str(keyring._identity).encode()]
    for kind in ("officer", "station"):
        if (keyring.folder / f"{kind}.age").exists():
            held = getattr(keyring, kind)()
            found += [one for one in held.__dict__.values() if isinstance(one, bytes)]
    return found


def in_bytes(data, secrets):
    """Return whether a secret, or any age identity, stands in `data`."""
    if _KEY_LINE.search(data):
        return True
    return any(form in data for secret in secrets for form in forms(secret))


def in_tree(folder, secrets):
    """Return the files below `folder` in which a secret stands, their names included."""
    found = []
    for path in sorted(Path(folder).rglob("*")):
        data = os.fsencode(path.name)
        if path.is_file():
            data += path.read_bytes()
        if in_bytes(data, secrets):
            found.append(path)
    return found
