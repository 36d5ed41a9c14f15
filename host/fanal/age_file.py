"""Age keys as people have them: a public key in a text, an identity in a file of its owner."""

from pathlib import Path
from typing import Any

import pyrage  # type: ignore[import-untyped]

from fanal.error import EnvironmentFault, IntegrityError, UsageError

_LONGEST = 1 << 16
_SEALED = (b"age-encryption.org/", b"-----BEGIN AGE ENC")
_SECRET = "AGE-SECRET-KEY-"
# The age library refuses a passphrase's work if, by a measurement of a millisecond, this computer
# would need 16 times as long as is usual for it. One that is busy at that moment passes as slow.
_TOO_COSTLY = "Excessive work"
_MEASUREMENTS = 8


def recipient(text: str) -> Any:
    """Return the X25519 recipient that "age1..." names. Raises UsageError."""
    try:
        return pyrage.x25519.Recipient.from_str(text)
    except pyrage.RecipientError:
        if text.strip().upper().startswith(_SECRET):
            raise UsageError(
                "That is the secret half of an age key, and it stays in the shell's history.",
                "Make another one with `age-keygen`; give the line that begins with age1.",
                code="recipient",
            ) from None
        raise UsageError(
            "That is no public key of age.",
            "It begins with age1; `age-keygen` prints it, and `age-keygen -y FILE` once more.",
            code="recipient",
        ) from None


def seal(plain: bytes, *recipients: Any) -> bytes:
    """Return `plain` for all of those recipients."""
    sealed: bytes = pyrage.encrypt(plain, list(recipients))
    return sealed


def open_by_passphrase(sealed: bytes, passphrase: str) -> bytes:
    """Return what a passphrase opens. Seconds, and 512 MB.

    Raises pyrage.DecryptError, EnvironmentFault (the library finds this computer too slow for it).
    """
    for _ in range(_MEASUREMENTS):
        try:
            plain: bytes = pyrage.passphrase.decrypt(sealed, passphrase)
        except pyrage.DecryptError as problem:
            if not str(problem).startswith(_TOO_COSTLY):
                raise
        else:
            return plain
    raise EnvironmentFault(
        "This computer is too busy or too slow to try the passphrase: it was sealed on one that is"
        " 16 times as fast, or the file is damaged.",
        "End other programs and try again; else open it on a faster computer.",
        code="too_slow",
    )


def is_age(content: bytes) -> bool:
    """Say whether a file with this content, or this beginning of it, is an age file."""
    return content.startswith(_SEALED)


def is_sealed(path: Path) -> bool:
    """Say whether an identity file is itself sealed by a passphrase. Raises EnvironmentFault."""
    try:
        with path.open("rb") as file:
            return is_age(file.read(max(map(len, _SEALED))))
    except OSError as problem:
        raise _unreadable(path, problem) from None


def identities(path: Path, passphrase: str = "") -> list[Any]:
    """Return the X25519 identities in a file of `age-keygen`.

    passphrase: of the file, if it is sealed by one. Raises EnvironmentFault, IntegrityError,
    UsageError; none of them quotes the file.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_LONGEST)
    except OSError as problem:
        raise _unreadable(path, problem) from None
    if is_age(content):
        try:
            content = open_by_passphrase(content, passphrase)
        except pyrage.DecryptError:
            raise IntegrityError(
                f"The passphrase does not open {path}.", "Try again.", code="passphrase"
            ) from None
    lines = [line.strip() for line in content.decode("utf-8", "replace").splitlines()]
    try:
        found = [pyrage.x25519.Identity.from_str(line) for line in lines
                 if line and not line.startswith("#")]  # fmt: skip
    except pyrage.IdentityError:
        found = []
    if not found:
        raise UsageError(
            f"{path} holds no age identity that can be used here.",
            "Give a file that `age-keygen` wrote: a line AGE-SECRET-KEY-1..., no plugin.",
            code="identity_file",
        )
    return found


def _unreadable(path: Path, problem: OSError) -> EnvironmentFault:
    return EnvironmentFault(
        f"The identity file {path} cannot be read: {problem.strerror}.", "Check --identity FILE."
    )
