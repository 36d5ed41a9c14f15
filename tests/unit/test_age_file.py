"""Passphrases that the age library does not try, and keys of which people give the wrong half."""

import re

import pyrage
import pytest
from fanal import age_file, age_folder
from fanal.backup_file import Lock
from fanal.error import EnvironmentFault, UsageError

BUSY = "Excessive work parameter for passphrase.\nDecryption would take around 32 seconds."


def _decrypt(monkeypatch, *answers):
    """Let the library answer those one after the other, the last one for ever."""
    left = list(answers)

    def decrypt(sealed, passphrase):
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, bytes):
            return answer
        raise pyrage.DecryptError(answer)

    monkeypatch.setattr(pyrage.passphrase, "decrypt", decrypt)


def _far_too_costly():
    """Return what the real library refuses to try anywhere: 2 ** 40 rounds."""
    stanza = b"age-encryption.org/v1\n-> scrypt " + b"A" * 22 + b" 40\n" + b"A" * 43 + b"\n"
    return stanza + b"--- " + b"A" * 43 + b"\n" + bytes(16 + 32)


def test_a_busy_moment_is_no_wrong_passphrase(monkeypatch):
    _decrypt(monkeypatch, BUSY, BUSY, b"plain")
    assert age_file.open_by_passphrase(b"", "right") == b"plain"


def test_a_wrong_passphrase_stays_one_after_a_busy_moment(monkeypatch):
    _decrypt(monkeypatch, BUSY, "Decryption failed")
    with pytest.raises(pyrage.DecryptError):
        age_file.open_by_passphrase(b"", "wrong")


OPENERS = {
    "folder": lambda path: age_folder.opened_key(path, path.read_bytes(), "any", "fleet"),
    "backup": lambda path: Lock(path.read_bytes()).key("any"),
    "identity": lambda path: age_file.identities(path, "any"),
}


@pytest.mark.parametrize("what", OPENERS)
def test_the_real_library_says_that_it_is_the_computer(tmp_path, what):
    path = tmp_path / "key.age"
    path.write_bytes(_far_too_costly())
    with pytest.raises(EnvironmentFault, match="too busy or too slow") as caught:
        OPENERS[what](path)
    assert (caught.value.exit_code, caught.value.code) == (7, "too_slow")


def test_a_secret_key_that_was_typed_is_named_and_not_shown():
    secret = str(pyrage.x25519.Identity.generate())
    for text in (secret, secret.lower()):
        with pytest.raises(UsageError, match="secret half") as caught:
            age_file.recipient(text)
        shown = f"{caught.value}{caught.value.hint}"
        assert not re.search(secret[15:30], shown, re.IGNORECASE)
