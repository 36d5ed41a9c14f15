"""Officers: who opens a fleet's folder by a key of their own, beside the passphrase.

An officer is an age public key. Adding one seals the folder's identity to it as well. Removing one
gives the folder a new identity and seals everything anew, all files together; what that officer
copied before stays readable to them, as any copy does.
"""

from dataclasses import dataclass

from fanal import age_file, file_set
from fanal.error import FanalError, UsageError
from fanal.keyring import (
    KEY_FILE,
    OFFICER_FILE,
    OFFICERS_FILE,
    STATION_FILE,
    Keyring,
    check_passphrase,
    write_private,
)
from fanal.station import PENDING_FILE


@dataclass(frozen=True)
class Officers:
    """The age keys that open a folder. changed: whether something was done."""

    recipients: tuple[str, ...]
    changed: bool


def add(keyring: Keyring, recipient: str) -> Officers:
    """Let the owner of an age key open the folder. Twice is fine. Raises UsageError."""
    age_file.recipient(recipient)
    with file_set.alone(keyring.folder):
        known = keyring.officers()
        if recipient in known:
            return Officers(known, False)
        wanted = (*known, recipient)
        write_private(keyring.folder / OFFICERS_FILE, keyring.sealed_officers(wanted))
    return Officers(wanted, True)


def remove(keyring: Keyring, recipient: str, passphrase: str) -> Officers:
    """Seal everything anew, to a new identity that this officer does not get.

    passphrase: of the folder from now on. Raises UsageError, FanalError (no officer of it).
    """
    check_passphrase(passphrase)
    folder = keyring.folder
    with file_set.alone(folder):
        if (folder / PENDING_FILE).exists():
            raise UsageError(
                "This laptop waits for the officer's answer, which is sealed to its key of today.",
                "Run `fanal station join` first.",
            )
        known = keyring.officers()
        if recipient not in known:
            raise FanalError(
                "That key opens nothing here.", "See: fanal fleet officers list", code="no_officer"
            )
        left = tuple(one for one in known if one != recipient)
        fresh = Keyring.begin(folder)
        files = {KEY_FILE: fresh.sealed_key(passphrase), OFFICERS_FILE: fresh.sealed_officers(left)}
        if (folder / OFFICER_FILE).exists():
            files[OFFICER_FILE] = fresh.sealed_officer(keyring.officer())
        if (folder / STATION_FILE).exists():
            files[STATION_FILE] = fresh.sealed_station(keyring.station())
        file_set.replace(folder, files)
    return Officers(left, True)
