"""Age keys as people have them: a public key in a text, an identity in a file of its owner."""

from pathlib import Path
from typing import Any

import pyrage  # type: ignore[import-untyped]

from fanal.error import EnvironmentFault, IntegrityError, UsageError

_LONGEST = 1 << 16
_SEALED = (b"age-encryption.org/", b"-----BEGIN AGE ENC")


def recipient(text: str) -> Any:
    """Return the X25519 recipient that "age1..." names. Raises UsageError."""
    try:
        return pyrage.x25519.Recipient.from_str(text)
    except pyrage.RecipientError:
        raise UsageError(
            "That is no public key of age.",
            "It begins with age1; `age-keygen` prints it, and `age-keygen -y FILE` once more.",
            code="recipient",
        ) from None


def seal(plain: bytes, *recipients: Any) -> bytes:
    """Return `plain` for all of those recipients."""
    sealed: bytes = pyrage.encrypt(plain, list(recipients))
    return sealed


def is_sealed(path: Path) -> bool:
    """Say whether an identity file is itself sealed by a passphrase. Raises EnvironmentFault."""
    try:
        with path.open("rb") as file:
            return file.read(max(map(len, _SEALED))).startswith(_SEALED)
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
    if content.startswith(_SEALED):
        try:
            content = pyrage.passphrase.decrypt(content, passphrase)
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
