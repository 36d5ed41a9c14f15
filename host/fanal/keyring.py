"""The secrets of a fleet, at rest in age files.

A fleet folder holds `key.age`, an age identity sealed by the passphrase, and files sealed to
that identity: `officer.age` (fleet root, fleet signing key, fleet sealing key) and
`station.age` (one station's root and signing key). `officers.age` holds the same identity once
more, sealed to the age keys of officers, so that each opens the folder by an identity file of
their own. The passphrase costs about two seconds and 512 MB by design, so a command spends it
once, on `key.age`. Provisioning opens `station.age` only: a technician's laptop need not have the
officer's file at all. SPEC 1.1.
"""

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyrage  # type: ignore[import-untyped]
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fanal_protocol import keys

from fanal import age_file, file_set
from fanal.age_folder import KEY_FILE as KEY_FILE
from fanal.age_folder import newer, opened_key, sealed_key, secret
from fanal.error import FanalError, IntegrityError, UsageError, damaged, no_fleet
from fanal.private_file import sync_folder as sync_folder
from fanal.private_file import write_private as write_private

OFFICER_FILE = "officer.age"
STATION_FILE = "station.age"
OFFICERS_FILE = "officers.age"
SHORTEST_PASSPHRASE = 8

_VERSION = 1


@dataclass(frozen=True)
class Officer:
    """The fleet's own secrets: root F, Ed25519 signing seed, X25519 sealing key, 32 bytes each."""

    root: bytes = field(repr=False)
    signing: bytes = field(repr=False)
    sealing: bytes = field(repr=False)

    @property
    def signing_key(self) -> Ed25519PrivateKey:
        """The key that certifies stations."""
        return Ed25519PrivateKey.from_private_bytes(self.signing)

    def station(self, number: int) -> "Station":
        """Return a new station `number` of this fleet, with a fresh signing key."""
        return Station(number, keys.station_root(self.root, number), secrets.token_bytes(32))


@dataclass(frozen=True)
class Station:
    """One station: number 0 to 65535, root F_t (32 bytes), Ed25519 signing seed (32 bytes).

    office: what its records are sealed to on their way to the officer, "age1..."; "" where the
    officer's own file is, and where the station joined with an older Fanal.
    """

    number: int
    root: bytes = field(repr=False)
    signing: bytes = field(repr=False)
    office: str = field(default="", kw_only=True)

    @property
    def signing_key(self) -> Ed25519PrivateKey:
        """The key that certifies this station's beacons."""
        return Ed25519PrivateKey.from_private_bytes(self.signing)


def new_officer() -> Officer:
    """Return the secrets of a new fleet."""
    return Officer(*(secrets.token_bytes(32) for _ in range(3)))


class Keyring:
    """An unlocked fleet folder. Holds the age identity; its repr shows the folder only."""

    def __init__(self, folder: Path, identity: pyrage.x25519.Identity, opened: bytes = b"") -> None:
        """opened: the KEY_FILE as it was then, b"" if none is written yet."""
        self.folder = folder
        self._identity = identity
        self._opened = opened

    def __repr__(self) -> str:
        return f"Keyring({str(self.folder)!r})"

    @classmethod
    def begin(cls, folder: Path) -> "Keyring":
        """Return a keyring with a new identity, of which nothing is written yet."""
        return cls(folder, pyrage.x25519.Identity.generate())

    @classmethod
    def create(cls, folder: Path, passphrase: str, officer: Officer, station: Station) -> "Keyring":
        """Write a new keyring into the existing `folder`. Raises UsageError if there is one.

        passphrase: at least SHORTEST_PASSPHRASE characters.
        """
        check_passphrase(passphrase)
        if (folder / KEY_FILE).exists():
            raise UsageError(
                f"There is a fleet in {folder} already.", "Choose another folder with --fleet."
            )
        keyring = cls.begin(folder)
        write_private(folder / OFFICER_FILE, keyring.sealed_officer(officer))
        write_private(folder / STATION_FILE, keyring.sealed_station(station))
        write_private(folder / KEY_FILE, keyring.sealed_key(passphrase))
        return keyring

    @classmethod
    def unlock(cls, folder: Path, passphrase: str) -> "Keyring":
        """Open the keyring in `folder`. Raises FanalError (no fleet), IntegrityError."""
        file_set.settle(folder)
        path = folder / KEY_FILE
        sealed = _read(path)
        return cls(folder, opened_key(path, sealed, passphrase, "fleet"), sealed)

    @classmethod
    def unlock_by(cls, folder: Path, identity: Path, passphrase: str) -> "Keyring":
        """Open the keyring in `folder` by an officer's identity file.

        passphrase: of that file, if it is sealed by one. Raises FanalError, IntegrityError.
        """
        file_set.settle(folder)
        opened = _read(folder / KEY_FILE)
        path = folder / OFFICERS_FILE
        if not path.exists():
            raise no_officers(folder)
        own = age_file.identities(identity, passphrase)
        try:
            content = json.loads(pyrage.decrypt(path.read_bytes(), own))
            with _expecting(path):
                identity = pyrage.x25519.Identity.from_str(content["identity"])
                return cls(folder, identity, opened)
        except pyrage.DecryptError:
            raise IntegrityError(
                f"{identity} does not open this fleet.",
                "Its owner is no officer of it: another one adds them by `fanal fleet officers"
                " add`.",
                code="identity",
            ) from None
        except (pyrage.IdentityError, ValueError):
            raise damaged(path) from None

    def officer(self) -> Officer:
        """Open the officer's file. Raises FanalError (none here), IntegrityError."""
        content = self._open(OFFICER_FILE)
        with _expecting(self.folder / OFFICER_FILE):
            return Officer(*(secret(content[name]) for name in ("root", "signing", "sealing")))

    def station(self) -> Station:
        """Open the station's file. Raises FanalError (none here), IntegrityError."""
        content = self._open(STATION_FILE)
        with _expecting(self.folder / STATION_FILE):
            number = content["number"]
            if not isinstance(number, int) or not 0 <= number <= 0xFFFF:
                raise ValueError("station number")
            office = content.get("office", "")  # which an older Fanal did not write
            if not isinstance(office, str):
                raise ValueError("office")
            return Station(number, secret(content["root"]), secret(content["signing"]),
                           office=office)  # fmt: skip

    def officers(self) -> tuple[str, ...]:
        """Return the age keys that open this folder beside the passphrase."""
        path = self.folder / OFFICERS_FILE
        if not path.exists():
            return ()
        content = self._open(OFFICERS_FILE)
        with _expecting(path):
            # whoever could write here and knew no secret could only have sealed another identity
            if content["identity"] != str(self._identity):
                raise ValueError("identity")
            return tuple(str(one) for one in content["officers"])

    def sealed_officer(self, officer: Officer) -> bytes:
        """Return the content of OFFICER_FILE."""
        return self.seal(OFFICER_FILE, root=officer.root, signing=officer.signing,
                         sealing=officer.sealing)  # fmt: skip

    def sealed_station(self, station: Station) -> bytes:
        """Return the content of STATION_FILE."""
        return self.seal(STATION_FILE, number=station.number, root=station.root,
                         signing=station.signing, office=station.office)  # fmt: skip

    def sealed_officers(self, recipients: Sequence[str]) -> bytes:
        """Return the content of OFFICERS_FILE: the identity, for those age keys and for itself.

        Raises UsageError for a key that is none.
        """
        text = json.dumps({
            "fanal": "officers", "version": _VERSION, "identity": str(self._identity),
            "officers": list(recipients),
        })  # fmt: skip
        of_all = [*(age_file.recipient(one) for one in recipients), self._identity.to_public()]
        sealed: bytes = pyrage.encrypt(text.encode(), of_all)
        return sealed

    def sealed_key(self, passphrase: str) -> bytes:
        """Return the content of KEY_FILE. Two seconds and 512 MB."""
        return sealed_key(self._identity, passphrase)

    @property
    def recipient(self) -> str:
        """The public half of this folder's identity, "age1..."."""
        return str(self._identity.to_public())

    def open_sealed(self, sealed: bytes) -> bytes | None:
        """Return what was sealed to this folder's identity, None if it was not."""
        try:
            plain: bytes = pyrage.decrypt(sealed, [self._identity])
        except pyrage.DecryptError:
            return None
        return plain

    def seal(self, name: str, **content: bytes | int | str) -> bytes:
        """Return the content of the file `name`, sealed to this folder's identity."""
        kind = name.removesuffix(".age")
        plain = {k: v.hex() if isinstance(v, bytes) else v for k, v in content.items()}
        text = json.dumps({"fanal": kind, "version": _VERSION, **plain}).encode()
        sealed: bytes = pyrage.encrypt(text, [self._identity.to_public()])
        return sealed

    def secret(self, name: str, field_name: str) -> bytes:
        """Return one secret of 32 bytes in the file `name`. Raises FanalError, IntegrityError."""
        content = self._open(name)
        with _expecting(self.folder / name):
            return secret(content[field_name])

    def _open(self, name: str) -> dict[str, Any]:
        path = self.folder / name
        try:
            content = json.loads(pyrage.decrypt(_read(path), [self._identity]))
        except (pyrage.DecryptError, ValueError):
            if self._opened and _read(self.folder / KEY_FILE) != self._opened:
                raise _resealed(self.folder) from None
            raise damaged(path) from None
        kind = name.removesuffix(".age")
        if not isinstance(content, dict) or content.get("fanal") != kind:
            raise damaged(path)
        if content.get("version") != _VERSION:
            raise newer(path)
        return content


class _expecting:
    """Turns any surprise in a sealed file into one IntegrityError that quotes nothing."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and issubclass(kind, (KeyError, ValueError, TypeError)):
            raise damaged(self._path) from None


def no_officers(folder: Path) -> FanalError:
    """Return the error for a folder that only its passphrase opens."""
    return FanalError(
        f"No officer's key opens {folder}: only its passphrase does.",
        "Add officers with `fanal fleet officers add AGE1...`.",
        code="no_officers",
    )


def _resealed(folder: Path) -> FanalError:
    # no word of a backup: an old file beside a new key would be the damage
    return FanalError(
        f"The keys in {folder} were sealed anew while this command was opening them.",
        "Run it again.",
        code="resealed",
    )


def check_passphrase(passphrase: str) -> None:
    """Raise UsageError if `passphrase` is too short to protect a fleet."""
    if len(passphrase) < SHORTEST_PASSPHRASE:
        raise UsageError(
            f"The passphrase is shorter than {SHORTEST_PASSPHRASE} characters.",
            "Take four or more random words: it guards every beacon of the fleet.",
        )


def require_officer(folder: Path) -> None:
    """Raise FanalError unless `folder` is an officer's: before anybody types its passphrase."""
    if not (folder / KEY_FILE).exists():
        raise no_fleet(folder / KEY_FILE)
    if not (folder / OFFICER_FILE).exists():
        raise FanalError(
            f"{folder} is no officer's folder: the keys of the whole fleet are not in it.",
            "Run the command on the officer's computer; check --fleet.",
            code="no_secret",
        )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        if path.name == KEY_FILE:
            raise no_fleet(path) from None
        raise FanalError(
            f"This computer does not hold {path.name} of the fleet.",
            "Run the command on the computer that does.",
            code="no_secret",
        ) from None
