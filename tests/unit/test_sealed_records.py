"""A station's records come to the office sealed, signed for, and by one command at each end."""

import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pyrage
import pytest
from click.testing import CliRunner
from fanal import age_file, certificate, log_entry, registry_export, sealed_records, sealed_work
from fanal.cli import main
from fanal.error import FanalError, IntegrityError, UsageError
from fanal.keyring import Keyring
from fanal.registry import REGISTRY_FILE, Registry, Reservation
from fanal.station import Station
from fanal_protocol import keys

from tests.unit import quick_passphrase
from tests.unit.open_secrets import in_bytes, of_keyring
from tests.unit.paper_beacon import PaperBeacon
from tests.unit.paper_fleet import NOW

PASSPHRASE = "correct horse battery staple"
SITE, PLACE = "shelter-of-the-planted-name", "room 12, under the planted desk"
ROOT = bytes(range(32))
RECORDS = b'{"fanal": "registry"}'


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(pyrage.passphrase, "encrypt", quick_passphrase.encrypt)
    monkeypatch.setattr(pyrage.passphrase, "decrypt", quick_passphrase.decrypt)


class Desk:
    """An office, and a laptop that is its station 3 and has one beacon. home: where they work."""

    def __init__(self, root, monkeypatch):
        self.home, self.office, self.laptop = root / "home", root / "office", root / "laptop"
        self.home.mkdir()
        monkeypatch.chdir(self.home)
        monkeypatch.setattr(sealed_work, "run", sealed_work.here)
        monkeypatch.setenv("XDG_STATE_HOME", str(root / "state"))
        monkeypatch.setenv("FANAL_PASSPHRASE", PASSPHRASE)
        monkeypatch.setenv("FANAL_BACKUP_PASSPHRASE", "quite another passphrase")
        self.told(self.office, "fleet", "init")
        self.line = self.told(self.laptop, "station", "request")["request"]
        self.create()
        self.told(self.laptop, "station", "join", self.file, "--yes")
        self.provision(1)

    file = "station-3.age"

    def run(self, folder, *words):
        words = [str(word) for word in words]
        return CliRunner().invoke(main, ["--fleet", str(folder), *words])

    def told(self, folder, *words, code=0):
        done = self.run(folder, *words, "--json")
        assert done.exit_code == code, f"{words}: {done.output} {done.exception!r}"
        return json.loads(done.stdout)

    def create(self, office=None, out=file):
        self.told(office or self.office, "station", "create", "--to", self.line, "--number", "3",
                  "--out", out, "--yes")  # fmt: skip

    def export(self, *words, code=0):
        return self.told(self.laptop, "registry", "export", *words, code=code)

    def merge(self, file, *words, folder=None, code=0):
        return self.told(folder or self.office, "registry", "merge", file, *words, code=code)

    def keyring(self, folder):
        return Keyring.unlock(folder, PASSPHRASE)

    def provision(self, number):
        station = self.keyring(self.laptop).station()
        beacon = PaperBeacon(number, station.root)
        with Registry(self.laptop / REGISTRY_FILE) as registry:
            registry.reserve(Reservation(beacon.id, beacon.public_key, None, "esp32", 3, SITE,
                                         PLACE, "fixed"))  # fmt: skip
            of = certificate.from_der(registry.station_certificate(3))
            made = certificate.for_beacon(beacon.id, beacon.public_key, of, station.signing_key,
                                          NOW)  # fmt: skip
            registry.provisioned(beacon.id, certificate.to_der(made), site=SITE, place=PLACE,
                                 profile="fixed", settings={})  # fmt: skip
        return beacon.id

    def known(self, folder=None):
        """Return beacon id -> place of the office's registry."""
        with Registry((folder or self.office) / REGISTRY_FILE) as registry:
            return {one.beacon_id: one.place for one in registry.beacons()}

    def exports(self, folder):
        """Return the details of the entries that say that records left the registry."""
        with Registry(folder / REGISTRY_FILE) as registry:
            entries = [log_entry.decode(leaf.content) for leaf in registry.leaves()]
        return [entry["detail"] for entry in entries if entry["what"] == "exported"]

    def reseal(self, station):
        """Put the laptop's station keys back as `station` has them."""
        (self.laptop / "station.age").write_bytes(self.keyring(self.laptop).sealed_station(station))


@pytest.fixture
def desk(tmp_path, monkeypatch):
    return Desk(tmp_path, monkeypatch)


def mail(desk, told):
    """Return what the office gets: a copy, elsewhere."""
    return shutil.copy(told["file"], desk.office.parent / "from-the-mail")


# -- the way back


def test_one_command_at_each_end(desk):
    told = desk.export()
    assert re.fullmatch(r"station-3-\d{4}-\d\d-\d\d\.fanal\.age", told["file"])
    assert (told["sealed"], told["beacons"], told["format"]) == (True, 1, "json")
    file = desk.home / told["file"]
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.read_bytes().startswith(b"age-encryption.org/v1\n-> X25519 ")
    done = desk.merge(mail(desk, told))
    assert (done["station"], len(done["added"]), done["unsigned"]) == (3, 1, 0)
    assert list(desk.known().values()) == [PLACE]
    # the export's own entry was signed for too, so nothing is left to remark of the station's log
    whole = desk.told(desk.office, "log", "verify")
    of_station = whole["logs"][1]
    assert of_station["signed"] == of_station["size"] == told["signed"]
    assert not [remark for remark in whole["remarks"] if "station-3" in remark]
    assert not desk.merge(file)["changed"]
    assert desk.exports(desk.laptop) == ["json, sealed"]


def test_no_name_of_a_place_leaves_the_laptop(desk):
    told = desk.export("--format", "csv")
    desk.export("--out", "again.fanal.age")
    secrets = of_keyring(desk.keyring(desk.laptop))
    held = list(desk.home.iterdir())
    assert {path.name for path in held} == {desk.file, told["file"], "again.fanal.age"}
    for path in held:
        data = path.read_bytes()
        for word in (SITE, PLACE, "planted", next(iter(desk.known(desk.laptop)))):
            for form in (word.encode(), word.encode("utf-16-le"), word.encode().hex().encode()):
                assert form not in data
        assert not in_bytes(data, secrets)
    desk.export("--plain", "--out", "in-clear.json")
    assert PLACE.encode() in (desk.home / "in-clear.json").read_bytes()


def test_the_laptop_cannot_open_what_it_sealed(desk):
    told = desk.export()
    assert desk.keyring(desk.laptop).open_sealed(Path(told["file"]).read_bytes()) is None
    assert desk.merge(told["file"], folder=desk.laptop, code=1)["error"] == "no_secret"


def test_an_officers_own_key_opens_it(desk, monkeypatch):
    her = pyrage.x25519.Identity.generate()
    desk.told(desk.office, "fleet", "officers", "add", str(her.to_public()))
    told = desk.export()
    identity = desk.home / "my-key.txt"
    identity.write_text(f"{her}\n")
    monkeypatch.delenv("FANAL_PASSPHRASE")
    assert desk.merge(told["file"], code=2)["error"] == "usage"
    assert desk.merge(told["file"], "--identity", identity)["added"]


def test_an_officer_who_goes_and_a_restore_leave_it_open(desk):
    """Both give the folder another identity, and files are on their way then."""
    her = pyrage.x25519.Identity.generate()
    told = desk.export()
    desk.told(desk.office, "fleet", "officers", "add", str(her.to_public()))
    desk.told(desk.office, "fleet", "backup", "--out", "one.backup")
    before = desk.keyring(desk.office).recipient
    desk.told(desk.office, "fleet", "officers", "remove", str(her.to_public()), "--yes")
    assert desk.keyring(desk.office).recipient != before
    assert desk.merge(told["file"])["added"]
    restored = desk.home / "restored"
    desk.told(restored, "fleet", "restore", "one.backup")
    assert desk.merge(told["file"], folder=restored)["added"]


def test_a_plain_file_asks_nobody(desk, monkeypatch):
    told = desk.export("--plain")
    monkeypatch.delenv("FANAL_PASSPHRASE")
    assert told["file"].endswith(".json")
    assert desk.merge(told["file"])["added"]
    assert desk.exports(desk.laptop) == ["json"]


@pytest.mark.parametrize("words", [(), ("--json",)])
def test_a_plain_file_says_that_it_names_places(desk, words):
    done = desk.run(desk.laptop, "registry", "export", "--plain", *words)
    assert "which beacon is where" in done.stderr
    assert "which beacon is where" not in done.stdout
    assert "which beacon is where" not in desk.run(desk.laptop, "registry", "export").stderr


def test_unsigned_and_plain_asks_for_nothing_and_is_refused_unless_asked_for(desk, monkeypatch):
    monkeypatch.delenv("FANAL_PASSPHRASE")
    told = desk.export("--plain", "--unsigned")
    assert told["signed"] == 0
    assert desk.export("--unsigned", code=2)["error"] == "usage"
    assert desk.export("--plain", code=2)["error"] == "usage"
    assert desk.merge(told["file"], code=4)["error"] == "unsigned"
    assert desk.merge(told["file"], "--unsigned")["added"]


def test_sealed_and_unsigned(desk):
    told = desk.export("--unsigned")
    assert (told["sealed"], told["signed"]) == (True, 0)
    assert desk.merge(told["file"], code=4)["error"] == "unsigned"
    assert desk.merge(told["file"], "--unsigned")["added"]


def test_what_others_enter_meanwhile_is_signed_for(desk, monkeypatch):
    """A file with an entry that nobody signed for would be refused in the office."""
    sign, turns = registry_export.checkpoint, []

    def signing(registry, station, anchors):
        signed = sign(registry, station, anchors)
        if len(turns) < 3:
            turns.append(desk.provision(len(turns) + 2))
        return signed

    monkeypatch.setattr(registry_export, "checkpoint", signing)
    told = desk.export()
    assert (len(turns), told["beacons"]) == (3, 4)
    assert desk.merge(told["file"])["unsigned"] == 0
    assert len(desk.exports(desk.laptop)) == 1


def test_who_never_stops_writing_is_told(desk, monkeypatch):
    sign, count = registry_export.checkpoint, iter(range(2, 999))

    def signing(registry, station, anchors):
        signed = sign(registry, station, anchors)
        registry.exported(f"another {next(count)}")
        return signed

    monkeypatch.setattr(registry_export, "checkpoint", signing)
    assert desk.export("--out", "o.fanal.age", code=1)["error"] == "busy"
    assert not (desk.home / "o.fanal.age").exists()


def test_a_log_that_nobody_may_sign_for_does_not_leave(desk):
    shutil.copy(desk.laptop / REGISTRY_FILE, desk.home / "of-yesterday")
    desk.export("--out", "first.fanal.age")
    for name in (REGISTRY_FILE, f"{REGISTRY_FILE}-wal", f"{REGISTRY_FILE}-shm"):
        (desk.laptop / name).unlink(missing_ok=True)
    shutil.copy(desk.home / "of-yesterday", desk.laptop / REGISTRY_FILE)
    desk.export("--out", "second.fanal.age", code=4)
    assert not (desk.home / "second.fanal.age").exists()
    assert desk.export("--unsigned", "--out", "second.fanal.age")["sealed"]


# -- the office, and copies


def test_the_office_exports_in_clear_and_seals_if_asked(desk, monkeypatch):
    with monkeypatch.context() as patched:
        patched.delenv("FANAL_PASSPHRASE")
        told = desk.told(desk.office, "registry", "export")
        assert (told["sealed"], told["signed"]) == (False, 0)
        assert re.fullmatch(r"station-0-\d{4}-\d\d-\d\d\.json", told["file"])
    sealed = desk.told(desk.office, "registry", "export", "--seal")
    assert sealed["sealed"]
    assert sealed["file"].endswith(".fanal.age")
    assert not desk.merge(sealed["file"])["changed"]  # all of it is here
    assert desk.told(desk.office, "registry", "import", sealed["file"], code=2)
    (desk.office / REGISTRY_FILE).rename(desk.home / "lost.db")
    assert desk.told(desk.office, "registry", "import", sealed["file"])["unsigned"] == 0


def test_a_copy_without_keys_is_exported_in_clear_and_opens_nothing(desk, monkeypatch):
    told, copy = desk.export("--plain"), desk.home / "copy"
    desk.told(copy, "registry", "import", told["file"])
    monkeypatch.delenv("FANAL_PASSPHRASE")
    assert not desk.told(copy, "registry", "export", "--out", "copied.json")["sealed"]
    monkeypatch.setenv("FANAL_PASSPHRASE", PASSPHRASE)
    sealed = desk.export()
    another = desk.home / "another"
    assert desk.told(another, "registry", "import", sealed["file"], code=1)["error"] == "no_secret"
    assert not another.exists()


def test_another_fleet_opens_nothing(desk, tmp_path):
    told, other = desk.export(), tmp_path / "other-office"
    desk.told(other, "fleet", "init")
    before = (other / REGISTRY_FILE).read_bytes()
    said = desk.merge(mail(desk, told), folder=other, code=4)
    assert (said["error"], said["sentence"]) == (
        "not_for_us", "The file is not sealed to this fleet, or it is damaged.",
    )  # fmt: skip
    assert (other / REGISTRY_FILE).read_bytes() == before


def test_another_fleets_records_sealed_to_this_one_are_refused(desk, tmp_path):
    other = tmp_path / "other-office"
    desk.told(other, "fleet", "init")
    told = desk.told(other, "registry", "export", "--out", "theirs.json")
    to = sealed_records.recipient(desk.keyring(desk.office).officer().root)
    Path("theirs.fanal.age").write_bytes(sealed_records.seal(Path(told["file"]).read_bytes(), to))
    assert desk.merge("theirs.fanal.age", code=1)["error"] == "other_fleet"


# -- stations that joined with an older Fanal


def older(desk):
    """Return a station's file as an older Fanal made it, and rejoin by nothing yet."""
    plain = desk.keyring(desk.laptop).open_sealed((desk.home / desk.file).read_bytes())
    content = json.loads(plain[64:])
    del content["office"]
    text = json.dumps(content, separators=(",", ":")).encode()
    signing = desk.keyring(desk.office).officer().signing_key
    to = age_file.recipient(desk.keyring(desk.laptop).recipient)
    path = desk.home / "older.age"
    path.write_bytes(age_file.seal(signing.sign(b"fanal/1 station" + text) + text, to))
    return path


def test_an_older_station_seals_nothing_and_says_so(desk):
    held = desk.keyring(desk.laptop).station()
    desk.reseal(Station(held.number, held.root, held.signing))
    desk.told(desk.laptop, "station", "join", older(desk))
    said = desk.export("--out", "o.fanal.age", code=1)
    assert said["error"] == "no_office"
    assert "--plain" in said["hint"]
    assert not (desk.home / "o.fanal.age").exists()
    assert desk.exports(desk.laptop) == []
    assert desk.merge(desk.export("--plain")["file"])["added"]
    # its file made anew, for the same line and number
    desk.create(out="newer.age")
    told = desk.told(desk.laptop, "station", "join", "newer.age")
    assert (told["is_new"], "is_joined" in told) == (False, False)
    assert desk.keyring(desk.laptop).station() == held
    assert not desk.merge(desk.export()["file"])["added"]


def test_a_file_of_before_does_not_make_a_station_forget(desk):
    held = desk.keyring(desk.laptop).station()
    desk.told(desk.laptop, "station", "join", older(desk))
    assert desk.keyring(desk.laptop).station() == held
    assert desk.export()["sealed"]


def test_keys_that_an_older_release_sealed(desk):
    held = desk.keyring(desk.laptop).station()
    sealed = desk.keyring(desk.laptop).seal("station.age", number=3, root=held.root,
                                            signing=held.signing)  # fmt: skip
    (desk.laptop / "station.age").write_bytes(sealed)
    assert desk.keyring(desk.laptop).station().office == ""
    assert desk.export(code=1)["error"] == "no_office"


def test_who_seals_the_laptops_folder_anew_keeps_it(desk):
    her = str(pyrage.x25519.Identity.generate().to_public())
    desk.told(desk.laptop, "fleet", "officers", "add", her)
    desk.told(desk.laptop, "fleet", "officers", "remove", her, "--yes")
    assert desk.merge(desk.export()["file"])["added"]


# -- the file itself


def test_what_is_sealed_is_opened():
    to = sealed_records.recipient(ROOT)
    for records in (RECORDS, b"fanal_registry_4,id\r\n", RECORDS + bytes(300_000)):
        assert sealed_records.opened(sealed_records.seal(records, to), ROOT) == records
    assert to == sealed_records.recipient(ROOT) != sealed_records.recipient(bytes(32))
    armoured = pyrage.encrypt(RECORDS, [age_file.recipient(to)], armored=True)
    assert age_file.is_age(armoured)
    assert sealed_records.opened(armoured, ROOT) == RECORDS
    # no station's root leads to it, nor does the way back lead to a root
    assert keys.station_root(ROOT, 0) != sealed_records.kdf(ROOT, b"fanal/1 records", 32)


def test_one_that_is_cut_or_changed_is_never_opened():
    sealed = sealed_records.seal(RECORDS + b" " * 70_000, sealed_records.recipient(ROOT))
    lengths = {
        *range(0, 400, 3),
        *range(0, len(sealed), 1999),
        *range(len(sealed) - 40, len(sealed)),
    }
    for length in lengths:
        with pytest.raises(IntegrityError) as caught:
            sealed_records.opened(sealed[:length], ROOT)
        assert caught.value.code in ("not_for_us", "damaged")
    head = sealed.index(b"\n--- ") + 50
    for at in {
        *range(0, head, 5),
        *range(head, head + 24),
        *range(head, len(sealed), 1777),
        len(sealed) - 1,
    }:
        for bit in (1, 0x80):
            changed = sealed[:at] + bytes([sealed[at] ^ bit]) + sealed[at + 1 :]
            with pytest.raises(IntegrityError):
                sealed_records.opened(changed, ROOT)
    with pytest.raises(IntegrityError):
        sealed_records.opened(sealed + b"\0", ROOT)


def test_what_cannot_be_records_is_given_up_at_its_beginning(monkeypatch):
    """A gigabyte of zeros costs no second one."""
    taken = []
    write = sealed_records._Bounded.write

    def counted(self, part):
        taken.append(len(part))
        return write(self, part)

    monkeypatch.setattr(sealed_records._Bounded, "write", counted)
    to = sealed_records.recipient(ROOT)
    for content in (bytes(8 << 20), b" " * (1 << 20) + RECORDS, b"", b"fanal_"):
        taken.clear()
        with pytest.raises(IntegrityError) as caught:
            sealed_records.opened(sealed_records.seal(content, to), ROOT)
        assert caught.value.code == "no_export"
        assert sum(taken) <= 1 << 16


def test_records_that_are_too_large_are_given_up_where_they_are():
    to = sealed_records.recipient(ROOT)
    sealed = sealed_records.seal(b"{" + bytes(999_999), to)
    assert len(sealed_records.opened(sealed, ROOT, 1_000_000)) == 1_000_000
    for most in (999_999, 100_000, 1):
        with pytest.raises(UsageError, match="too large"):
            sealed_records.opened(sealed, ROOT, most)
    found = sealed_records._Bounded(100_000)
    with pytest.raises(UsageError):
        pyrage.decrypt_io(io.BytesIO(sealed), found, [sealed_records._identity(ROOT)])
    assert found.tell() <= 100_000


def test_a_sealed_file_comes_from_no_pipe(desk):
    """It would be read twice."""
    told = desk.export()
    end, begin = os.pipe()
    os.write(begin, Path(told["file"]).read_bytes())
    os.close(begin)
    assert desk.merge(f"/dev/fd/{end}", code=2)["error"] == "usage"
    os.close(end)


def test_a_sealed_file_that_is_too_large_asks_for_no_passphrase(desk, monkeypatch):
    told = desk.export()
    monkeypatch.setattr("fanal.registry_copy.MOST_BYTES", 1000)
    monkeypatch.delenv("FANAL_PASSPHRASE")
    said = desk.merge(told["file"], code=2)
    assert "too large" in said["sentence"]


@pytest.mark.parametrize("office", [3, None, "", "age1", ["age1"], "AGE-SECRET-KEY-1QQQQ"])
def test_a_signed_station_file_with_no_key_of_age(desk, office):
    from fanal import station_file

    plain = desk.keyring(desk.laptop).open_sealed((desk.home / desk.file).read_bytes())
    text = json.dumps({**json.loads(plain[64:]), "office": office}).encode()
    signed = desk.keyring(desk.office).officer().signing_key.sign(b"fanal/1 station" + text) + text
    own = desk.keyring(desk.laptop).station().signing_key.public_key().public_bytes_raw()
    if office == "":
        assert station_file.read(signed, own).office == ""
        return
    with pytest.raises(FanalError) as caught:
        station_file.read(signed, own)
    assert caught.value.code == "form"
    # and one that somebody else put there is not the fleet's word
    forged = plain.replace(b'"office":"age1', b'"office":"age2')
    with pytest.raises(IntegrityError):
        station_file.read(forged, own)


def test_the_real_commands(desk, monkeypatch):
    """Each a program of its own, with the child that opens the keys."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent / "quick_site"))

    def run(folder, *words):
        done = subprocess.run([sys.executable, "-m", "fanal", "--fleet", folder, *words, "--json"],
                              capture_output=True, check=False)  # fmt: skip
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    told = run(desk.laptop, "registry", "export")
    assert told["sealed"]
    assert len(run(desk.office, "registry", "merge", told["file"])["added"]) == 1
