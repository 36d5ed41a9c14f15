"""Stations: a laptop asks to be one, the officer answers in one file, the laptop takes it.

The laptop makes its own signing key and sends the public half; the officer certifies that, and
seals the station's root to the laptop. So the officer never holds the laptop's signing key, and the
laptop never holds another station's root. SPEC 1.1.
"""

import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from fanal_protocol import keys

from fanal import age_file, beside, certificate, file_set, fleet, keyring, sealed_records
from fanal.error import FanalError, IntegrityError, UsageError
from fanal.keyring import OFFICER_FILE, STATION_FILE, Keyring, Officer, Station, write_private
from fanal.reason import require_reason
from fanal.registry import REGISTRY_FILE, Registry
from fanal.station_file import StationFile, fleet_fingerprint, read, signed
from fanal.station_request import Request, parse

REQUEST_FILE = "request.txt"
PENDING_FILE = "request.age"
_HIGHEST = 0xFFFF


@dataclass(frozen=True)
class Created:
    """A station as the officer made it. sealed: the file, for that laptop alone.

    fingerprint: of the fleet, to be compared at the laptop. is_new: False if it was there before.
    """

    sealed: bytes = field(repr=False)
    number: int
    fleet: str
    fingerprint: str
    is_new: bool


@dataclass(frozen=True)
class Offer:
    """What a station file says, before it is taken. fingerprint: of the fleet, to be compared.

    is_joined: this laptop is that station already.
    """

    number: int
    fleet: str
    fingerprint: str
    is_joined: bool


@dataclass(frozen=True)
class Revoked:
    """A station that is trusted no more. beacons: how many of its beacons are in service."""

    number: int
    reason: str
    beacons: int
    changed: bool


def request(folder: Path, passphrase: str) -> Request:
    """Make the keys of a laptop in `folder`, which must not exist or be empty. Raises UsageError.

    All of it or nothing, as with a fleet.
    """
    keyring.check_passphrase(passphrase)
    with fleet.founding(folder) as made:
        laptop = Keyring.begin(made)
        seed = secrets.token_bytes(32)
        public_key = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
        asked = Request(laptop.recipient, public_key)
        write_private(made / PENDING_FILE, laptop.seal(PENDING_FILE, signing=seed))
        write_private(made / REQUEST_FILE, f"{asked.line}\n".encode("ascii"))
        write_private(made / keyring.KEY_FILE, laptop.sealed_key(passphrase))
    return asked


def require_free(folder: Path) -> None:
    """Raise UsageError unless a laptop can ask from `folder`, before it chooses a passphrase."""
    path = folder / REGISTRY_FILE
    is_station = (folder / STATION_FILE).exists() and not (folder / OFFICER_FILE).exists()
    if is_station and path.exists():
        with Registry(path) as registry:
            number, of_fleet = registry.home(), certificate.from_der(registry.fleet_certificate())
        raise UsageError(
            f"This laptop is station {number} of {certificate.fleet_name_in(of_fleet)} already;"
            " nothing was changed.",
            "Go on with `fanal provision`. For a station of another fleet choose a new folder with"
            " --fleet DIR.",
            code="joined",
        )
    fleet.require_free(folder)


def pending(folder: Path) -> Request | None:
    """Return what the laptop in `folder` asked for and was not answered yet. Raises UsageError."""
    if (folder / STATION_FILE).exists() or not (folder / PENDING_FILE).exists():
        return None
    try:
        return parse((folder / REQUEST_FILE).read_text("ascii", "replace"))
    except FileNotFoundError:
        return None


def create(
    officer: Officer, registry: Registry, asked: Request, number: int, now: datetime | None = None
) -> Created:
    """Certify a laptop as station `number`, record it, and return its file.

    Repeating gives the same station. Raises UsageError, Clash (the number has another key).
    """
    if not 1 <= number <= _HIGHEST:
        raise UsageError(f"A station's number is 1 to {_HIGHEST}.", "0 is the officer's own.")
    of_fleet = _fleet_of(officer, registry)
    key = Ed25519PublicKey.from_public_bytes(asked.signing_key)
    made = certificate.for_station(number, key, of_fleet, officer.signing_key,
                                   now or datetime.now(UTC))  # fmt: skip
    recipient = age_file.recipient(asked.recipient)
    is_new = registry.add_station(number, certificate.to_der(made))
    _require_trusted(registry, number)  # last: whoever revokes it meanwhile is heard
    der = registry.station_certificate(number)
    content = StationFile(number, keys.station_root(officer.root, number),
                          certificate.to_der(of_fleet), der,
                          office=sealed_records.recipient(officer.root))  # fmt: skip
    sealed = age_file.seal(signed(content, officer.signing_key), recipient)
    return Created(sealed, number, certificate.fleet_name(officer.signing_key.public_key()),
                   fleet_fingerprint(content.fleet_key), is_new)  # fmt: skip


def look(laptop: Keyring, sealed: bytes) -> Offer:
    """Return what a station file offers to the laptop of an open keyring, writing nothing.

    Raises IntegrityError (not for us, damaged, another fleet), FanalError.
    """
    signing, joined = _own(laptop)
    found = _found(laptop, sealed, signing)
    is_joined = joined is not None and (laptop.folder / REGISTRY_FILE).exists()
    if joined is not None and (joined.number, joined.root) != (found.number, found.root):
        raise IntegrityError(
            f"This laptop is station {joined.number} of another fleet, or another station.",
            "Choose a new folder with --fleet DIR, and ask from there.",
            code="other_fleet",
        )
    key = Ed25519PublicKey.from_public_bytes(found.fleet_key)
    return Offer(found.number, certificate.fleet_name(key), fleet_fingerprint(found.fleet_key),
                 is_joined)  # fmt: skip


def join(laptop: Keyring, sealed: bytes, fingerprint: str) -> Offer:
    """Become the station in a file; twice is fine, and cut off it can be run again.

    fingerprint: of the fleet that somebody agreed to. Raises what `look` does.
    """
    offer = look(laptop, sealed)
    if offer.fingerprint != fingerprint:
        raise IntegrityError("The file is of another fleet than the one shown.", code="other_fleet")
    folder = laptop.folder
    with file_set.alone(folder):
        # read again: whoever seals the folder anew must not leave these keys under the old seal
        signing, joined = _own(laptop)
        found = _found(laptop, sealed, signing)
        _keep_registry(folder, found)
        # a file of before does not make it forget
        office = found.office or (joined.office if joined is not None else "")
        station = Station(found.number, found.root, signing, office=office)
        write_private(folder / STATION_FILE, laptop.sealed_station(station))
        if laptop.station() != station:
            what = f"{folder / STATION_FILE} reads back differently."
            raise IntegrityError(what, code="read_back")
        for name in (PENDING_FILE, REQUEST_FILE):
            (folder / name).unlink(missing_ok=True)
    return offer


def revoke(registry: Registry, number: int, reason: str) -> Revoked:
    """Trust a station no more, for good.

    Its beacons stay in service, marked, until each is replaced: people rely on them. Beacons of it
    that this registry does not know yet are never trusted, whatever the date in their certificate:
    whoever has the laptop writes that date. Raises UsageError, Clash.
    """
    require_reason(reason)
    if number == fleet.FIRST_STATION:
        raise UsageError(
            "Station 0 is the officer's own.",
            "If its keys are in other hands, so is the fleet's root: create another fleet.",
        )
    changed = registry.revoke_station(number, reason)
    beacons = sum(one.station == number for one in registry.watched())
    return Revoked(number, reason, beacons, changed)


def _fleet_of(officer: Officer, registry: Registry) -> x509.Certificate:
    of_fleet = certificate.from_der(registry.fleet_certificate())
    mine = officer.signing_key.public_key().public_bytes_raw()
    if certificate.public_key_of(of_fleet) != mine:
        raise IntegrityError("Keyring and registry are of different fleets.", "Check --fleet.")
    return of_fleet


def _require_trusted(registry: Registry, number: int) -> None:
    (one,) = (one for one in registry.stations() if one.number == number)
    if one.revocation is not None:
        raise UsageError(
            f"Station {number} was revoked ({one.revocation.reason}) and does not come back.",
            "Let the laptop ask again from a new folder, and take another number.",
            code="revoked",
        )


def _own(laptop: Keyring) -> tuple[bytes, Station | None]:
    """Return the laptop's signing seed, and the station that it is, if any."""
    if (laptop.folder / STATION_FILE).exists():
        station = laptop.station()
        return station.signing, station
    if not (laptop.folder / PENDING_FILE).exists():
        raise FanalError(
            "This laptop did not ask to be a station.",
            "Run `fanal station request` first, and send its line to the officer.",
            code="no_request",
        )
    return laptop.secret(PENDING_FILE, "signing"), None


def _found(laptop: Keyring, sealed: bytes, signing: bytes) -> StationFile:
    plain = laptop.open_sealed(sealed)
    if plain is None:
        raise IntegrityError(
            "The file is not for this laptop, or it is damaged.",
            "Have it made for the line that `fanal station request` printed here.",
            code="not_for_us",
        )
    public_key = Ed25519PrivateKey.from_private_bytes(signing).public_key().public_bytes_raw()
    return read(plain, public_key)


def _keep_registry(folder: Path, found: StationFile) -> None:
    """Make the laptop's registry whole or not at all, or see that the one there is this fleet's."""
    path = folder / REGISTRY_FILE
    beside.clear(path)
    if not path.exists():
        with beside.new_folder(path) as place:
            made = place / REGISTRY_FILE
            Registry.create(made, found.fleet, {found.number: found.station}).close()
            made.rename(path)
        keyring.sync_folder(folder)
    with Registry(path) as registry:
        held = certificate.public_key_of(certificate.from_der(registry.fleet_certificate()))
        if held != found.fleet_key:
            raise IntegrityError(
                f"{path} is of another fleet than the file.",
                "Choose a new folder with --fleet DIR, and ask from there.",
                code="other_fleet",
            )
        registry.add_station(found.number, found.station)
