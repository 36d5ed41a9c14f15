"""A desk with an officer, two laptops and a hub: prepared once, and copied for each command.

Everything of the commands is below `at`: their homes, their temporary files, their state. The
person's own things, passphrases and papers with words, are in `safe` and are not searched.
"""

import json
import os
import secrets
import shutil
import sqlite3
import struct
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pyrage
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fanal import certificate
from fanal.cli import main
from fanal.hub.keys import HubKeyring
from fanal.hub.store import Store
from fanal.keyring import Keyring
from fanal.registry import REGISTRY_FILE, Registry, Reservation
from fanal.sim.synthetic import synthetic_image
from fanal_protocol import keys

from tests.adversary.key_search import KeySearch, read_tape
from tests.unit import incident_rows
from tests.unit.paper_beacon import PaperBeacon
from tests.unit.paper_fleet import NOW

HERE = Path(__file__).parent
PLAN_BYTES, TAPE_BYTES = 1 << 16, 1 << 16
GROUP, SELF, PARENT, TORN, ABORT = 1, 2, 3, 4, 5
_WARM = ["fanal.cli." + n for n in (
    "fleet", "fleet_backup", "fleet_officers", "station", "registry", "log", "hub", "hub_enrol",
    "hub_user", "hub_listener", "hub_site", "incident", "beacons", "retire", "revoke", "reassign",
    "support", "label", "volunteer", "image")] + [
    "fanal.registry", "fanal.registry_merge", "fanal.registry_import", "fanal.log_verify",
    "fanal.hub.store", "fanal.hub.founding", "fanal.hub.enrolment", "fanal.hub.accounts",
    "fanal.sealed_work", "fanal.support", "fanal.label", "fanal.gateway.bundle",
    "fanal.secret_process", "rich.progress", "platformdirs", "fanal.log_checkpoint",
]  # fmt: skip


class Desk:
    """root: an empty folder. library: killing.c, compiled. is_real: each command is started as a
    program of its own."""

    def __init__(self, root, library, is_real):
        self.root = root
        self.at, self.prepared, self.safe = (root / n for n in ("at", "prepared", "safe"))
        self.home, self.tmp = self.at / "home", self.at / "tmp"
        for folder in (self.home, self.tmp, self.safe, self.home / ".local" / "state"):
            folder.mkdir(parents=True)
        self.plan, self.tape = self.safe / "plan", self.safe / "tape"
        self.plan.write_bytes(bytes(PLAN_BYTES))
        self.tape.write_bytes(bytes(TAPE_BYTES))
        kinds = ("passphrase", "of-backup", "of-hub", "new-passphrase", "password")
        self.texts = {name: secrets.token_hex(12) for name in kinds}
        for name, text in self.texts.items():
            (self.safe / name).write_text(f"{text}\n")
        self.keys = {}
        self._start(library, is_real)
        try:
            self._prepare()
        except BaseException:
            self.stop()
            raise
        self.at.rename(self.prepared)
        self.fresh()

    def fresh(self):
        """Lay the desk anew."""
        shutil.rmtree(self.at, ignore_errors=True)
        shutil.copytree(self.prepared, self.at, symlinks=True)
        self.tape.write_bytes(bytes(TAPE_BYTES))

    # -- what it is prepared with

    def cli(self, *words, codes=(0,)):
        """Run a command in this process; return what it printed."""
        cwd = os.getcwd()
        os.chdir(self.home)
        try:
            done = CliRunner(env=self._places()).invoke(main, [str(w) for w in words])
        finally:
            os.chdir(cwd)
        assert done.exit_code in codes, f"{words}: {done.output} {done.exception!r}"
        return done.stdout

    def _places(self):
        return {
            "HOME": str(self.home), "TMPDIR": str(self.tmp),
            "XDG_STATE_HOME": str(self.home / ".local" / "state"), "FANAL_HUB": "hub",
            "MPLCONFIGDIR": str(self.root / "matplotlib"),
        }  # fmt: skip

    def fill(self, word):
        """Return a word of a command: `@name` is a file of the person's own."""
        return str(self.safe / word[1:]) if word.startswith("@") else word

    def _prepare(self):
        opens = ("--passphrase-file", self.safe / "passphrase")
        hub_opens = ("--passphrase-file", self.safe / "of-hub")
        home = self.home
        her, him = (pyrage.x25519.Identity.generate() for _ in range(2))
        (self.safe / "her").write_text(f"{her}\n")
        self.her, self.him = str(her.to_public()), str(him.to_public())
        self.cli("--fleet", "office", "fleet", "init", *opens)
        self.beacons = [self._beacon("office", number) for number in (1, 2, 3)]
        for name in ("laptop", "north"):
            line = self.cli("--fleet", name, "station", "request", *opens)
            (home / f"{name}.line").write_text(line)
        for number, name in ((3, "laptop"), (4, "north")):
            self.cli("--fleet", "office", "station", "create", "--to", f"{name}.line", "--number",
                     number, "--out", f"{name}.age", "--yes", *opens)  # fmt: skip
        self.cli("--fleet", "north", "station", "join", "north.age", "--yes", *opens)
        self.beacons.append(self._beacon("north", 4))
        self.cli("--fleet", "office", "fleet", "officers", "add", self.her, *opens)
        for name in ("office", "north"):
            self.cli("--fleet", name, "log", "checkpoint", *opens)
        self.cli("--fleet", "north", "registry", "export", "--out", "north.json", *opens)
        self.cli("--fleet", "office", "registry", "export", "--out", "office.json", *opens)
        self.cli("--fleet", "office", "fleet", "backup", "--out", "one.backup",
                 "--backup-passphrase-file", self.safe / "of-backup", *opens)  # fmt: skip
        self.cli("--fleet", "office", "fleet", "backup", "--out", "two.backup", "--shares", "2/3",
                 "--words-file", self.safe / "words", *opens)  # fmt: skip
        for number, share in enumerate((self.safe / "words").read_text().splitlines()):
            self.texts[f"share {number}"] = " ".join(share.split()[4:])
        self._beacon("office", 5)  # so that there is something to sign for
        line = self.cli("hub", "init", *hub_opens)
        (home / "hub.line").write_text(line)
        for out in ("first.age", "second.age"):
            self.cli("--fleet", "office", "hub", "enrol", "--to", "hub.line", "--out", out, "--yes",
                     *opens)  # fmt: skip
            if out == "first.age":
                self.cli("hub", "accept", out, *hub_opens)
                self._beacon("office", 6)
        self.cli("hub", "log", "checkpoint", *hub_opens)
        self.cli("hub", "user", "add", "chief", "--password-file", self.safe / "password")
        with Store(f"sqlite:///{home / 'hub' / 'hub.db'}") as store:
            key = Ed25519PrivateKey.generate().public_key().public_bytes_raw().hex()
            unknown = {"name": "", "enrolled_ms": None, "enrolled_by": None}
            incident_rows.put(store, incident_rows.listener(),
                              incident_rows.listener(key, **unknown))  # fmt: skip
            rows = [incident_rows.incident(n, beacon=self.beacons[0]) for n in (1, 2)]
            incident_rows.put(store, *rows)
        self.listener = key
        self.cli("incident", "close", 2, "--as", "chief", "--reason", "other", "--text", "done")
        self.cli("--fleet", "office", "volunteer", "bundle", "--area", "East", "--relay",
                 "https://hub.example", "--out", "east.fanal", *opens)  # fmt: skip
        (home / "image.bin").write_bytes(synthetic_image("esp32c3", app_bytes=16 << 10))
        self.known_findings = self.hub_findings()
        self._know()

    def hub_findings(self):
        """Return what the hub's log does not say: of the rows that were put there by hand."""
        told = json.loads(self.cli("hub", "log", "verify", "--json", codes=(0, 4)))
        return {finding["sentence"] for finding in told["findings"]}

    def _beacon(self, name, number):
        """Put a beacon into a registry as provisioning does; return its id."""
        keyring = Keyring.unlock(self.home / name, self.texts["passphrase"])
        station = keyring.station()
        public_key = PaperBeacon(number, station.root).public_key
        beacon_id = keys.beacon_id(public_key)
        mac = f"02:00:00:00:00:{number:02x}"
        with Registry(self.home / name / REGISTRY_FILE) as registry:
            registry.reserve(Reservation(beacon_id, public_key, mac, "esp32c3", station.number,
                                         "shelter-3", "", "fixed"))  # fmt: skip
            of = certificate.from_der(registry.station_certificate(station.number))
            made = certificate.for_beacon(beacon_id, public_key, of, station.signing_key, NOW)
            registry.provisioned(beacon_id, certificate.to_der(made), site="shelter-3",
                                 place=f"room {number}", profile="fixed", settings={})  # fmt: skip
        event_key = keys.first_event_key(station.root, public_key)
        for event in range(1, 4):
            self.keys[f"E_{event} of {beacon_id}"] = event_key
            for kind in ("rid", "alert", "page"):
                self.keys[f"k_{kind} of {beacon_id}"] = getattr(keys, f"{kind}_key")(event_key)
            event_key = keys.next_event_key(event_key)
        return beacon_id

    def _know(self):
        """Note the secrets of all folders."""
        for name in ("office", "laptop", "north"):
            self.keys |= secrets_of(self.home / name, self.texts["passphrase"])
        hub = HubKeyring.unlock(self.home / "hub", self.texts["of-hub"])
        self.keys["identity of hub"] = str(hub._identity).encode()
        self.keys |= {f"{name} of hub": value for name, value in vars(hub.keys()).items()
                      if isinstance(value, bytes)}  # fmt: skip
        self.keys["identity of her"] = (self.safe / "her").read_bytes().strip()

    # -- commands

    def _start(self, library, is_real):
        """Start the launcher; before commands run in this process, which harden it for good."""
        self._environment = {
            "PATH": os.environ["PATH"], **self._places(), "PYTHONPATH": str(HERE / "site"),
            "PYTHONDONTWRITEBYTECODE": "1", "LD_PRELOAD": str(library), "LC_ALL": "C.UTF-8",
            "FANAL_KILL_PLAN": str(self.plan),
            "FANAL_KEY_TAPE": str(self.tape),
        }  # fmt: skip
        self._launcher = subprocess.Popen(
            [sys.executable, str(HERE / "launcher.py")], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True, env={**self._environment,
                                                    "FANAL_WARM": json.dumps(_WARM)},
        )  # fmt: skip
        self.is_real = is_real

    def stop(self):
        """End the launcher."""
        self._launcher.stdin.close()
        self._launcher.wait()
        self._launcher.stdout.close()

    def run(self, words, at=0, how=GROUP, words_before=("-m", "fanal")):
        """Run a command as a program of its own; kill before its `at`-th change, 0 never.

        Return its exit code, negative if it was killed.
        """
        with self.plan.open("r+b") as file:
            file.write(struct.pack("<4I", 0, at, how, 0))
        self.out = self.at / "said"
        for handle in (1, 2):
            Path(f"{self.out}.{handle}").write_bytes(b"")
        told = {"words": [*words_before, *map(self.fill, words)], "cwd": str(self.home),
                "env": self._environment, "out": str(self.out),
                "real": self.is_real or words_before != ("-m", "fanal")}  # fmt: skip
        self._launcher.stdin.write(json.dumps(told) + "\n")
        self._launcher.stdin.flush()
        done = json.loads(self._launcher.stdout.readline())
        assert not done["left"], "a process with secrets went on after its parent"
        return done["status"]

    def again(self, words):
        """Run a command once more, to its end: in this process, where that is as good and costs
        less. Return its exit code."""
        if self.is_real:
            return self.run(words)
        cwd = os.getcwd()
        os.chdir(self.home)
        try:
            done = CliRunner(env=self._places()).invoke(main, [self.fill(word) for word in words])
        finally:
            os.chdir(cwd)
        Path(f"{self.out}.1").write_text(done.output)
        return done.exit_code

    @property
    def changes(self):
        """What the last command changed on the disk, a letter each (killing.c)."""
        data = self.plan.read_bytes()
        return data[16 : 16 + struct.unpack_from("<I", data)[0]].decode("ascii")

    @property
    def has_acted(self):
        """Whether the last command was killed."""
        return bool(struct.unpack_from("<4I", self.plan.read_bytes())[3])

    def said(self):
        """Return what the last command printed."""
        return b"".join(path.read_bytes() for path in sorted(self.at.glob("said.*"))).decode()

    # -- what is left

    def leaks(self):
        """Return the files in which a secret stands, those of killed commands too."""
        held = dict(self.keys)
        for number, secret in enumerate(read_tape(self.tape)):
            held[f"made {number}"] = secret
        texts = {name: text.encode() for name, text in self.texts.items()}
        return KeySearch(held, texts).in_tree(self.at)

    def forget_core(self):
        """Take away the core file of a command that held no secret."""
        (self.home / "core").unlink(missing_ok=True)

    def files(self):
        """Return path -> size of every file, but for outputs, errors and what SQLite keeps."""
        return {str(path.relative_to(self.at)): path.stat().st_size
                for path in sorted(self.at.rglob("*"))
                if path.is_file() and not path.name.startswith("said.")
                and not path.name.endswith((".db-wal", ".db-shm", "errors.jsonl"))}  # fmt: skip

    def folders(self):
        """Return every folder."""
        return {str(p.relative_to(self.at)) for p in self.at.rglob("*") if p.is_dir()}

    def rows(self):
        """Return database -> table -> number of rows; each database is whole."""
        found = {}
        for path in sorted(self.at.rglob("*.db")):
            with closing(sqlite3.connect(path)) as file:
                assert file.execute("PRAGMA integrity_check").fetchall() == [("ok",)], path
                assert file.execute("PRAGMA foreign_key_check").fetchall() == [], path
                tables = [name for (name,) in file.execute(
                    "SELECT name FROM sqlite_master WHERE type = 'table'")]  # fmt: skip
                found[str(path.relative_to(self.at))] = {
                    name: file.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]
                    for name in tables
                }
        return found


def secrets_of(folder, passphrase):
    """Return every secret of a fleet's folder, by its name."""
    keyring = Keyring.unlock(folder, passphrase)
    found = {f"identity of {folder.name}": str(keyring._identity).encode()}
    if (folder / "request.age").exists():
        found[f"request of {folder.name}"] = keyring.secret("request.age", "signing")
    for kind in ("officer", "station"):
        if (folder / f"{kind}.age").exists():
            held = vars(getattr(keyring, kind)())
            found |= {f"{kind}'s {name} of {folder.name}": value for name, value in held.items()
                      if isinstance(value, bytes)}  # fmt: skip
    return found
