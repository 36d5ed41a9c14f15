"""Signed notes and checkpoints, C2SP signed-note and tlog-checkpoint: who vouches for which tree.

A checkpoint is a text of three lines, the log's origin, its size and its root in base64, signed by
Ed25519. The signer's name in the note is the origin itself. Whoever holds a checkpoint can tell
later whether the log still begins with exactly those entries. Nothing here knows where a log is
kept.
"""

import binascii
from base64 import b64decode, b64encode
from dataclasses import dataclass
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from fanal.error import IntegrityError
from fanal.merkle import HASH_SIZE

MOST_BYTES = 1 << 17  # of a note from outside: 16 signatures of 5 kB each have to fit

_HINT = "Verify the log, and take the checkpoint from whoever keeps another copy of it."
_DASH = "— "
_ED25519 = b"\x01"  # its type in C2SP signed-note
_KEY_ID_SIZE = 4
_MOST_SIZE = 1 << 63


@dataclass(frozen=True)
class Checkpoint:
    """The first `size` entries of the log `origin` have this root, 32 bytes."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """Return the text that is signed."""
        return f"{self.origin}\n{self.size}\n{b64encode(self.root).decode()}\n"


def key_id(name: str, public_key: bytes) -> bytes:
    """Return the 4 bytes by which a note tells its keys apart. public_key: 32 bytes."""
    return sha256(name.encode() + b"\n" + _ED25519 + public_key).digest()[:_KEY_ID_SIZE]


def verifier_key(name: str, public_key: bytes) -> str:
    """Return a public key as tools for signed notes take it: name+id+base64."""
    told = b64encode(_ED25519 + public_key).decode()
    return f"{name}+{key_id(name, public_key).hex()}+{told}"


def sign(text: str, name: str, key: Ed25519PrivateKey) -> str:
    """Return a signed note. text: ends in a newline, without any other control character."""
    if not _is_name(name) or not _is_text(text) or not text.endswith("\n"):
        raise ValueError("not fit for a note")
    public_key = key.public_key().public_bytes_raw()
    signature = key_id(name, public_key) + key.sign(text.encode())
    return f"{text}\n{_DASH}{name} {b64encode(signature).decode()}\n"


def open_note(note: str, name: str, public_key: bytes) -> str:
    """Return the text of a note that `name` signed with this key. Raises IntegrityError.

    note: untrusted. Signatures by others are passed over; one of this key that is wrong spoils all.
    """
    if len(note) > MOST_BYTES or not _is_text(note) or "\n\n" not in note:
        raise IntegrityError("This is no signed note.", _HINT, code="no_note")
    text, _, lines = note.rpartition("\n\n")
    text += "\n"
    wanted, found = key_id(name, public_key), 0
    if not lines.endswith("\n"):
        raise IntegrityError("The signed note is cut off.", _HINT, code="no_note")
    for line in lines[:-1].split("\n"):
        signer, signature = _signature(line)
        if (signer, signature[:_KEY_ID_SIZE]) != (name, wanted):
            continue
        try:
            key = Ed25519PublicKey.from_public_bytes(public_key)
            key.verify(signature[_KEY_ID_SIZE:], text.encode())
        except (InvalidSignature, ValueError):
            raise IntegrityError(
                f"The signature of {name} is not valid.", _HINT, code="signature"
            ) from None
        found += 1
    if not found:
        sentence = f"No signature of {name} is under this note."
        raise IntegrityError(sentence, _HINT, code="signature")
    return text


def sign_checkpoint(checkpoint: Checkpoint, key: Ed25519PrivateKey) -> str:
    """Return a signed checkpoint: a note by the log's origin."""
    return sign(checkpoint.text(), checkpoint.origin, key)


def open_checkpoint(note: str, public_key: bytes) -> Checkpoint:
    """Return what a signed checkpoint says, checked. note: untrusted. Raises IntegrityError."""
    return parse(open_note(note, parse(note).origin, public_key))


def parse(text: str) -> Checkpoint:
    """Return what a checkpoint says, its signature not looked at. Raises IntegrityError."""
    lines = text.split("\n", 3)
    if len(text) > MOST_BYTES or not _is_text(text) or len(lines) < 4:
        raise _no_checkpoint()
    origin, size, told = lines[:3]
    is_number = size.isascii() and size.isdigit() and len(size) < 20
    if not _is_name(origin) or not is_number or size != str(int(size)) or int(size) >= _MOST_SIZE:
        raise _no_checkpoint()
    root = _bytes(told)
    if len(root) != HASH_SIZE:
        raise _no_checkpoint()
    return Checkpoint(origin, int(size), root)


def _no_checkpoint() -> IntegrityError:
    return IntegrityError("This is no checkpoint.", _HINT, code="no_checkpoint")


def _signature(line: str) -> tuple[str, bytes]:
    """Return (name, key id and signature) of a signature line. Raises IntegrityError."""
    name, _, told = line.removeprefix(_DASH).partition(" ")
    signature = _bytes(told)
    if not line.startswith(_DASH) or not _is_name(name) or len(signature) <= _KEY_ID_SIZE:
        sentence = "A signature line of the note is unreadable."
        raise IntegrityError(sentence, _HINT, code="no_note")
    return name, signature


def _bytes(text: str) -> bytes:
    """Return what canonical base64 stands for. Raises IntegrityError."""
    try:
        found = b64decode(text.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        found = b""
    if b64encode(found).decode() != text:
        raise IntegrityError("A line of base64 is unreadable.", _HINT, code="no_note")
    return found


def _is_name(name: str) -> bool:
    return bool(name) and "+" not in name and not any(c.isspace() for c in name)


def _is_text(text: str) -> bool:
    return not any(c < " " and c != "\n" for c in text)
