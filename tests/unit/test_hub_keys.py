"""The secrets of a hub at rest, the line it asks its officer with, and the seal of event keys."""

import json
import stat

import pyrage
import pytest
from fanal.error import FanalError, IntegrityError, UsageError
from fanal.hub import founding, keys
from fanal.hub.request import Request, parse

from tests.unit.paper_enrolment import hub_keyring

PASSPHRASE = "correct horse battery"
STORAGE, KEY = bytes(range(32)), bytes(range(32, 64))
WHOLE = {"fanal": "hub", "version": 1, "log": "00" * 32, "storage": "00" * 32, "sealing": None}
REQUEST = Request(str(pyrage.x25519.Identity.generate().to_public()), bytes(range(32)))


@pytest.fixture(scope="module")
def founded(tmp_path_factory):
    """A hub made for real, once: its passphrase costs seconds."""
    folder = tmp_path_factory.mktemp("hub") / "hub"
    return founding.found(folder, PASSPHRASE)


def test_what_was_made_opens(founded):
    keyring = keys.HubKeyring.unlock(founded.folder, PASSPHRASE)
    held = keyring.keys()
    assert (len(held.log), len(held.storage), held.sealing) == (32, 32, None)
    assert held.log != held.storage
    assert keyring.request() == founded.request == keys.request_of(founded.folder)


def test_only_its_owner_can_read_it(founded):
    assert stat.S_IMODE(founded.folder.stat().st_mode) == 0o700
    for path in founded.folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path.name


def test_a_second_time_changes_nothing(founded):
    before = {path.name: path.read_bytes() for path in founded.folder.iterdir()}
    again = founding.found(founded.folder, "")
    assert (again.is_new, again.request) == (False, founded.request)
    assert {path.name: path.read_bytes() for path in founded.folder.iterdir()} == before


def test_a_wrong_passphrase(founded):
    with pytest.raises(IntegrityError) as caught:
        keys.unlock(founded.folder, PASSPHRASE + "x")
    assert caught.value.code == "passphrase"
    assert PASSPHRASE not in caught.value.sentence + caught.value.hint


def test_no_hub_and_a_hub_that_lost_a_file(tmp_path):
    with pytest.raises(FanalError) as caught:
        keys.unlock(tmp_path, PASSPHRASE)
    assert caught.value.code == "no_hub"
    (tmp_path / keys.KEY_FILE).write_bytes(b"x")
    for lost in (keys.request_of, lambda f: hub_less(f).keys()):
        with pytest.raises(IntegrityError) as caught:
            lost(tmp_path)
        assert caught.value.code == "missing"


def hub_less(folder):
    return keys.HubKeyring(folder, pyrage.x25519.Identity.generate())


def test_a_short_passphrase_makes_nothing(tmp_path):
    with pytest.raises(UsageError):
        keys.create(tmp_path, "short")
    assert list(tmp_path.iterdir()) == []


def test_nothing_secret_is_shown(tmp_path):
    keyring = hub_keyring(tmp_path)
    keyring.keep_sealing(b"\xab" * 32)
    shown = repr(keyring) + repr(keyring.keys())
    for secret in (keyring.keys().log, keyring.keys().storage, b"\xab" * 32):
        assert secret.hex() not in shown
        assert repr(secret)[2:-1] not in shown


# -- hub.age


def test_the_sealing_key_is_kept_once(tmp_path):
    keyring = hub_keyring(tmp_path)
    before = keyring.keys()
    keyring.keep_sealing(b"\xab" * 32)
    sealed = (tmp_path / keys.SECRETS_FILE).read_bytes()
    keyring.keep_sealing(b"\xab" * 32)
    assert (tmp_path / keys.SECRETS_FILE).read_bytes() == sealed
    with pytest.raises(IntegrityError) as caught:
        keyring.keep_sealing(b"\xcd" * 32)
    assert caught.value.code == "other_fleet"
    held = keyring.keys()
    assert (held.log, held.storage, held.sealing) == (before.log, before.storage, b"\xab" * 32)


def test_every_bit_and_length_of_the_file_counts(tmp_path):
    keyring = hub_keyring(tmp_path)
    path = tmp_path / keys.SECRETS_FILE
    whole = path.read_bytes()
    for at in range(0, len(whole), 5):
        for damaged in (whole[:at], whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]):
            path.write_bytes(damaged)
            with pytest.raises(IntegrityError):
                keyring.keys()
    path.write_bytes(whole)
    keyring.keys()


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ({"fanal": "hub", "version": 2}, "newer"),
        ({"fanal": "officer", "version": 1}, "damaged"),
        ({**WHOLE, "log": "00"}, "damaged"),
        ({**WHOLE, "storage": 1}, "damaged"),
        ({**WHOLE, "sealing": ""}, "damaged"),
        ([], "damaged"),
        ("hub", "damaged"),
    ],
)  # fmt: skip
def test_a_file_of_another_kind(tmp_path, content, code):
    keyring = hub_keyring(tmp_path)
    recipient = pyrage.x25519.Recipient.from_str(keyring.request().recipient)
    sealed = pyrage.encrypt(json.dumps(content).encode(), [recipient])
    (tmp_path / keys.SECRETS_FILE).write_bytes(sealed)
    with pytest.raises(FanalError) as caught:
        keyring.keys()
    assert caught.value.code == code


# -- founding


def test_a_folder_of_somebody_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.doc").write_text("mine")
    with pytest.raises(UsageError) as caught:
        founding.found(tmp_path, PASSPHRASE)
    assert caught.value.code == "not_empty"
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.doc"]


def test_a_mistake_in_the_configuration_is_found_before_anything_is_made(tmp_path):
    (tmp_path / "hub.toml").write_text("[hub]\nbnd = 1\n")
    with pytest.raises(UsageError):
        founding.found(tmp_path, PASSPHRASE)
    assert [path.name for path in tmp_path.iterdir()] == ["hub.toml"]


def test_a_database_whose_key_is_lost_is_not_taken_for_a_new_hub(tmp_path):
    (tmp_path / "hub.db").write_bytes(b"")
    (tmp_path / "hub.pem").write_bytes(b"")  # whatever else is beside it
    for opened in (founding.found, keys.unlock):
        with pytest.raises(IntegrityError) as caught:
            opened(tmp_path, PASSPHRASE)
        assert caught.value.code == "missing"
        assert "backup" in caught.value.hint


@pytest.mark.parametrize("steps", range(4))
def test_an_interrupted_beginning_can_begin_again(tmp_path, monkeypatch, steps):
    folder = tmp_path / "hub"
    done = 0
    write = keys.write_private

    def interrupted(path, content):
        nonlocal done
        if done == steps:
            raise KeyboardInterrupt
        done += 1
        write(path, content)

    # the passphrase's two seconds are not what this is about
    monkeypatch.setattr(pyrage.passphrase, "encrypt", lambda text, _: b"sealed " + text)
    with monkeypatch.context() as patch:
        patch.setattr(keys, "write_private", interrupted)
        patch.setattr(founding, "write_private", interrupted)
        with pytest.raises(KeyboardInterrupt):
            founding.found(folder, PASSPHRASE)
    assert not founding.is_founded(folder)
    assert founding.found(folder, PASSPHRASE).is_new
    assert founding.is_founded(folder)


# -- the line


def test_a_line_survives_mail():
    line = REQUEST.line
    assert parse(line) == REQUEST
    assert parse(f"  {line[:70]}\r\n {line[70:]}\n") == REQUEST
    assert line.endswith(REQUEST.fingerprint)
    assert len(REQUEST.fingerprint.replace("-", "")) == 16


def test_every_letter_of_a_line_counts():
    line = REQUEST.line
    for at in range(len(line)):
        for damaged in (line[:at], line[:at] + ("q" if line[at] != "q" else "p") + line[at + 1 :]):
            with pytest.raises(UsageError):
                parse(damaged)


@pytest.mark.parametrize("text", ["", "fanal-hub:", "x" * 5000, "age1qqqq", "\x1b[2J", "ſ" * 200])
def test_what_is_no_line(text):
    with pytest.raises(UsageError) as caught:
        parse(text)
    assert text == "" or text not in caught.value.sentence


def test_both_keys_are_in_the_fingerprint():
    strange = str(pyrage.x25519.Identity.generate().to_public())
    others = (Request(REQUEST.recipient, bytes(32)), Request(strange, REQUEST.log_key))
    assert len({REQUEST.fingerprint, *(one.fingerprint for one in others)}) == 3


# -- the anchor


def test_an_anchor_opens_for_its_beacon_and_event_alone():
    sealed = keys.seal_anchor(STORAGE, "K7Q29XMD", 3, KEY)
    assert keys.open_anchor(STORAGE, "K7Q29XMD", 3, sealed) == KEY
    assert KEY not in sealed
    for storage, name, event in (
        (bytes(32), "K7Q29XMD", 3), (STORAGE, "K7Q29XME", 3), (STORAGE, "K7Q29XMD", 4),
    ):  # fmt: skip
        with pytest.raises(IntegrityError):
            keys.open_anchor(storage, name, event, sealed)


def test_every_bit_and_length_of_an_anchor_counts():
    sealed = keys.seal_anchor(STORAGE, "K7Q29XMD", 3, KEY)
    for at in range(len(sealed)):
        damaged = bytearray(sealed)
        damaged[at] ^= 1 << at % 8
        for one in (bytes(damaged), sealed[:at]):
            with pytest.raises(IntegrityError):
                keys.open_anchor(STORAGE, "K7Q29XMD", 3, one)


def test_no_anchor_is_sealed_alike_twice():
    assert len({keys.seal_anchor(STORAGE, "K7Q29XMD", 3, KEY) for _ in range(50)}) == 50
