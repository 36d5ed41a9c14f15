"""The vault: a beacon's secrets in raw flash sectors, so that what is erased is gone. SPEC 4.1.

One record in one sector, everything else blank. A commit writes the next record to another
sector, reads it back, erases the old one and sees it blank. Whatever moment the power goes, the
next `recover` finds either the old record or the new one, whole.

A sector store has `count`, `sector_bytes`, `read_into(sector, offset, buffer)`,
`write(sector, offset, data)`, which only clears bits, and `erase(sector)`.
"""

import hashlib
from collections import namedtuple

from micropython import const

SEED_BYTES = const(32)
KEY_BYTES = const(32)

_MAGIC = b"fanal/v1"
_CHECK_BYTES = const(16)
_CHUNK_BYTES = const(256)

# After the checksum, written last. A sector in which it is blank never held a whole record:
# a cut there lost nothing that anybody was told of. One in which it is not, did.
_MARK = b"\x00\x00\x00\x00"

_HAS_IDENTITY = const(1)
_HAS_KEY = const(2)
_OPEN = const(4)
_DRILL = const(8)

# seed, public_key: 32 bytes or None; the second saves deriving it at each wake. n: the number
# of the next event. event_key: E_n, 32 bytes, or None. open: is event n - 1 open, with its
# activation, 0 or 1, and drill bit. resumptions: in a row.
Record = namedtuple(
    "Record", ("seed", "public_key", "n", "event_key", "open", "activation", "drill", "resumptions")
)

EMPTY = Record(None, None, 1, None, False, 0, False, 0)


class VaultError(Exception):
    """The vault cannot be used. code: `corrupt`, `write` or `misuse`."""

    def __init__(self, code):
        super().__init__(code)
        self.code = code


def identity(seed, public_key):
    """Return the Record of a new beacon key, 32 bytes each."""
    return Record(seed, public_key, 1, None, False, 0, False, 0)


def closed(record):
    """Return the Record after the end of the event that is open in this one."""
    return Record(record.seed, record.public_key, record.n, record.event_key, False, 0, False, 0)


def squeezed(record):
    """Return the Record after one more squeeze in its open event: no resumption in a row."""
    return Record(
        record.seed,
        record.public_key,
        record.n,
        record.event_key,
        record.open,
        record.activation,
        record.drill,
        0,
    )


def opened(record, following, activation, drill, resumptions):
    """Return the Record with which event record.n begins. following: E_{n+1}, 32 bytes."""
    return Record(
        record.seed,
        record.public_key,
        record.n + 1,
        following,
        True,
        activation,
        drill,
        resumptions,
    )


def provisioned(record, event_key):
    """Return the Record of an identity, `record`, that takes E_1, 32 bytes."""
    return Record(record.seed, record.public_key, 1, event_key, False, 0, False, 0)


def encode(record, commits):
    """Return the bytes of a record. commits: 1..2**32-1, how many were made before and this."""
    flags = (
        (_HAS_IDENTITY if record.seed else 0)
        | (_HAS_KEY if record.event_key else 0)
        | (_OPEN if record.open else 0)
        | (_DRILL if record.drill else 0)
    )
    body = (
        _MAGIC
        + commits.to_bytes(4, "big")
        + record.n.to_bytes(4, "big")
        + bytes((flags, record.activation, record.resumptions, 0))
        + (record.seed or bytes(SEED_BYTES))
        + (record.public_key or bytes(SEED_BYTES))
        + (record.event_key or bytes(KEY_BYTES))
    )
    return body + _check(body)


_BODY_BYTES = const(116)
RECORD_BYTES = const(132)


def decode(data):
    """Return (Record, commits) of 132 bytes. Raises VaultError `corrupt`."""
    body = data[:_BODY_BYTES]
    if body[:8] != _MAGIC or data[_BODY_BYTES:] != _check(body):
        raise VaultError("corrupt")
    flags = body[16]
    record = Record(
        body[20:52] if flags & _HAS_IDENTITY else None,
        body[52:84] if flags & _HAS_IDENTITY else None,
        int.from_bytes(body[12:16], "big"),
        body[84:116] if flags & _HAS_KEY else None,
        bool(flags & _OPEN),
        body[17],
        bool(flags & _DRILL),
        body[18],
    )
    return record, int.from_bytes(body[8:12], "big")


def _check(body):
    return hashlib.sha256(body).digest()[:_CHECK_BYTES]


def _check_step(old, new):
    same_key = old.event_key is None or old.event_key == new.event_key
    if new.seed != old.seed or new.n < old.n or (new.n == old.n and not same_key):
        raise VaultError("misuse")


class Vault:
    """The record of one beacon. Call `recover` before anything else."""

    def __init__(self, store):
        if store.count < 2:
            raise VaultError("misuse")
        self._store = store
        self._buffer = bytearray(_CHUNK_BYTES)
        self._usable = False
        self._sector = None
        self._commits = 0
        self.record = EMPTY
        self.faults = []

    def recover(self):
        """Keep the newest whole record, erase every other sector, return the record.

        EMPTY if there never was an identity. Raises VaultError `corrupt`, and erases nothing,
        if a record was there and none can be read: that is for a person to decide.
        """
        newest, marked = None, False
        for sector in range(self._store.count):
            data = self._read(sector)
            try:
                record, commits = decode(data[:RECORD_BYTES])
            except VaultError:
                marked = marked or data[RECORD_BYTES:] != b"\xff" * len(_MARK)
                continue
            if newest is None or commits > newest[1]:
                newest = (record, commits, sector)
        if newest is None and marked:
            raise VaultError("corrupt")
        self.record, self._commits, self._sector = newest or (EMPTY, 0, None)
        self._usable = True
        for sector in range(self._store.count):
            if sector != self._sector:
                self._clear(sector)
        return self.record

    def commit(self, record):
        """Make `record` the one that is there, and see the one before gone.

        Raises VaultError `corrupt` before a recovery; `misuse` for a step back in n, another key
        for the same n or another identity; `write` if no sector takes the record: then the
        record before still stands.
        """
        if not self._usable:
            raise VaultError("corrupt")
        if self.record.seed and record.seed:
            _check_step(self.record, record)
        data = encode(record, self._commits + 1)
        target = self._write(data)
        old, self._sector = self._sector, target
        self._commits += 1
        self.record = record
        if old is not None:
            self._clear(old)

    def wipe(self):
        """Forget the identity and every key, also of a vault that is corrupt.

        What stays is a record that says so, so that a cut in the middle leaves the old or this.
        """
        if self._sector is None:
            for sector in range(self._store.count):
                self._clear(sector)
            self._usable = True
        self.commit(EMPTY)

    def _write(self, data):
        """Write to the first sector after the present one that reads back; return its number."""
        count = self._store.count
        first = count - 1 if self._sector is None else self._sector
        for step in range(1, count + 1):
            sector = (first + step) % count
            if sector == self._sector:
                continue
            self._clear(sector)
            self._store.write(sector, 0, data)
            self._store.write(sector, RECORD_BYTES, _MARK)
            if self._read(sector) == data + _MARK:
                return sector
            self._clear(sector)
        raise VaultError("write")

    def _read(self, sector):
        data = bytearray(RECORD_BYTES + len(_MARK))
        self._store.read_into(sector, 0, data)
        return bytes(data)

    def _clear(self, sector):
        """Erase a sector unless it is blank; one that will not erase is overwritten and named."""
        if self._is_blank(sector):
            return
        self._store.erase(sector)
        if self._is_blank(sector):
            return
        # Worn flash: bits can still be cleared, so the key goes all the same.
        for offset in range(0, self._store.sector_bytes, _CHUNK_BYTES):
            self._store.write(sector, offset, bytes(_CHUNK_BYTES))
        if "vault_erase" not in self.faults:
            self.faults.append("vault_erase")

    def _is_blank(self, sector):
        for offset in range(0, self._store.sector_bytes, _CHUNK_BYTES):
            self._store.read_into(sector, offset, self._buffer)
            if self._buffer.count(b"\xff") != _CHUNK_BYTES:
                return False
        return True
