"""A laptop becomes a station: its own key never leaves it, and nobody else's root comes to it."""

import base64
import json
import os
import shutil
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta

import pyrage
import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fanal import certificate, fleet, sealed_work, station, station_file, station_request
from fanal.cli import main
from fanal.error import FanalError, IntegrityError, UsageError
from fanal.keyring import Keyring
from fanal.registry import REGISTRY_FILE, Registry, Reservation
from fanal.station_file import StationFile
from fanal_protocol import keys

from tests.unit import quick_passphrase
from tests.unit.open_secrets import in_tree, of_keyring
from tests.unit.paper_fleet import NOW

PASSPHRASE = "correct horse battery staple"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(pyrage.passphrase, "encrypt", quick_passphrase.encrypt)
    monkeypatch.setattr(pyrage.passphrase, "decrypt", quick_passphrase.decrypt)


class Place:
    """An officer's folder, a laptop's, and what goes between them."""

    def __init__(self, folder):
        self.office, self.laptop = folder / "office", folder / "laptop"
        fleet.create(self.office, PASSPHRASE, NOW)
        self.asked = station.request(self.laptop, PASSPHRASE)

    @property
    def officer(self):
        return Keyring.unlock(self.office, PASSPHRASE).officer()

    @property
    def open_laptop(self):
        return Keyring.unlock(self.laptop, PASSPHRASE)

    def create(self, number=3, asked=None, now=NOW):
        with Registry(self.office / REGISTRY_FILE) as registry:
            return station.create(self.officer, registry, asked or self.asked, number, now)

    def join(self, made):
        return station.join(self.open_laptop, made.sealed, made.fingerprint)


@pytest.fixture
def at(tmp_path):
    return Place(tmp_path)


def test_a_laptop_becomes_a_station_and_its_key_stayed_there(at):
    seed = at.open_laptop.secret(station.PENDING_FILE, "signing")
    made = at.create()
    assert made.is_new
    joined = at.join(made)
    assert (joined.number, joined.fleet, joined.fingerprint) == (3, made.fleet, made.fingerprint)
    held = at.open_laptop.station()
    assert (held.number, held.root) == (3, keys.station_root(at.officer.root, 3))
    assert held.signing == seed
    assert sorted(p.name for p in at.laptop.iterdir()) == ["key.age", REGISTRY_FILE, "station.age"]
    with Registry(at.laptop / REGISTRY_FILE) as registry:
        of_station = certificate.from_der(registry.station_certificate(3))
        certificate.verify_station(
            3, of_station, certificate.from_der(registry.fleet_certificate())
        )
        assert certificate.public_key_of(of_station) == held.signing_key.public_key(
        ).public_bytes_raw()  # fmt: skip
    assert in_tree(at.office, [seed]) == []
    assert in_tree(at.laptop, [*of_keyring(at.open_laptop), at.officer.root]) == []


def test_the_file_holds_one_root_and_no_signing_key(at):
    made = at.create()
    plain = at.open_laptop.open_sealed(made.sealed)
    officer = at.officer
    assert keys.station_root(officer.root, 3).hex().encode() in plain
    own = at.open_laptop.secret(station.PENDING_FILE, "signing")
    first = keys.station_root(officer.root, 0)
    for secret in (officer.root, officer.signing, officer.sealing, first, own):
        for form in (secret, secret.hex().encode(), base64.b64encode(secret)):
            assert form not in plain
    # and nothing at all without the laptop's key
    assert Keyring.unlock(at.office, PASSPHRASE).open_sealed(made.sealed) is None


def test_repeating_gives_the_same_station(at):
    first, again = at.create(), at.create(now=NOW + timedelta(days=9))
    assert (first.is_new, again.is_new) == (True, False)
    assert station.look(at.open_laptop, first.sealed) == station.look(at.open_laptop, again.sealed)
    at.join(first)
    before = (at.laptop / REGISTRY_FILE).read_bytes()
    assert at.join(again).is_joined
    assert (at.laptop / REGISTRY_FILE).read_bytes() == before
    with Registry(at.office / REGISTRY_FILE) as registry:
        assert [one.number for one in registry.stations()] == [0, 3]


def test_a_number_is_for_one_key_and_a_key_for_one_number(at, tmp_path):
    at.create()
    other = station.request(tmp_path / "second", PASSPHRASE)
    with pytest.raises(FanalError) as caught:
        at.create(3, other)
    assert caught.value.code == "station_clash"
    with pytest.raises(UsageError) as caught:
        at.create(4)
    assert caught.value.code == "station_clash"
    for number in (0, -1, 65536):
        with pytest.raises(UsageError):
            at.create(number, other)
    at.create(65535, other)


def test_two_who_make_a_station_of_one_laptop_at_once_give_it_one_number(at, monkeypatch):
    """Both have looked whether it has a number before either writes one down."""
    both = threading.Barrier(2, timeout=20)
    add = Registry.add_station

    def add_with_the_other(registry, number, of_station):
        both.wait()
        return add(registry, number, of_station)

    monkeypatch.setattr(Registry, "add_station", add_with_the_other)

    def made(number):
        try:
            return at.create(number).number
        except UsageError as refused:
            return refused.code

    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(made, (3, 4)))
    (number,) = {3, 4} & set(found)
    assert sorted(map(str, found)) == [str(number), "station_clash"]
    with Registry(at.office / REGISTRY_FILE) as registry:
        assert [one.number for one in registry.stations()] == [0, number]


def test_a_revoked_station_does_not_come_back(at):
    at.create()
    with Registry(at.office / REGISTRY_FILE) as registry:
        for name in ("AAAAAAA1", "AAAAAAA2"):
            registry.reserve(Reservation(name, name[-1].encode() * 32, None, "esp32", 3, "depot",
                                         "", "fixed"))  # fmt: skip
        done = station.revoke(registry, 3, "laptop stolen")
        assert (done.beacons, done.changed) == (2, True)
        assert not station.revoke(registry, 3, "laptop stolen").changed
        assert {one.revocation.reason for one in registry.watched()} == {
            "its station 3 was revoked: laptop stolen"
        }
        with pytest.raises(UsageError, match="Station 0"):
            station.revoke(registry, 0, "lost")
        with pytest.raises(FanalError):
            station.revoke(registry, 9, "lost")
        with pytest.raises(UsageError):
            station.revoke(registry, 3, "two\nlines")
    with pytest.raises(UsageError) as caught:
        at.create()
    assert caught.value.code == "revoked"


def test_only_the_laptop_that_asked_can_take_it(at, tmp_path):
    made = at.create()
    second = tmp_path / "second"
    station.request(second, PASSPHRASE)
    with pytest.raises(IntegrityError) as caught:
        station.look(Keyring.unlock(second, PASSPHRASE), made.sealed)
    assert caught.value.code == "not_for_us"
    # made for its box, but for another's signing key
    crossed = station_request.Request(Keyring.unlock(second, PASSPHRASE).recipient, b"\x05" * 32)
    key = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    crossed = station_request.Request(crossed.recipient, key)
    with pytest.raises(IntegrityError) as caught:
        station.look(Keyring.unlock(second, PASSPHRASE), at.create(5, crossed).sealed)
    assert caught.value.code == "not_for_us"


def test_another_fleet_is_refused_before_and_after(at, tmp_path):
    other = Place(tmp_path / "other")
    theirs = other.create(3, at.asked)
    with pytest.raises(IntegrityError) as caught:
        station.join(at.open_laptop, theirs.sealed, at.create().fingerprint)
    assert caught.value.code == "other_fleet"
    assert not (at.laptop / REGISTRY_FILE).exists()
    at.join(at.create())
    before = {path.name: path.read_bytes() for path in at.laptop.iterdir()}
    with pytest.raises(IntegrityError) as caught:
        station.join(at.open_laptop, theirs.sealed, theirs.fingerprint)
    assert caught.value.code == "other_fleet"
    assert {path.name: path.read_bytes() for path in at.laptop.iterdir()} == before


def test_a_registry_of_another_fleet_is_not_taken_over(at, tmp_path):
    other = Place(tmp_path / "other")
    shutil.copy(other.office / REGISTRY_FILE, at.laptop / REGISTRY_FILE)
    with pytest.raises(IntegrityError) as caught:
        at.join(at.create())
    assert caught.value.code == "other_fleet"
    assert not (at.laptop / "station.age").exists()


def test_an_office_whose_registry_is_of_another_fleet_makes_nothing(at, tmp_path):
    other = Place(tmp_path / "other")
    shutil.copy(other.office / REGISTRY_FILE, at.office / REGISTRY_FILE)
    with pytest.raises(IntegrityError):
        at.create()


def test_who_did_not_ask_gets_nothing(at, tmp_path):
    (at.laptop / station.PENDING_FILE).unlink()
    with pytest.raises(FanalError) as caught:
        station.look(at.open_laptop, at.create().sealed)
    assert caught.value.code == "no_request"


def test_asking_twice_and_over_something(at, tmp_path):
    assert station.pending(at.laptop) == at.asked
    with pytest.raises(UsageError):
        station.request(at.laptop, PASSPHRASE)
    with pytest.raises(UsageError):
        station.request(at.office, PASSPHRASE)
    with pytest.raises(UsageError):
        station.request(tmp_path / "new", "short")
    at.join(at.create())
    assert station.pending(at.laptop) is None


def test_who_asks_again_is_told_which_station_it_is(at, tmp_path):
    before = at.join(at.create(7))
    done = told(at.laptop, "station", "request")
    assert (done.exit_code, f"station 7 of {before.fleet} already" in flat(done)) == (2, True)
    done = told(at.office, "station", "request")
    assert (done.exit_code, "There is a fleet in" in flat(done)) == (2, True)


@pytest.mark.parametrize("words", [
    ("fleet", "backup", "--out", "OUT"), ("fleet", "backup", "--shares", "2/3", "--out", "OUT"),
    ("station", "create", "--to", "LINE", "--number", "4", "--out", "OUT"),
])  # fmt: skip
def test_a_station_does_not_do_what_an_officer_does(at, tmp_path, monkeypatch, words):
    """And says so before anybody types a passphrase."""
    at.join(at.create())
    monkeypatch.setattr("fanal.cli.console.read_secret_file", None)
    monkeypatch.setattr("fanal.cli.console.read_opener", None)
    wanted = {"OUT": str(tmp_path / "out"), "LINE": at.asked.line}
    done = told(at.laptop, *(wanted.get(word, word) for word in words))
    assert (done.exit_code, "is no officer's folder" in flat(done)) == (1, True)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("recipient", ["age1", "AGE-SECRET-KEY-1XYZ", "ssh-ed25519 AAAA"])
def test_what_is_no_key_is_no_officers(at, monkeypatch, recipient):
    monkeypatch.setattr("fanal.cli.console.read_opener", None)
    monkeypatch.setattr("fanal.cli.choice.ask", None)
    done = told(at.office, "fleet", "officers", "remove", recipient)
    assert done.exit_code == 2, done.output
    assert "XYZ" not in done.output


def told(folder, *words):
    return CliRunner().invoke(main, ["--fleet", str(folder), *words])


def flat(done):
    return " ".join(done.output.split())


def test_the_line(at):
    line = at.asked.line
    broken = "\n  ".join(line[i : i + 40] for i in range(0, len(line), 40))
    assert station_request.parse(broken) == at.asked
    other = line[:40] + ("q" if line[40] != "q" else "p") + line[41:]
    no_hub = line.replace("station", "hub")
    for wrong in ("", line[:-1], line[:-1] + "!", no_hub, "x" * 2000, other, line + line):
        with pytest.raises(UsageError) as caught:
            station_request.parse(wrong)
        assert caught.value.code == "station_request"
        assert "age1" not in caught.value.sentence
    for i in range(len(line)):
        if line[i].isalnum():
            other = line[:i] + ("0" if line[i] != "0" else "2") + line[i + 1 :]
            with pytest.raises(UsageError):
                station_request.parse(other)


def content(at, **changes):
    made = at.open_laptop.open_sealed(at.create().sealed)
    return json.dumps({**json.loads(made[64:]), **changes}).encode()


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"version": 2}, "newer"),
        ({"fanal": "enrolment"}, "form"),
        ({"number": 4}, "chain"),
        ({"number": True}, "form"),
        ({"number": 65536}, "form"),
        ({"number": "3"}, "form"),
        ({"root": "00" * 31}, "form"),
        ({"root": None}, "form"),
        ({"fleet": "AAAA"}, "integrity"),
        ({"station": "!"}, "form"),
        ({"station": None}, "form"),
    ],
)
def test_a_well_signed_file_with_wrong_content(at, changes, code):
    text = content(at, **changes)
    plain = at.officer.signing_key.sign(b"fanal/1 station" + text) + text
    with pytest.raises(FanalError) as caught:
        station_file.read(plain, at.asked.signing_key)
    assert caught.value.code == code


def test_a_file_that_is_cut_changed_or_signed_by_another(at):
    plain = at.open_laptop.open_sealed(at.create().sealed)
    for length in range(0, len(plain), 7):
        with pytest.raises(IntegrityError):
            station_file.read(plain[:length], at.asked.signing_key)
    for i in range(0, len(plain), 11):
        with pytest.raises(FanalError):
            station_file.read(plain[:i] + bytes([plain[i] ^ 1]) + plain[i + 1 :],
                              at.asked.signing_key)  # fmt: skip
    stranger = Ed25519PrivateKey.generate()
    forged = stranger.sign(b"fanal/1 station" + plain[64:]) + plain[64:]
    with pytest.raises(IntegrityError) as caught:
        station_file.read(forged, at.asked.signing_key)
    assert caught.value.code == "signature"
    assert "root" not in repr(StationFile(1, b"\x01" * 32, b"", b"")).replace("root=", "root")


def test_a_join_that_was_cut_off_is_finished(at, monkeypatch):
    made = at.create()
    for step in ("sync_folder", "sealed_station"):

        def stop(*_):
            raise KeyboardInterrupt

        target = "fanal.keyring.sync_folder" if step == "sync_folder" else (
            "fanal.keyring.Keyring.sealed_station")  # fmt: skip
        with monkeypatch.context() as patched:
            patched.setattr(target, stop)
            with pytest.raises(KeyboardInterrupt):
                at.join(made)
        assert not (at.laptop / "station.age").exists()
    at.join(made)
    assert at.open_laptop.station().number == 3
    assert not [p for p in os.listdir(at.laptop) if p.startswith(".")]


def test_nobody_seals_the_folder_anew_while_a_laptop_joins(at, monkeypatch):
    """Its signing key would be left under the old seal, and nowhere else."""
    fcntl = pytest.importorskip("fcntl")
    made, keep, tried = at.create(), station._keep_registry, []

    def kept(folder, found):
        handle = os.open(folder, os.O_RDONLY)
        try:
            with pytest.raises(BlockingIOError):
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            tried.append(folder)
        finally:
            os.close(handle)
        keep(folder, found)

    monkeypatch.setattr(station, "_keep_registry", kept)
    at.join(made)
    assert tried == [at.laptop]


def test_the_officer_signs_for_the_station_while_the_keyring_is_open(at, monkeypatch):
    monkeypatch.setattr(sealed_work, "run", sealed_work.here)
    monkeypatch.setenv("FANAL_PASSPHRASE", PASSPHRASE)
    words = ("station", "create", "--to", at.asked.line, "--number", "3", "--yes", "--json")
    out = str(at.laptop.parent / "s3.age")
    done = CliRunner().invoke(main, ["--fleet", str(at.office), *words, "--out", out])
    assert (done.exit_code, json.loads(done.stdout)["is_new"]) == (0, True)
    assert "signed" not in done.output
    with Registry(at.office / REGISTRY_FILE) as registry:
        assert (registry.unsigned(), registry.log_size()) == (0, 3)
    with closing(sqlite3.connect(at.office / REGISTRY_FILE)) as file, file:
        file.execute("DELETE FROM log_leaf WHERE number = 2")
    done = CliRunner().invoke(main, ["--fleet", str(at.office), *words, "--out", out])
    assert done.exit_code == 0
    assert "The log was not signed: " in done.stderr


@pytest.mark.parametrize(
    "words",
    [("station", "create", "--number", "3", "--yes", "--to"), ("registry", "export", "--json")],
)
@pytest.mark.parametrize("name", ["station.age", REGISTRY_FILE])
def test_nothing_takes_the_place_of_a_file_of_the_fleet(at, words, name):
    """Typed in the fleet's folder, `--out station.age` would be the end of station 0."""
    words = (*words, at.asked.line) if words[-1] == "--to" else words
    before = (at.office / name).read_bytes()
    done = CliRunner().invoke(
        main, ["--fleet", str(at.office), *words, "--out", str(at.office / name)]
    )
    assert (done.exit_code, "may be one of them" in done.output) == (2, True)
    assert (at.office / name).read_bytes() == before
