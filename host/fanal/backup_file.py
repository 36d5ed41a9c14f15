"""The file of a backup: what is outside of its seal, and what is inside.

    "fanal backup 1" NEWLINE, one line of JSON, an age file

The age file is sealed to an X25519 key of 32 random bytes, the key of the backup. The line says
how one gets that key: it holds it, sealed by a passphrase, or it says how many shares are needed.
Inside is a tar of `manifest.json` (all secrets, and what proves a restoring) and `registry.db`.
"""

import base64
import hashlib
import io
import json
import tarfile
from dataclasses import dataclass, field
from typing import Any

import pyrage  # type: ignore[import-untyped]

from fanal import age_file
from fanal.age_key import secret_text
from fanal.error import FanalError, IntegrityError

KEY_BYTES = 32
MOST_BYTES = 1 << 31

_MAGIC = b"fanal backup 1\n"
_LONGEST_LINE = 4096
_VERSION = 1
_MANIFEST, _REGISTRY = "manifest.json", "registry.db"


@dataclass(frozen=True)
class Lock:
    """How one gets the key of a backup. sealed_key: by a passphrase; else threshold of count."""

    sealed_key: bytes | None = None
    threshold: int = 0
    count: int = 0

    @property
    def is_shared(self) -> bool:
        """Whether shares give the key, not a passphrase."""
        return self.sealed_key is None

    @classmethod
    def by_passphrase(cls, key: bytes, passphrase: str) -> "Lock":
        """Return the lock that a passphrase opens. Two seconds and 512 MB."""
        return cls(pyrage.passphrase.encrypt(key, passphrase))

    def key(self, passphrase: str) -> bytes:
        """Return the key. Raises IntegrityError, EnvironmentFault (this computer is too slow)."""
        if self.sealed_key is None:
            raise IntegrityError(
                "This backup opens by shares, not by a passphrase.", "Add --shares."
            )
        try:
            return age_file.open_by_passphrase(self.sealed_key, passphrase)
        except pyrage.DecryptError:
            raise IntegrityError(
                "The passphrase does not open this backup.",
                "It is the one that was chosen for the backup, not the fleet's.",
                code="passphrase",
            ) from None


@dataclass(frozen=True)
class Content:
    """What is inside. manifest: values that JSON can hold; registry: the file's bytes."""

    manifest: dict[str, Any] = field(repr=False)
    registry: bytes = field(repr=False)


def written(content: Content, lock: Lock, key: bytes) -> bytes:
    """Return the file of a backup. key: 32 bytes."""
    line = _line(lock)
    manifest = {
        "fanal": "backup content", "version": _VERSION, **content.manifest,
        "lock": hashlib.sha256(line).hexdigest(),
        "registry": hashlib.sha256(content.registry).hexdigest(),
    }  # fmt: skip
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, data in ((_MANIFEST, json.dumps(manifest).encode()),
                           (_REGISTRY, content.registry)):  # fmt: skip
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o600
            tar.addfile(entry, io.BytesIO(data))
    recipient = _identity(key).to_public()
    return _MAGIC + line + b"\n" + bytes(pyrage.encrypt(packed.getvalue(), [recipient]))


def lock_of(data: bytes) -> Lock:
    """Return how a backup is locked. data: at least its first 5000 bytes. Raises FanalError."""
    try:
        content = json.loads(_split(data)[0])
        if content["by"] == "passphrase":
            return Lock(base64.b64decode(content["key"], validate=True))
        threshold, count = content["threshold"], content["count"]
        if content["by"] != "shares" or type(threshold) is not int or type(count) is not int:
            raise ValueError("lock")
        return Lock(None, threshold, count)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise _no_backup() from None


def opened(data: bytes, key: bytes) -> Content:
    """Return what is inside of a backup. key: 32 bytes. Raises IntegrityError, FanalError."""
    line, sealed = _split(data)
    try:
        packed = pyrage.decrypt(sealed, [_identity(key)])
    except (pyrage.DecryptError, ValueError):
        raise IntegrityError(
            "The key does not open this backup, or the file is damaged.",
            "Are the shares of this very backup? Else use another copy of the file.",
            code="damaged",
        ) from None
    try:
        with tarfile.open(fileobj=io.BytesIO(packed), mode="r:") as tar:
            manifest, registry = (_member(tar, name) for name in (_MANIFEST, _REGISTRY))
        told = json.loads(manifest)
        if told["fanal"] != "backup content":
            raise ValueError("kind")
        if told["version"] != _VERSION:
            raise FanalError("This backup was made by a newer Fanal.", "Update Fanal here.", 7,
                             code="newer")  # fmt: skip
        if told["lock"] != hashlib.sha256(line).hexdigest():
            raise ValueError("lock")
        if told["registry"] != hashlib.sha256(registry).hexdigest():
            raise ValueError("registry")
    except (tarfile.TarError, ValueError, LookupError, TypeError):
        raise _no_backup() from None
    return Content(told, registry)


def _member(tar: tarfile.TarFile, name: str) -> bytes:
    file = tar.extractfile(name)  # read in memory: nothing is unpacked into a folder
    if file is None:
        raise ValueError(name)
    return file.read()


def _line(lock: Lock) -> bytes:
    if lock.sealed_key is not None:
        told: dict[str, Any] = {"by": "passphrase",
                                "key": base64.b64encode(lock.sealed_key).decode()}  # fmt: skip
    else:
        told = {"by": "shares", "threshold": lock.threshold, "count": lock.count}
    return json.dumps(told, separators=(",", ":")).encode("ascii")


def _split(data: bytes) -> tuple[bytes, bytes]:
    if not data.startswith(_MAGIC):
        raise _no_backup()
    end = data.find(b"\n", len(_MAGIC), len(_MAGIC) + _LONGEST_LINE)
    if end < 0:
        raise _no_backup()
    return data[len(_MAGIC) : end], data[end + 1 :]


def _identity(key: bytes) -> Any:
    return pyrage.x25519.Identity.from_str(secret_text(key))


def _no_backup() -> IntegrityError:
    return IntegrityError(
        "The file is no backup of a fleet, or it is damaged.",
        "Name a file that `fanal fleet backup` wrote, or use another copy of it.",
        code="damaged",
    )
