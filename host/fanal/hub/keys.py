"""The secrets of a hub, at rest in age files, and the seal of its beacons' next event keys.

A hub's folder holds `key.age`, an age identity sealed by the passphrase, and `hub.age`, sealed to
that identity: the log key and the storage key, made here, and the fleet's sealing key, once the
officer's file was accepted. No root and no signing key is ever here. SPEC 1.1.
"""

import json
import secrets
import struct
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyrage  # type: ignore[import-untyped]
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from fanal.age_folder import KEY_FILE as KEY_FILE
from fanal.age_folder import newer, opened_key, sealed_key, secret
from fanal.error import FanalError, IntegrityError, UsageError, damaged
from fanal.hub.config import DATABASE_FILE
from fanal.hub.request import Request, parse
from fanal.keyring import check_passphrase, write_private

SECRETS_FILE = "hub.age"
REQUEST_FILE = "request.txt"

_VERSION = 1
_NONCE_BYTES = 12


@dataclass(frozen=True)
class HubKeys:
    """What a running hub holds, 32 bytes each.

    log: Ed25519 seed; storage: the key that anchors are sealed under; sealing: the fleet's X25519
    key, None until an enrolment was accepted.
    """

    log: bytes = field(repr=False)
    storage: bytes = field(repr=False)
    sealing: bytes | None = field(default=None, repr=False)

    @property
    def log_key(self) -> Ed25519PrivateKey:
        """The key that signs the hub's log."""
        return Ed25519PrivateKey.from_private_bytes(self.log)


class HubKeyring:
    """An unlocked hub's folder. Holds the age identity; its repr shows the folder only."""

    def __init__(self, folder: Path, identity: pyrage.x25519.Identity) -> None:
        self.folder = folder
        self._identity = identity

    def __repr__(self) -> str:
        return f"HubKeyring({str(self.folder)!r})"

    @classmethod
    def unlock(cls, folder: Path, passphrase: str) -> "HubKeyring":
        """Open the folder of a hub. Raises FanalError (no hub), IntegrityError."""
        path = folder / KEY_FILE
        return cls(folder, opened_key(path, _read(path), passphrase, "hub"))

    def keys(self) -> HubKeys:
        """Return the hub's secrets. Raises FanalError, IntegrityError."""
        path = self.folder / SECRETS_FILE
        try:
            content = json.loads(pyrage.decrypt(_read(path), [self._identity]))
            if content["fanal"] == "hub" and content["version"] != _VERSION:
                raise newer(path)
            sealing = content["sealing"]
            return HubKeys(secret(content["log"]), secret(content["storage"]),
                           None if sealing is None else secret(sealing))  # fmt: skip
        except (pyrage.DecryptError, ValueError, TypeError, KeyError):
            raise damaged(path) from None

    def request(self) -> Request:
        """Return the hub's public keys, from the secret ones: what no file could have changed."""
        public = self.keys().log_key.public_key().public_bytes_raw()
        return Request(str(self._identity.to_public()), public)

    def open(self, sealed: bytes) -> bytes:
        """Open what was sealed to this hub. Raises IntegrityError."""
        try:
            plain: bytes = pyrage.decrypt(sealed, [self._identity])
        except pyrage.DecryptError:
            raise IntegrityError(
                "The file is not for this hub, or it is damaged.",
                "Have it made for the line that `fanal hub init` prints here.",
                code="not_for_us",
            ) from None
        return plain

    def keep_sealing(self, sealing: bytes) -> None:
        """Keep the fleet's sealing key, 32 bytes. Raises IntegrityError if another is kept."""
        known = self.keys()
        if known.sealing not in (None, sealing):
            raise IntegrityError(
                "The file holds another sealing key than this hub has.",
                "A hub serves one fleet: make another hub for the other one.",
                code="other_fleet",
            )
        if known.sealing is None:
            self._keep(replace(known, sealing=sealing))

    def _keep(self, held: HubKeys) -> None:
        content = {"log": held.log.hex(), "storage": held.storage.hex(),
                   "sealing": None if held.sealing is None else held.sealing.hex()}  # fmt: skip
        text = json.dumps({"fanal": "hub", "version": _VERSION, **content}).encode()
        sealed = pyrage.encrypt(text, [self._identity.to_public()])
        write_private(self.folder / SECRETS_FILE, sealed)


def create(folder: Path, passphrase: str) -> Request:
    """Make the secrets of a new hub in the existing `folder`, and return what they ask for.

    passphrase: at least `keyring.SHORTEST_PASSPHRASE` characters. `key.age` comes last: without
    it there is no hub, and an interrupted beginning can begin again. Raises UsageError.
    """
    check_passphrase(passphrase)
    if (folder / KEY_FILE).exists():
        raise UsageError(f"There is a hub in {folder} already.", "Choose another with --hub DIR.")
    keyring = HubKeyring(folder, pyrage.x25519.Identity.generate())
    keyring._keep(HubKeys(secrets.token_bytes(32), secrets.token_bytes(32)))
    request = keyring.request()
    write_private(folder / REQUEST_FILE, f"{request.line}\n".encode("ascii"))
    write_private(folder / KEY_FILE, sealed_key(keyring._identity, passphrase))
    return request


def unlock(folder: Path, passphrase: str) -> HubKeys:
    """Return the secrets of the hub in `folder`. Raises FanalError (no hub), IntegrityError."""
    return HubKeyring.unlock(folder, passphrase).keys()


def request_of(folder: Path) -> Request:
    """Return the public keys of the hub in `folder`, without its passphrase. Raises FanalError."""
    path = folder / REQUEST_FILE
    try:
        return parse(_read(path).decode("ascii"))
    except (UsageError, UnicodeDecodeError):
        raise damaged(path) from None


def seal_anchor(storage: bytes, beacon_id: str, event: int, event_key: bytes) -> bytes:
    """Return E_event of a beacon, 32 bytes, sealed under the storage key: 60 bytes."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    context = _anchor_context(beacon_id, event)
    return nonce + ChaCha20Poly1305(storage).encrypt(nonce, event_key, context)


def open_anchor(storage: bytes, beacon_id: str, event: int, sealed: bytes) -> bytes:
    """Return the event key in `sealed`. Raises IntegrityError, naming the beacon."""
    nonce, rest = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
    try:
        return ChaCha20Poly1305(storage).decrypt(nonce, rest, _anchor_context(beacon_id, event))
    except (InvalidTag, ValueError):
        raise IntegrityError(
            f"The key of beacon {beacon_id} in the hub's database does not open.",
            "The database is another hub's, or damaged: use your backup.",
            code="anchor",
        ) from None


def _anchor_context(beacon_id: str, event: int) -> bytes:
    return b"fanal/1 anchor" + beacon_id.encode("ascii") + struct.pack(">I", event)


def no_hub(folder: Path) -> FanalError:
    """Return the error for a folder without a hub, or with one that lost its key."""
    if (folder / DATABASE_FILE).exists():
        return IntegrityError(
            f"{KEY_FILE} is missing from the hub in {folder}.",
            "Take it from your backup; without it begin anew in another folder.",
            code="missing",
        )
    return FanalError(
        f"There is no hub in {folder}.",
        "Create one with `fanal hub init`, or name its folder with --hub DIR.",
        code="no_hub",
    )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        if (path.parent / KEY_FILE).exists():
            raise IntegrityError(
                f"{path} is missing.", "Take it from your backup.", code="missing"
            ) from None
        raise no_hub(path.parent) from None
