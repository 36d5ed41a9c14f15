"""Several officers open one folder, each by a key of their own; one who leaves opens it no more."""

import json
import os
import stat

import pyrage
import pytest
from fanal import age_file, file_set, officers, station
from fanal.error import EnvironmentFault, FanalError, IntegrityError, UsageError
from fanal.keyring import Keyring, Officer, Station
from fanal_protocol import keys

from tests.unit import quick_passphrase
from tests.unit.open_secrets import in_tree, of_keyring

PASSPHRASE = "correct horse battery staple"
OFFICER = Officer(b"\x11" * 32, b"\x22" * 32, b"\x33" * 32)
STATION = Station(0, keys.station_root(OFFICER.root, 0), b"\x44" * 32)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(pyrage.passphrase, "encrypt", quick_passphrase.encrypt)
    monkeypatch.setattr(pyrage.passphrase, "decrypt", quick_passphrase.decrypt)


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "fleet"
    made.mkdir()
    Keyring.create(made, PASSPHRASE, OFFICER, STATION)
    return made


class Person:
    """An officer with an identity file of `age-keygen`."""

    def __init__(self, folder, name, passphrase=None):
        identity = pyrage.x25519.Identity.generate()
        self.recipient, self.path = str(identity.to_public()), folder / f"{name}.txt"
        text = f"# created: today\n# public key: {self.recipient}\n{identity}\n".encode()
        if passphrase is not None:
            text = pyrage.passphrase.encrypt(text, passphrase)
        self.path.write_bytes(text)

    def unlock(self, folder, passphrase=""):
        return Keyring.unlock_by(folder, self.path, passphrase)


@pytest.fixture
def two(tmp_path):
    return Person(tmp_path, "one"), Person(tmp_path, "two", "her own passphrase")


def test_each_opens_it_by_a_key_of_her_own(folder, two):
    one, other = two
    assert officers.add(Keyring.unlock(folder, PASSPHRASE), one.recipient).changed
    # the second is added by the first, without the passphrase
    done = officers.add(one.unlock(folder), other.recipient)
    assert done.recipients == (one.recipient, other.recipient)
    for opened in (one.unlock(folder), other.unlock(folder, "her own passphrase"),
                   Keyring.unlock(folder, PASSPHRASE)):  # fmt: skip
        assert (opened.officer(), opened.station()) == (OFFICER, STATION)
        assert opened.officers() == (one.recipient, other.recipient)
    assert not officers.add(one.unlock(folder), one.recipient).changed
    assert in_tree(folder, of_keyring(one.unlock(folder))) == []
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


def test_who_is_removed_opens_nothing_that_is_there_now(folder, two, tmp_path):
    one, other = two
    for person in two:
        officers.add(Keyring.unlock(folder, PASSPHRASE), person.recipient)
    kept = tmp_path / "copy"
    kept.mkdir()
    for path in folder.iterdir():
        (kept / path.name).write_bytes(path.read_bytes())
    before = Keyring.unlock(folder, PASSPHRASE)
    done = officers.remove(before, other.recipient, PASSPHRASE)
    assert done.recipients == (one.recipient,)
    with pytest.raises(IntegrityError) as caught:
        other.unlock(folder, "her own passphrase")
    assert caught.value.code == "identity"
    # not even with what she may have kept of the old identity
    for name in ("officer.age", "station.age", "officers.age"):
        assert before.open_sealed((folder / name).read_bytes()) is None
    for opened in (one.unlock(folder), Keyring.unlock(folder, PASSPHRASE)):
        assert (opened.officer(), opened.station()) == (OFFICER, STATION)
    # what was copied before stays readable: so it is said
    assert other.unlock(kept, "her own passphrase").officer() == OFFICER
    with pytest.raises(FanalError) as caught:
        officers.remove(one.unlock(folder), other.recipient, PASSPHRASE)
    assert caught.value.code == "no_officer"


def test_who_was_opening_it_meanwhile_is_not_sent_to_a_backup(folder, two):
    """Opening takes two seconds; a file of before beside the key of now would open no more."""
    officers.add(Keyring.unlock(folder, PASSPHRASE), two[0].recipient)
    slow, slow_too = Keyring.unlock(folder, PASSPHRASE), two[0].unlock(folder)
    officers.remove(Keyring.unlock(folder, PASSPHRASE), two[0].recipient, PASSPHRASE)
    for keyring in (slow, slow_too):
        for asked in (keyring.officer, keyring.station, keyring.officers):
            with pytest.raises(FanalError) as caught:
                asked()
            assert (caught.value.code, "backup" in caught.value.hint) == ("resealed", False)
    (folder / "officer.age").write_bytes(b"age-encryption.org/v1\n")
    with pytest.raises(IntegrityError) as damaged:
        Keyring.unlock(folder, PASSPHRASE).officer()
    assert damaged.value.code == "damaged"


def test_removing_can_change_the_passphrase(folder, two):
    one, _ = two
    officers.add(Keyring.unlock(folder, PASSPHRASE), one.recipient)
    officers.remove(one.unlock(folder), one.recipient, "another long one")
    with pytest.raises(IntegrityError):
        Keyring.unlock(folder, PASSPHRASE)
    opened = Keyring.unlock(folder, "another long one")
    assert (opened.officer(), opened.officers()) == (OFFICER, ())
    with pytest.raises(IntegrityError):
        one.unlock(folder)
    with pytest.raises(UsageError):
        officers.remove(opened, one.recipient, "short")


def test_a_list_that_somebody_put_there_is_not_believed(folder, two):
    one, stranger = two
    opened = Keyring.unlock(folder, PASSPHRASE)
    officers.add(opened, one.recipient)
    # he can write into the folder and even knows its public key, but no secret
    text = json.dumps({"fanal": "officers", "version": 1, "officers": [stranger.recipient],
                       "identity": str(pyrage.x25519.Identity.generate())})  # fmt: skip
    public = pyrage.x25519.Recipient.from_str(opened.recipient)
    (folder / "officers.age").write_bytes(pyrage.encrypt(text.encode(), [public]))
    for do in (lambda: opened.officers(), lambda: officers.add(opened, one.recipient),
               lambda: officers.remove(opened, stranger.recipient, PASSPHRASE)):  # fmt: skip
        with pytest.raises(IntegrityError):
            do()


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", UsageError),
        (b"# nothing\n", UsageError),
        (b"AGE-SECRET-KEY-1NOPE\n", UsageError),
        (b"AGE-PLUGIN-YUBIKEY-1QQQ\n", UsageError),
        (b"\xff\xfe\x00", UsageError),
        (quick_passphrase.HEADER + b"junk", IntegrityError),
    ],
)
def test_an_identity_file_that_is_none(folder, tmp_path, two, content, error):
    officers.add(Keyring.unlock(folder, PASSPHRASE), two[0].recipient)
    path = tmp_path / "identity"
    path.write_bytes(content)
    with pytest.raises(error) as caught:
        Keyring.unlock_by(folder, path, "whatever")
    assert "NOPE" not in f"{caught.value.sentence} {caught.value.hint}"


def test_wrong_everything(folder, tmp_path, two):
    one, other = two
    with pytest.raises(FanalError) as caught:
        one.unlock(folder)
    assert caught.value.code == "no_officers"
    officers.add(Keyring.unlock(folder, PASSPHRASE), other.recipient)
    with pytest.raises(IntegrityError) as caught:
        one.unlock(folder)
    assert caught.value.code == "identity"
    with pytest.raises(IntegrityError) as caught:
        other.unlock(folder, "not her own")
    assert caught.value.code == "passphrase"
    with pytest.raises(EnvironmentFault):
        age_file.is_sealed(tmp_path / "none")
    with pytest.raises(EnvironmentFault):
        Keyring.unlock_by(folder, tmp_path / "none", "")
    for text in ("", "age1", "ssh-ed25519 AAAA", one.recipient[:-1], one.recipient + "q"):
        with pytest.raises(UsageError) as caught:
            officers.add(Keyring.unlock(folder, PASSPHRASE), text)
        assert caught.value.code == "recipient"
    whole = (folder / "officers.age").read_bytes()
    for length in range(0, len(whole), 5):
        (folder / "officers.age").write_bytes(whole[:length])
        with pytest.raises(IntegrityError):
            other.unlock(folder, "her own passphrase")


def test_who_waits_for_an_answer_keeps_the_key_it_is_sealed_to(tmp_path, two):
    laptop = tmp_path / "laptop"
    station.request(laptop, PASSPHRASE)
    officers.add(Keyring.unlock(laptop, PASSPHRASE), two[0].recipient)
    with pytest.raises(UsageError):
        officers.remove(Keyring.unlock(laptop, PASSPHRASE), two[0].recipient, PASSPHRASE)


@pytest.mark.parametrize("stop_at", range(1, 12))
def test_files_that_are_replaced_together_are_all_old_or_all_new(tmp_path, monkeypatch, stop_at):
    for name in "abc":
        (tmp_path / name).write_text("old")
    calls = [0]

    def stopping(real):
        def call(*args, **kwargs):
            calls[0] += 1
            if calls[0] == stop_at:
                raise SystemExit
            return real(*args, **kwargs)

        return call

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", stopping(os.replace))
        patched.setattr(os, "fsync", stopping(os.fsync))
        patched.setattr("pathlib.Path.rename", stopping(type(tmp_path).rename))
        patched.setattr("pathlib.Path.rmdir", stopping(type(tmp_path).rmdir))
        try:
            file_set.replace(tmp_path, dict.fromkeys("abc", b"new"))
        except SystemExit:
            pass
        else:
            assert stop_at > 10
    file_set.settle(tmp_path)
    assert {(tmp_path / name).read_text() for name in "abc"} in ({"old"}, {"new"})
    file_set.replace(tmp_path, dict.fromkeys("abc", b"newer"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "c"]
