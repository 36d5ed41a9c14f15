"""Every work that writes keys, killed at every step: nothing in clear, and it can be run again."""

import os
import shutil
import sys
import traceback

import pyrage
import pytest
from fanal import backup, fleet, officers, sealed_work, station
from fanal.error import FanalError
from fanal.keyring import Keyring
from fanal.registry import REGISTRY_FILE, Registry
from fanal.sealed_work import Opener

from tests.unit import quick_passphrase
from tests.unit.open_secrets import in_tree, of_keyring

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

PASSPHRASE = "correct horse battery staple"
OF_BACKUP = "quite another passphrase"
_KILLED = 77
_STEPS = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "shutil.rmtree")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(pyrage.passphrase, "encrypt", quick_passphrase.encrypt)
    monkeypatch.setattr(pyrage.passphrase, "decrypt", quick_passphrase.decrypt)


def killed_at(step, do):
    """Do it in a process that ends, as by kill -9, before its `step`-th change on the disk.

    Return whether it came so far. Raises what it raised otherwise.
    """
    child = os.fork()
    if child:
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert code in (0, _KILLED)
        return code == _KILLED
    left = [step]

    def count(event, args):
        writes = (
            event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR)
        )
        if event in _STEPS or writes:
            left[0] -= 1
            if left[0] == 0:
                os._exit(_KILLED)

    sys.addaudithook(count)
    real = os.fsync

    def fsync(handle):
        count("os.rename", ())
        real(handle)

    os.fsync = fsync
    try:
        do()
    except BaseException:  # noqa: BLE001 - the parent hears of it
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def sweep(fresh, do, check):
    """Kill `do` before each of its steps, from `fresh()` each time, and `check` what is left."""
    step = 0
    while True:
        step += 1
        fresh()
        was_killed = killed_at(step, do)
        check()
        if not was_killed:
            break
    assert step > 3, "it was never killed"


class World:
    """A folder of prepared folders, and a copy of it that is spoilt again and again."""

    def __init__(self, tmp_path):
        self.prepared, self.at = tmp_path / "prepared", tmp_path / "at"
        self.prepared.mkdir()
        self.office, self.laptop, self.new = (self.at / n for n in ("office", "laptop", "new"))
        fleet.create(self.prepared / "office", PASSPHRASE)
        self.asked = station.request(self.prepared / "laptop", PASSPHRASE)
        keyring = Keyring.unlock(self.prepared / "office", PASSPHRASE)
        self.officer, self.station = keyring.officer(), keyring.station()
        self.secrets = [
            *of_keyring(keyring),
            Keyring.unlock(self.prepared / "laptop", PASSPHRASE).secret(
                station.PENDING_FILE, "signing"
            ),
        ]
        self.file = self.at / "station.age"

    def fresh(self):
        shutil.rmtree(self.at, ignore_errors=True)
        shutil.copytree(self.prepared, self.at)

    def require_nothing_in_clear(self):
        assert in_tree(self.at, self.secrets) == []

    def require_office(self, passphrase=PASSPHRASE):
        keyring = Keyring.unlock(self.office, passphrase)
        assert (keyring.officer(), keyring.station()) == (self.officer, self.station)
        keyring.officers()
        with Registry(self.office / REGISTRY_FILE) as registry:
            assert registry.stations()

    def work(self, name, folder, **wanted):
        return sealed_work.here(name, folder, Opener(PASSPHRASE), **wanted)


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def no_half_folder(folder):
    assert not folder.exists() or (folder / "key.age").exists()


def test_init(world):
    def check():
        world.require_nothing_in_clear()
        no_half_folder(world.new)
        if not world.new.exists():
            world.work("init", world.new)
        assert Keyring.unlock(world.new, PASSPHRASE).officer()
        Registry(world.new / REGISTRY_FILE).close()

    sweep(world.fresh, lambda: world.work("init", world.new), check)


def test_station_request(world):
    def check():
        world.require_nothing_in_clear()
        no_half_folder(world.new)
        if not world.new.exists():
            world.work("station request", world.new)
        asked = station.pending(world.new)
        assert asked.recipient == Keyring.unlock(world.new, PASSPHRASE).recipient

    sweep(world.fresh, lambda: world.work("station request", world.new), check)


def test_station_create(world):
    def do():
        world.work("station create", world.office, request=world.asked.line, number=3,
                   out=str(world.file))  # fmt: skip

    def check():
        world.require_nothing_in_clear()
        world.require_office()
        laptop = Keyring.unlock(world.laptop, PASSPHRASE)
        if world.file.exists():
            first = station.look(laptop, world.file.read_bytes())
            do()
            assert station.look(laptop, world.file.read_bytes()) == first
        do()
        assert station.look(laptop, world.file.read_bytes()).number == 3

    sweep(world.fresh, do, check)


def test_station_join(world):
    world.fresh()
    made = world.work("station create", world.office, request=world.asked.line, number=3,
                      out=str(world.prepared / "station.age")).values  # fmt: skip

    def do():
        world.work("station join", world.laptop, file=str(world.file),
                   fingerprint=made["fingerprint"])  # fmt: skip

    def check():
        world.require_nothing_in_clear()
        do()
        held = Keyring.unlock(world.laptop, PASSPHRASE).station()
        assert held.root == world.officer.station(3).root
        with Registry(world.laptop / REGISTRY_FILE) as registry:
            assert [one.number for one in registry.stations()] == [3]

    sweep(world.fresh, do, check)


def test_officers_add_and_remove(world):
    identity = pyrage.x25519.Identity.generate()
    recipient = str(identity.to_public())
    (world.prepared / "her.txt").write_text("")  # her own file, in clear, is hers
    path = world.prepared.parent / "her.txt"
    path.write_text(f"{identity}\n")

    def add():
        world.work("officers", world.office, do="add", recipient=recipient)

    def check_added():
        world.require_nothing_in_clear()
        world.require_office()
        add()
        assert Keyring.unlock_by(world.office, path, "").officer() == world.officer

    sweep(world.fresh, add, check_added)
    officers.add(Keyring.unlock(world.prepared / "office", PASSPHRASE), recipient)

    def remove():
        world.work("officers", world.office, do="remove", recipient=recipient, passphrase="")

    def check_removed():
        world.require_nothing_in_clear()
        world.require_office()
        if Keyring.unlock(world.office, PASSPHRASE).officers():
            remove()
        world.require_office()
        with pytest.raises(FanalError):
            Keyring.unlock_by(world.office, path, "")
        assert not [p for p in world.office.iterdir() if p.name.startswith(".replacing")]

    sweep(world.fresh, remove, check_removed)


def test_backup_and_restore(world):
    out = world.at / "north.backup"

    def back_up():
        told = world.work("backup", world.office, out=str(out), plan=None, passphrase=OF_BACKUP)
        from pathlib import Path

        backup.finish(Path(told.values["beside"]), out)

    def check():
        world.require_nothing_in_clear()
        world.require_office()
        if not out.exists():
            back_up()
        backup.restore(out, world.new, PASSPHRASE, passphrase=OF_BACKUP)

    sweep(world.fresh, back_up, check)
    world.fresh()
    back_up()
    shutil.copy(out, world.prepared / out.name)

    def restore():
        world.work("restore", world.new, file=str(out), passphrase=OF_BACKUP, words=None,
                   state=str(world.at / "state"))  # fmt: skip

    def check_restored():
        world.require_nothing_in_clear()
        no_half_folder(world.new)
        if not world.new.exists():
            restore()
        assert Keyring.unlock(world.new, PASSPHRASE).officer() == world.officer
        with Registry(world.new / REGISTRY_FILE) as registry:
            assert registry.epoch() == 1

    sweep(world.fresh, restore, check_restored)


def test_the_sweep_can_fail(tmp_path):
    def careless():
        (tmp_path / "key").write_bytes(b"half")
        (tmp_path / "key").write_bytes(b"\x11" * 32)
        (tmp_path / "other").write_bytes(b"")

    assert killed_at(3, careless)
    assert in_tree(tmp_path, [b"\x11" * 32]) == [tmp_path / "key"]
    for form in (b"11" * 32, b"AGE-SECRET-KEY-1QQQQQQQQQQQQQQQQQQQQQQQQ",
                 b"xx" + __import__("base64").b64encode(b"a" + b"\x11" * 32)):  # fmt: skip
        (tmp_path / "key").write_bytes(form)
        assert in_tree(tmp_path, [b"\x11" * 32]) == [tmp_path / "key"]
