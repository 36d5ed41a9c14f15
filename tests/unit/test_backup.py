"""A backup: everything in one file, restored with proof, and never believed to be the present."""

import hashlib
import io
import json
import sqlite3
import subprocess
import tarfile

import pyrage
import pytest
from fanal import anchor, backup, backup_file, fleet, shares
from fanal.age_key import secret_text
from fanal.backup_file import Lock, lock_of, opened
from fanal.error import FanalError, IntegrityError, UsageError
from fanal.high_water import HighWater
from fanal.keyring import Keyring
from fanal.log_checkpoint import checkpoint
from fanal.log_verify import verify
from fanal.registry import REGISTRY_FILE, Registry, Reservation
from fanal.station_request import Request

from tests.unit import quick_passphrase
from tests.unit.open_secrets import in_bytes, in_tree, of_keyring
from tests.unit.paper_beacon import PaperBeacon

PASSPHRASE = "correct horse battery staple"
OF_BACKUP = "quite another passphrase"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(pyrage.passphrase, "encrypt", quick_passphrase.encrypt)
    monkeypatch.setattr(pyrage.passphrase, "decrypt", quick_passphrase.decrypt)


@pytest.fixture
def words(monkeypatch):
    """Shares without their process: tests/unit/test_shares.py starts it."""
    import shamir_mnemonic
    from shamir_mnemonic import rs1024, share, wordlist  # noqa: F401 - used as attributes

    def child(asked):
        try:
            return shares._done(shamir_mnemonic, asked)
        except shares._Problem as problem:
            raise IntegrityError(*problem.args, code="share") from None

    monkeypatch.setattr(shares, "_child", child)


class Office:
    """An officer's folder with beacons of two stations."""

    def __init__(self, tmp_path):
        self.folder, self.out = tmp_path / "office", tmp_path / "b" / "north.backup"
        self.out.parent.mkdir()
        fleet.create(self.folder, PASSPHRASE)
        officer = self.keyring.officer()
        key = Keyring.begin(tmp_path)
        from fanal import station

        with self.registry as registry:
            asked = Request(key.recipient, officer.station(9).signing_key.public_key(
            ).public_bytes_raw())  # fmt: skip
            station.create(officer, registry, asked, 2)
            self.beacons = []
            for number, of in ((1, 0), (2, 2), (3, 2)):
                made = PaperBeacon(number, officer.station(of).root)
                registry.reserve(Reservation(made.id, made.public_key, f"02:00:00:00:00:0{number}",
                                             "esp32", of, "depot", "", "fixed"))  # fmt: skip
                registry.record_sighting(made.id, 4, slot=0, seq=0, t_ms=1000, verdict="fresh")
                self.beacons.append(made)

    @property
    def keyring(self):
        return Keyring.unlock(self.folder, PASSPHRASE)

    @property
    def registry(self):
        return Registry(self.folder / REGISTRY_FILE)

    def back_up(self, **how):
        made = backup.back_up(self.keyring, self.out, **(how or {"passphrase": OF_BACKUP}))
        backup.finish(made.beside, self.out)
        return made


@pytest.fixture
def office(tmp_path):
    return Office(tmp_path)


def rows(path):
    """Return all rows, without what a restore is meant to change."""
    with sqlite3.connect(path) as file:
        tables = [name for (name,) in file.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]  # fmt: skip
        found = {name: file.execute(f"SELECT * FROM {name}").fetchall() for name in tables
                 if not name.startswith("log")}  # fmt: skip
    file.close()
    found.pop("fleet")
    found["beacon"] = [row[:13] for row in found["beacon"]]
    return found


def test_what_was_backed_up_is_there_and_proven(office, tmp_path):
    made = office.back_up()
    assert (made.beacons, made.proofs, made.shares) == (3, 2, [])
    new = tmp_path / "new"
    done = backup.restore(office.out, new, "the new passphrase", passphrase=OF_BACKUP)
    assert (done.beacons, done.epoch, len(done.proven)) == (3, 1, 2)
    again = Keyring.unlock(new, "the new passphrase")
    assert (again.officer(), again.station()) == (
        office.keyring.officer(),
        office.keyring.station(),
    )
    assert rows(new / REGISTRY_FILE) == rows(office.folder / REGISTRY_FILE)
    assert sorted(p.name for p in new.iterdir()) == [
        "key.age", "officer.age", REGISTRY_FILE, "station.age",
    ]  # fmt: skip
    assert sorted(p.name for p in office.out.parent.iterdir()) == ["north.backup"]


def test_nothing_is_in_clear_in_it(office, tmp_path):
    office.back_up()
    secrets = of_keyring(office.keyring)
    data = office.out.read_bytes()
    assert not in_bytes(data, secrets)
    assert b"depot" not in data
    assert office.beacons[0].id.encode() not in data
    backup.restore(office.out, tmp_path / "new", PASSPHRASE, passphrase=OF_BACKUP)
    secrets += of_keyring(Keyring.unlock(tmp_path / "new", PASSPHRASE))
    assert in_tree(tmp_path, secrets) == []


def test_shares_open_it_and_nothing_less(office, tmp_path, words):
    made = office.back_up(plan=(2, 3))
    assert len(made.shares) == 3
    assert "academic" not in repr(made)
    lock = lock_of(office.out.read_bytes()[:5000])
    assert (lock.is_shared, lock.threshold, lock.count) == (True, 2, 3)
    for some in ([made.shares[0]], [made.shares[1]] * 2, []):
        with pytest.raises(IntegrityError):
            backup.restore(office.out, tmp_path / "new", PASSPHRASE, words=some)
    with pytest.raises(IntegrityError, match="by shares"):
        backup.restore(office.out, tmp_path / "new", PASSPHRASE, passphrase=OF_BACKUP)
    others = shares.split(b"\x05" * 32, 2, 3)
    with pytest.raises(IntegrityError) as caught:
        backup.restore(office.out, tmp_path / "new", PASSPHRASE, words=others[:2])
    assert caught.value.code == "damaged"
    assert not (tmp_path / "new").exists()
    done = backup.restore(office.out, tmp_path / "new", PASSPHRASE, words=made.shares[1:])
    assert done.beacons == 3


def test_the_wrong_passphrase_and_a_folder_that_is_used(office, tmp_path):
    office.back_up()
    with pytest.raises(IntegrityError) as caught:
        backup.restore(office.out, tmp_path / "new", PASSPHRASE, passphrase=PASSPHRASE)
    assert caught.value.code == "passphrase"
    before = {path.name: path.read_bytes() for path in office.folder.iterdir()}
    with pytest.raises(UsageError):
        backup.restore(office.out, office.folder, PASSPHRASE, passphrase=OF_BACKUP)
    assert {path.name: path.read_bytes() for path in office.folder.iterdir()} == before
    with pytest.raises(UsageError):
        backup.restore(office.out, tmp_path / "new", "short", passphrase=OF_BACKUP)
    assert not (tmp_path / "new").exists()


def test_a_backup_is_never_overwritten(office):
    office.back_up()
    before = office.out.read_bytes()
    with pytest.raises(UsageError):
        office.back_up()
    assert office.out.read_bytes() == before
    with pytest.raises(UsageError):
        backup.back_up(office.keyring, office.out.with_name("x"), passphrase="short")
    for how in ({}, {"passphrase": OF_BACKUP, "plan": (2, 3)}):
        with pytest.raises(UsageError):
            backup.back_up(office.keyring, office.out.with_name("x"), **how)
    assert [path.name for path in office.out.parent.iterdir()] == ["north.backup"]


def test_damage_anywhere_is_noticed_and_restores_nothing(office, tmp_path):
    office.back_up()
    whole, key = office.out.read_bytes(), None
    key = lock_of(whole).key(OF_BACKUP)
    end_of_line = whole.index(b"\n", 16)
    for length in [*range(0, end_of_line + 200, 13), len(whole) // 2, len(whole) - 1]:
        with pytest.raises(FanalError):
            opened(whole[:length], key)
    for at in [*range(0, end_of_line + 200, 7), len(whole) // 2, len(whole) - 1]:
        spoilt = whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
        with pytest.raises(FanalError):
            opened(spoilt, key)
    office.out.write_bytes(whole[:-20])
    with pytest.raises(IntegrityError):
        backup.restore(office.out, tmp_path / "new", PASSPHRASE, passphrase=OF_BACKUP)
    assert not (tmp_path / "new").exists()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def spoil(office, change):
    """Write the backup again with another manifest or registry: what no age file would notice."""
    data = office.out.read_bytes()
    lock = lock_of(data)
    key = lock.key(OF_BACKUP)
    content = opened(data, key)
    office.out.write_bytes(backup_file.written(change(content), lock, key))


@pytest.mark.parametrize("what", ["root", "signing", "station", "proof", "beacon", "registry"])
def test_what_does_not_fit_together_is_not_restored(office, tmp_path, what):
    office.back_up()

    def change(content):
        told = json.loads(json.dumps(content.manifest))
        data = content.registry
        if what in ("root", "signing"):
            told["officer"][what] = "55" * 32
        elif what == "station":
            told["station"]["root"] = "55" * 32
        elif what == "proof":
            told["proofs"][1]["check"] = "55" * 16
        elif what == "beacon":
            told["proofs"][0]["beacon"] = "ZZZZZZZZ"
        else:
            other = tmp_path / "other"
            fleet.create(other, PASSPHRASE)
            data = (other / REGISTRY_FILE).read_bytes()
        return backup_file.Content(told, data)

    spoil(office, change)
    with pytest.raises(IntegrityError):
        backup.restore(office.out, tmp_path / "new", PASSPHRASE, passphrase=OF_BACKUP)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("manifest", [{}, {"fanal": "backup content", "version": 1}, [], "x"])
def test_a_well_sealed_backup_with_wrong_content(manifest):
    key, lock = b"\x07" * 32, Lock(None, 2, 3)
    line = backup_file._line(lock)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        data = json.dumps(manifest).encode()
        entry = tarfile.TarInfo("manifest.json")
        entry.size = len(data)
        tar.addfile(entry, io.BytesIO(data))
    sealed = pyrage.encrypt(packed.getvalue(), [backup_file._identity(key).to_public()])
    with pytest.raises(IntegrityError):
        opened(backup_file._MAGIC + line + b"\n" + sealed, key)


@pytest.mark.parametrize(
    "data",
    [b"", b"hello", b"fanal backup 1\n", b"fanal backup 1\n{}\n", b"fanal backup 2\n{}\n",
     b'fanal backup 1\n{"by":"passphrase"}\n', b'fanal backup 1\n{"by":"shares"}\n',
     b'fanal backup 1\n{"by":"shares","threshold":true,"count":3}\n', b"fanal backup 1\n" * 999,
     b'fanal backup 1\n{"by":"passphrase","key":7}\n', b"fanal backup 1\n" + b"[" * 4000 + b"\n"],
)  # fmt: skip
def test_what_is_no_backup(data):
    with pytest.raises(IntegrityError):
        lock_of(data)


def test_it_opens_without_us(office, tmp_path):
    """What docs/officer.md says of the file: a line, an age file to a key of 32 bytes, a tar."""
    office.back_up()
    data = office.out.read_bytes()
    magic, line, sealed = data.split(b"\n", 2)
    assert magic == b"fanal backup 1"
    key = lock_of(data).key(OF_BACKUP)
    identity = pyrage.x25519.Identity.from_str(secret_text(key))
    (tmp_path / "x.tar").write_bytes(pyrage.decrypt(sealed, [identity]))
    done = subprocess.run(["tar", "tf", tmp_path / "x.tar"], capture_output=True, text=True,
                          check=True)  # fmt: skip
    assert done.stdout.split() == ["manifest.json", "registry.db"]
    told = opened(data, key).manifest
    assert told["lock"] == hashlib.sha256(line).hexdigest()


def test_a_backup_made_while_others_write_is_whole(office, tmp_path):
    writer = sqlite3.connect(office.folder / REGISTRY_FILE, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("UPDATE beacon SET site = 'half'")
    made = office.back_up()
    writer.execute("COMMIT")
    writer.close()
    assert made.beacons == 3
    backup.restore(office.out, tmp_path / "new", PASSPHRASE, passphrase=OF_BACKUP)
    with Registry(tmp_path / "new" / REGISTRY_FILE) as registry:
        assert {one.site for one in registry.beacons()} == {"depot"}


def test_a_laptop_has_nothing_to_back_up(office, tmp_path):
    (office.folder / "officer.age").unlink()
    with pytest.raises(FanalError) as caught:
        office.back_up()
    assert caught.value.code == "no_secret"
    assert list(office.out.parent.iterdir()) == []


def test_what_this_computer_heard_since_is_known_after_a_restore(office, tmp_path):
    office.back_up()
    public_key = office.keyring.officer().signing_key.public_key().public_bytes_raw()
    state = tmp_path / "state"
    assert HighWater(state, public_key).raise_to({office.beacons[0].id: 7})
    backup.restore(office.out, tmp_path / "new", PASSPHRASE, passphrase=OF_BACKUP, state=state)
    with Registry(tmp_path / "new" / REGISTRY_FILE) as registry:
        horizons = {one.beacon_id: one.horizon for one in registry.watched()}
    assert horizons == {beacon.id: 7 if i == 0 else 4 for i, beacon in enumerate(office.beacons)}


def test_a_backup_of_a_restored_fleet_keeps_what_was_unsure(office, tmp_path):
    office.back_up()
    new = tmp_path / "new"
    backup.restore(office.out, new, PASSPHRASE, passphrase=OF_BACKUP)
    second = tmp_path / "second.backup"
    made = backup.back_up(Keyring.unlock(new, PASSPHRASE), second, passphrase=OF_BACKUP)
    backup.finish(made.beside, second)
    done = backup.restore(second, tmp_path / "newer", PASSPHRASE, passphrase=OF_BACKUP)
    assert done.epoch == 2


def test_high_water_only_rises_and_survives_anything(tmp_path):
    kept = HighWater(tmp_path / "state", b"\x01" * 32)
    assert kept.read() == {}
    kept.raise_to({"AAAAAAAA": 5, "BBBBBBBB": 1})
    kept.raise_to({"AAAAAAAA": 3, "CCCCCCCC": 2})
    assert kept.read() == {"AAAAAAAA": 5, "BBBBBBBB": 1, "CCCCCCCC": 2}
    assert HighWater(tmp_path / "state", b"\x02" * 32).read() == {}
    for junk in (b"", b"[]", b"{", b'{"AAAAAAAA": "x", "B": -1, "C": true}', b"\xff"):
        kept.path.write_bytes(junk)
        assert kept.read() == {}
    kept.raise_to({"AAAAAAAA": 2})
    assert kept.read() == {"AAAAAAAA": 2}
    (tmp_path / "file").write_text("")
    assert not HighWater(tmp_path / "file" / "x", b"\x01" * 32).raise_to({"AAAAAAAA": 2})


def verified(folder, anchors):
    with Registry(folder / REGISTRY_FILE) as registry:
        return verify(registry, anchor.of_log(anchors, registry.origin()))


def signed(folder, passphrase, anchors):
    with Registry(folder / REGISTRY_FILE) as registry:
        return checkpoint(registry, Keyring.unlock(folder, passphrase).station(), anchors)


def test_a_restored_log_is_signed_for_and_says_what_was_lost(office, tmp_path):
    anchors = tmp_path / "anchors"
    office.back_up()
    with office.registry as registry:
        registry.revoke(office.beacons[0].id, "lost")
    signed(office.folder, PASSPHRASE, anchors)
    new = tmp_path / "new"
    done = backup.restore(office.out, new, PASSPHRASE, passphrase=OF_BACKUP, anchors=anchors)
    assert (done.unsigned, done.epoch) == ("", 1)
    found = verified(new, anchors)
    assert (found.findings, found.logs[0].signed) == ((), found.logs[0].size)
    assert "1 entry was lost when the registry was restored" in found.remarks[0]


def test_a_rehearsal_does_not_disturb_what_it_rehearses(office, tmp_path):
    anchors = tmp_path / "anchors"
    signed(office.folder, PASSPHRASE, anchors)
    office.back_up()
    backup.restore(office.out, tmp_path / "try", PASSPHRASE, passphrase=OF_BACKUP, anchors=anchors)
    assert verified(office.folder, anchors).findings == ()
    with office.registry as registry:
        registry.revoke(office.beacons[0].id, "lost")
    assert signed(office.folder, PASSPHRASE, anchors).changed
    assert verified(office.folder, anchors).findings == ()


def test_two_restored_files_have_not_one_name(office, tmp_path):
    """What is signed for in the first one would contradict the second one for ever."""
    anchors = tmp_path / "anchors"
    signed(office.folder, PASSPHRASE, anchors)
    office.back_up()
    epochs = []
    for name in ("one", "two"):
        new = tmp_path / name
        done = backup.restore(office.out, new, PASSPHRASE, passphrase=OF_BACKUP, anchors=anchors)
        epochs.append(done.epoch)
        signed(new, PASSPHRASE, anchors)
        assert verified(new, anchors).findings == ()
    assert epochs == [1, 2]
    (first,) = verified(office.folder, anchors).findings[:1]
    assert "after a restore" in first.sentence


def test_two_restores_that_do_not_know_of_each_other_are_two_logs(office, tmp_path):
    signed(office.folder, PASSPHRASE, tmp_path / "anchors")
    office.back_up()
    notes = {}
    for name in ("one", "two"):  # two computers
        new, anchors = tmp_path / name, tmp_path / f"{name}.anchors"
        backup.restore(office.out, new, PASSPHRASE, passphrase=OF_BACKUP, anchors=anchors)
        with Registry(new / REGISTRY_FILE) as registry:
            registry.revoke(office.beacons[0].id, name)
        notes[name] = signed(new, PASSPHRASE, anchors)
        assert verified(new, anchors).findings == ()
    assert notes["one"].origin != notes["two"].origin
    with Registry(tmp_path / "two" / REGISTRY_FILE) as registry:
        assert verify(registry, [notes["two"].note]).findings == ()
        (told,) = verify(registry, [notes["one"].note]).findings
        assert (told.code, notes["one"].origin in told.sentence) == ("anchor", True)


def test_what_was_signed_in_a_restored_file_that_was_lost_too_is_known_to_be_gone(office, tmp_path):
    """Restored twice, and of the second file a backup again: the first branch led nowhere."""
    office.back_up()
    notes = []
    for name in ("one", "two"):
        new = tmp_path / name
        backup.restore(office.out, new, PASSPHRASE, passphrase=OF_BACKUP)
        with Registry(new / REGISTRY_FILE) as registry:
            registry.revoke(office.beacons[0].id, name)
        notes.append(signed(new, PASSPHRASE, tmp_path / f"{name}.anchors").note)
    second = tmp_path / "second.backup"
    made = backup.back_up(Keyring.unlock(new, PASSPHRASE), second, passphrase=OF_BACKUP)
    backup.finish(made.beside, second)
    backup.restore(second, tmp_path / "three", PASSPHRASE, passphrase=OF_BACKUP)
    with Registry(tmp_path / "three" / REGISTRY_FILE) as registry:
        found = verify(registry, notes)
        assert (found.findings, len(found.remarks)) == ((), 1)
        assert "were lost" in found.remarks[0]


def test_a_log_that_was_altered_before_the_backup_is_restored_and_not_signed(office, tmp_path):
    with sqlite3.connect(office.folder / REGISTRY_FILE) as file:
        file.execute("DELETE FROM log_leaf WHERE number = 3")
    file.close()
    office.back_up()
    new = tmp_path / "new"
    done = backup.restore(office.out, new, PASSPHRASE, passphrase=OF_BACKUP, anchors=tmp_path)
    assert "Entry 3 is missing" in done.unsigned
    assert verified(new, tmp_path).findings
