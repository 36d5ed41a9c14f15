"""Searches bytes for keys that may stand nowhere in clear: halves of them, in many spellings.

A page of a database or a block of a disk may hold a part of a key only, so what is looked for are
its two halves of 16 bytes, each raw, backwards, in hex and in base64 at its three alignments; of
texts (passphrases, words of shares, age identities) every run of 16 letters.
"""

import base64
import os
import re
from pathlib import Path

import numpy as np

_HALF = 16
_PREFIX = 8
_BITS = 20
_MASK = np.uint64((1 << _BITS) - 1)
_URL = bytes.maketrans(b"+/", b"-_")
_IDENTITY = re.compile(rb"AGE-SECRET-KEY-1[A-Z0-9]{20}", re.IGNORECASE)
_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_MOST_BYTES = 64 << 20


class KeySearch:
    """What to look for. keys: name -> 32 bytes or so; texts: name -> a passphrase, words, ..."""

    def __init__(self, keys, texts=None):
        self.needles = {}
        for name, key in keys.items():
            if key.upper().startswith(b"AGE-SECRET-KEY-1"):
                self._add_text(name, key[_HALF:])  # what stands before is the same in each
                key = identity_bytes(key.decode())
            for at in range(0, len(key) - _HALF + 1, _HALF):
                for form in spellings(key[at : at + _HALF]):
                    self.needles[form] = name
        for name, text in (texts or {}).items():
            self._add_text(name, text)
        self._by_prefix = {}
        for needle, name in self.needles.items():
            self._by_prefix.setdefault(needle[:_PREFIX], []).append((needle, name))
        self._prefixes = np.sort(np.array([int.from_bytes(p, "little") for p in self._by_prefix],
                                          np.uint64))  # fmt: skip
        # most of what is searched is left aside by a look at its first bits
        self._beginnings = np.zeros(1 << _BITS, np.bool_)
        self._beginnings[self._prefixes & _MASK] = True

    def _add_text(self, name, text):
        for at in range(max(1, len(text) - _HALF + 1)):
            part = text[at : at + _HALF]
            for form in (part, part.lower(), part.upper(), part.hex().encode()):
                if len(form) >= _PREFIX:
                    self.needles[form] = name

    def names_in(self, data):
        """Return the names of what stands in `data`, sorted."""
        found = {"an age identity"} if _IDENTITY.search(data) else set()
        if len(data) < _PREFIX or not len(self._prefixes):
            return sorted(found)
        for offset in range(min(_PREFIX, len(data) - _PREFIX + 1)):
            words = np.frombuffer(data, "<u8", (len(data) - offset) // _PREFIX, offset)
            maybe = np.flatnonzero(self._beginnings[words & _MASK])
            near = np.searchsorted(self._prefixes, words[maybe])
            near[near == len(self._prefixes)] = 0
            for at in maybe[self._prefixes[near] == words[maybe]]:
                begin = offset + _PREFIX * int(at)
                for needle, name in self._by_prefix[data[begin : begin + _PREFIX]]:
                    if data.startswith(needle, begin):
                        found.add(name)
        return sorted(found)

    def in_tree(self, *folders, since=0.0):
        """Return {path: names} of the files below `folders` that hold any of it, names included.

        since: files that were changed earlier are passed over, Unix seconds.
        """
        found = {}
        for folder in folders:
            for path in sorted(Path(folder).rglob("*")):
                data = os.fsencode(path.name) + b"\n" + _content(path, since)
                if names := self.names_in(data):
                    found[str(path)] = names
        return found


def _content(path, since):
    try:
        if not path.is_file() or path.stat().st_mtime < since or path.stat().st_size > _MOST_BYTES:
            return b""
        return path.read_bytes()
    except OSError:
        return b""  # it is gone


def spellings(half):
    """Return how 16 bytes may lie about; each at least 16 bytes long."""
    found = {half, half[::-1], half.hex().encode(), half.hex().upper().encode(),
             half[::-1].hex().encode()}  # fmt: skip
    for offset in range(3):
        text = base64.b64encode(bytes(offset) + half + bytes(-(offset + len(half)) % 3))
        # letters that hold bits of the neighbours are left away
        sure = text[-(-offset * 4 // 3) : (offset + len(half)) * 4 // 3]
        found |= {sure, sure.translate(_URL)}
    return found


def identity_bytes(text):
    """Return the 32 bytes that an age identity spells."""
    number, bits = 0, 0
    for letter in text.lower().split("1", 1)[1][:-6]:
        number, bits = number << 5 | _BECH32.index(letter), bits + 5
    return (number >> bits % 8).to_bytes(bits // 8, "big")


def read_tape(path):
    """Return every secret that was noted by sitecustomize, in order."""
    data = Path(path).read_bytes()
    found = []
    for number in range(int.from_bytes(data[:4], "little")):
        at = 4 + 128 * number
        found.append(data[at + 1 : at + 1 + data[at]])
    return found
