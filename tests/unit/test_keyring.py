"""Secrets at rest: what is on disk, who can open it, what never shows."""

import json
import os
import stat

import pyrage
import pytest
from fanal import fleet, keyring
from fanal.error import FanalError, IntegrityError, ReadBackError, UsageError
from fanal.keyring import Keyring, Officer, Station
from fanal_protocol import keys

PASSPHRASE = "correct horse battery staple"
OFFICER = Officer(b"\x11" * 32, b"\x22" * 32, b"\x33" * 32)
STATION = Station(0, keys.station_root(OFFICER.root, 0), b"\x44" * 32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One keyring for the module: its passphrase costs seconds."""
    folder = tmp_path_factory.mktemp("fleet")
    Keyring.create(folder, PASSPHRASE, OFFICER, STATION)
    return folder


@pytest.fixture(scope="module")
def unlocked(folder):
    return Keyring.unlock(folder, PASSPHRASE)


@pytest.fixture
def copy(folder, unlocked, tmp_path):
    """The same keyring, to be spoilt; it opens without another two seconds."""
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return Keyring(tmp_path, unlocked._identity)


def test_what_was_put_in_comes_out(unlocked):
    assert unlocked.officer() == OFFICER
    assert unlocked.station() == STATION


def test_files_are_private_and_hold_no_clear_secret(folder, unlocked):
    assert sorted(p.name for p in folder.iterdir()) == ["key.age", "officer.age", "station.age"]
    secrets = [*OFFICER.__dict__.values(), STATION.root, STATION.signing]
    for path in folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        content = path.read_bytes()
        assert content.startswith(b"age-encryption.org/v1\n")
        assert b"AGE-SECRET-KEY" not in content
        assert not any(secret in content or secret.hex().encode() in content for secret in secrets)


def test_nothing_secret_has_a_repr(unlocked):
    shown = f"{OFFICER!r} {STATION!r} {unlocked!r} {OFFICER!s} {[STATION]}"
    assert not any(byte * 4 in shown for byte in ("11", "22", "33", "44", "\\x11", '"', "SECRET"))
    assert "station" not in shown or STATION.root.hex() not in shown


def test_the_wrong_passphrase_is_one_sentence(folder):
    with pytest.raises(IntegrityError) as caught:
        Keyring.unlock(folder, "correct horse battery stable")
    assert (caught.value.code, caught.value.exit_code) == ("passphrase", 4)
    assert caught.value.__suppress_context__
    assert "stable" not in f"{caught.value.sentence} {caught.value.hint}"


def test_a_station_needs_no_officers_file(copy):
    (copy.folder / "officer.age").unlink()
    assert copy.station() == STATION
    with pytest.raises(FanalError) as caught:
        copy.officer()
    assert caught.value.code == "no_secret"


def test_no_fleet_is_a_sentence(tmp_path):
    with pytest.raises(FanalError) as caught:
        Keyring.unlock(tmp_path / "none", PASSPHRASE)
    assert caught.value.code == "no_fleet"


def test_every_truncation_of_a_sealed_file_is_noticed(copy):
    path = copy.folder / "station.age"
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(IntegrityError):
            copy.station()


def test_every_flipped_byte_of_a_sealed_file_is_noticed(copy):
    path = copy.folder / "station.age"
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(IntegrityError):
            copy.station()


def test_a_key_file_that_is_none_costs_nothing(copy):
    for content in (b"", b"hello", (copy.folder / "station.age").read_bytes()):
        (copy.folder / "key.age").write_bytes(content)
        with pytest.raises(IntegrityError) as caught:
            Keyring.unlock(copy.folder, PASSPHRASE)
        assert caught.value.code == "damaged"


GOOD = {"fanal": "station", "version": 1, "number": 0, "root": "00" * 32, "signing": "00" * 32}


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ({**GOOD, "version": 2}, "newer"),
        ({**GOOD, "fanal": "officer"}, "damaged"),
        ({**GOOD, "root": "00" * 31}, "damaged"),
        ({**GOOD, "root": "zz" * 32}, "damaged"),
        ({**GOOD, "root": None}, "damaged"),
        ({**GOOD, "number": 65536}, "damaged"),
        ({**GOOD, "number": "0"}, "damaged"),
        ({k: v for k, v in GOOD.items() if k != "signing"}, "damaged"),
        ([], "damaged"),
        ("station", "damaged"),
    ],
)
def test_a_well_sealed_file_with_wrong_content(copy, content, code):
    sealed = pyrage.encrypt(json.dumps(content).encode(), [copy._identity.to_public()])
    (copy.folder / "station.age").write_bytes(sealed)
    with pytest.raises(FanalError) as caught:
        copy.station()
    assert caught.value.code == code


def test_officer_and_station_files_are_not_interchangeable(copy):
    (copy.folder / "station.age").write_bytes((copy.folder / "officer.age").read_bytes())
    with pytest.raises(IntegrityError):
        copy.station()


def test_a_keyring_is_never_overwritten(copy):
    before = (copy.folder / "key.age").read_bytes()
    with pytest.raises(UsageError):
        Keyring.create(copy.folder, PASSPHRASE, OFFICER, STATION)
    assert (copy.folder / "key.age").read_bytes() == before


def test_a_short_passphrase_is_refused_before_anything_is_made(tmp_path):
    with pytest.raises(UsageError):
        fleet.create(tmp_path / "fleet", "short")
    assert list(tmp_path.iterdir()) == []


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "secret"
    keyring.write_private(path, b"old")
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "full")))
    with pytest.raises(OSError, match="full"):
        keyring.write_private(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["secret"]


def test_a_write_that_reads_back_differently_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr("pathlib.Path.read_bytes", lambda _: b"rot")
    with pytest.raises(ReadBackError):
        keyring.write_private(tmp_path / "secret", b"new")
    assert list(tmp_path.iterdir()) == []


def test_stations_of_one_officer_share_nothing():
    one, two = OFFICER.station(1), OFFICER.station(2)
    assert one.root == keys.station_root(OFFICER.root, 1) != two.root
    assert one.signing != two.signing
