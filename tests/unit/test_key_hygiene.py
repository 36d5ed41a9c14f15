"""The real commands, watched from outside: where do key bytes and passphrases go?

Each command runs as a program of its own with its children; meanwhile the arguments and the
environment of every process of this test are read. Then everything that it left is searched: its
folders, its temporary files, its output, core files.
"""

import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pyrage
import pytest
from fanal.beacon_name import shown
from fanal.keyring import Keyring
from fanal.registry import REGISTRY_FILE, Registry, Reservation
from fanal_protocol.crypto import kdf

from tests.unit import quick_passphrase
from tests.unit.open_secrets import in_bytes, in_tree, of_keyring
from tests.unit.paper_beacon import PaperBeacon

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

SITE = Path(__file__).parent / "quick_site"
PASSPHRASE, OF_BACKUP = "correct horse battery staple", "quite another passphrase"
_MARK = "FANAL_TEST_HYGIENE"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(pyrage.passphrase, "encrypt", quick_passphrase.encrypt)
    monkeypatch.setattr(pyrage.passphrase, "decrypt", quick_passphrase.decrypt)


class Watcher(threading.Thread):
    """Reads /proc/*/cmdline and environ of the processes with our mark, until it is stopped."""

    def __init__(self, mark):
        super().__init__(daemon=True)
        self.mark, self.stopped = mark.encode(), threading.Event()
        self.seen, self.looks = set(), {}

    @property
    def pids(self):
        """Those that had the mark."""
        return [pid for pid, looks in self.looks.items() if looks > 0]

    def run(self):
        while not self.stopped.wait(0.02):
            for path in Path("/proc").glob("[0-9]*"):
                if -5 < self.looks.get(path.name, 0) < 5:
                    self._look(path)

    def _look(self, path):
        """Read it some times: before it runs a program, a child shows what its parent has."""
        try:
            environ, command = ((path / name).read_bytes() for name in ("environ", "cmdline"))
        except OSError:
            return  # it ended
        looks = self.looks.get(path.name, 0)
        if self.mark in environ:
            self.seen |= {environ, command}
            self.looks[path.name] = max(looks, 0) + 1
        elif looks <= 0:
            self.looks[path.name] = looks - 1


class Desk:
    """A person's computer: a home, temporary files, and passphrases in files."""

    def __init__(self, tmp_path):
        self.root = tmp_path
        self.home, self.tmp, self.safe = (tmp_path / n for n in ("home", "tmp", "safe"))
        for folder in (self.home, self.tmp, self.safe):
            folder.mkdir()
        self.passphrase, self.of_backup = self.safe / "passphrase", self.safe / "of-backup"
        self.passphrase.write_text(f"{PASSPHRASE}\n")
        self.of_backup.write_text(f"{OF_BACKUP}\n")
        self.watcher = Watcher(f"{_MARK}={tmp_path}")
        self.said = b""
        self.environment = {
            "PATH": os.environ["PATH"], "HOME": str(self.home), "TMPDIR": str(self.tmp),
            "PYTHONPATH": str(SITE), _MARK: str(tmp_path),
        }  # fmt: skip

    def command(self, folder, *words):
        return [sys.executable, "-m", "fanal", "--fleet", str(self.home / folder), *map(str, words)]

    def run(self, folder, *words, secret=True):
        more = ("--passphrase-file", self.passphrase) if secret else ()
        done = subprocess.run(self.command(folder, *words, *more), env=self.environment,
                              cwd=self.home, capture_output=True, check=False)  # fmt: skip
        self.said += done.stdout + done.stderr
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    def kill(self, rng, folder, *words):
        """Run it, and kill it at a random moment: alone, or with all that it started."""
        child = subprocess.Popen(
            self.command(folder, *words, "--passphrase-file", self.passphrase), cwd=self.home,
            env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        try:
            child.wait(rng.uniform(0.05, 1.0))
        except subprocess.TimeoutExpired:
            if rng.random() < 0.5:
                os.killpg(child.pid, signal.SIGKILL)
            else:
                child.kill()
        child.wait()

    def unlock(self, folder):
        return Keyring.unlock(self.home / folder, PASSPHRASE)

    def register(self, folder):
        """Put a beacon into the registry, so that a restore has something to prove."""
        beacon = PaperBeacon(1, self.unlock(folder).station().root)
        with Registry(self.home / folder / REGISTRY_FILE) as registry:
            registry.reserve(Reservation(beacon.id, beacon.public_key, None, "esp32", 0, "depot",
                                         "", "fixed"))  # fmt: skip
        return beacon

    def require_clean(self, *secrets):
        """Search everything for `secrets` and for passphrases, but the person's own files."""
        secrets = [*secrets, PASSPHRASE.encode(), OF_BACKUP.encode()]
        for place in (self.home, self.tmp):
            assert in_tree(place, secrets) == []
        assert not in_bytes(self.said, secrets)
        for seen in self.watcher.seen:
            assert not in_bytes(seen, secrets)
        assert not list(self.root.rglob("core*"))


@pytest.fixture
def desk(tmp_path):
    desk = Desk(tmp_path)
    desk.watcher.start()
    yield desk
    desk.watcher.stopped.set()
    desk.watcher.join()


def test_no_command_shows_a_key(desk):
    desk.run("office", "fleet", "init")
    line = desk.run("laptop", "station", "request")
    desk.run("office", "station", "create", "--to", line, "--number", 3, "--out", "s3", "--yes")
    desk.run("laptop", "station", "join", "s3", "--yes")
    desk.run("laptop", "registry", "export", "--out", "records")
    desk.run("office", "registry", "merge", "records")
    her = pyrage.x25519.Identity.generate()
    (desk.safe / "her.txt").write_text(f"{her}\n")
    before = of_keyring(desk.unlock("office"))
    desk.run("office", "fleet", "officers", "add", her.to_public())
    listed = desk.run("office", "fleet", "officers", "list", "--identity", desk.safe / "her.txt",
                      "--json", secret=False)  # fmt: skip
    assert str(her.to_public()) in listed
    desk.run("office", "fleet", "officers", "remove", her.to_public(), "--yes")
    beacon = desk.register("office")
    desk.run("office", "fleet", "backup", "--out", "b1", "--backup-passphrase-file", desk.of_backup)
    words_file = desk.safe / "words"
    desk.run("office", "fleet", "backup", "--out", "b2", "--shares", "2/3",
             "--words-file", words_file)  # fmt: skip
    told = desk.run("again", "fleet", "restore", "b1", "--backup-passphrase-file", desk.of_backup)
    assert shown(beacon.id) in told
    told = desk.run("shared", "fleet", "restore", "b2", "--words-file", words_file, "--json")
    assert f'"proven": ["{beacon.id}"]' in told
    secrets = list(before)
    for folder in ("office", "laptop", "again", "shared"):
        secrets += of_keyring(desk.unlock(folder))
    secrets.append(kdf(desk.unlock("office").officer().root, b"fanal/1 records", 32))
    shares = [line.encode() for line in words_file.read_text().splitlines()]
    assert words_file.stat().st_mode & 0o777 == 0o600
    desk.require_clean(*secrets, *shares, *(b" ".join(s.split()[4:8]) for s in shares))
    assert len(desk.watcher.pids) > 12, "the children were not seen"
    assert len(desk.unlock("shared").officer().root) == 32


COMMANDS = {
    "init": ("new", "fleet", "init"),
    "request": ("new", "station", "request"),
    "create": ("office", "station", "create", "--to", "line", "--number", "3", "--out", "s3",
               "--yes"),
    "join": ("laptop", "station", "join", "s3.ready", "--yes"),
    "remove": ("office", "fleet", "officers", "remove", "KEY", "--yes"),
    "backup": ("office", "fleet", "backup", "--out", "b", "--backup-passphrase-file", "FILE"),
    "restore": ("new", "fleet", "restore", "b.ready", "--backup-passphrase-file", "FILE"),
}  # fmt: skip


def test_killed_at_random_moments_nothing_is_open_and_nothing_lost(desk):
    rng = random.Random(20)
    desk.run("office", "fleet", "init")
    (desk.home / "line").write_text(desk.run("laptop", "station", "request"))
    desk.run("office", "station", "create", "--to", "line", "--number", 3, "--out", "s3.ready",
             "--yes")  # fmt: skip
    her = pyrage.x25519.Identity.generate().to_public()
    desk.register("office")
    desk.run("office", "fleet", "backup", "--out", "b.ready", "--backup-passphrase-file",
             desk.of_backup)  # fmt: skip
    officer, station = desk.unlock("office").officer(), desk.unlock("office").station()
    secrets = of_keyring(desk.unlock("office")) + of_keyring(desk.unlock("laptop"))
    for name, (folder, *words) in COMMANDS.items():
        if name == "remove":
            desk.run("office", "fleet", "officers", "add", her)
        words = [{"FILE": desk.of_backup, "KEY": her}.get(word, word) for word in words]
        for _ in range(2):
            desk.kill(rng, folder, *words)
        held = desk.unlock("office")
        assert (held.officer(), held.station()) == (officer, station)
        with Registry(desk.home / "office" / REGISTRY_FILE) as registry:
            assert registry.beacons()
        secrets += of_keyring(held)
        new = desk.home / "new"
        if new.exists():
            secrets += of_keyring(desk.unlock("new"))
            new.rename(desk.home / f"new-{name}")
    desk.run("laptop", "station", "join", "s3.ready", "--yes")
    assert desk.unlock("laptop").station().root == officer.station(3).root
    desk.require_clean(*secrets)
