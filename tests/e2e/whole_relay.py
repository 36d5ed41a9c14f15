"""The whole relay as real processes: hub workers, listeners, and what they stand on.

All of it is as the guides say; of paper are only the beacons, whose frames a test sends on a
virtual air, and the officer's registry.
"""

import base64
import functools
import json
import re
import shutil
import signal
import sys
import threading
from collections import defaultdict
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from fanal.envelope import Opener
from fanal.gateway import bundle
from fanal.gateway.listener_key import ListenerKey
from fanal.hub import accounts, config, enrolment, founding, listeners
from fanal.hub.keys import HubKeyring
from fanal.hub.store import Store

from tests.e2e.test_relay_guide import Guided
from tests.services import Program, mosquitto_program
from tests.unit.paper_beacon import PaperBeacon
from tests.unit.paper_enrolment import EnrolledFleet
from tests.unit.paper_server import HOST

ROOT = Path(__file__).resolve().parents[2]
PASSPHRASE, PASSWORD, USER = "four words in a row", "a door that opens", "duty"
NOTING = ROOT / "tests" / "e2e" / "noting_listener.py"


class Broker(Guided):
    """The broker of docs/relay.md, which can be killed. It also says whom it sends what."""

    def __init__(self, folder):
        super().__init__(folder)
        self.program.wait_for(" running")
        with (folder / "mosquitto.conf").open("a") as file:
            file.write("log_type all\n")
        self.kill()
        self.start()

    def kill(self):
        self.program.stop(signal.SIGKILL)

    def start(self):
        before = self.program.lines
        self.program = Program([mosquitto_program(), "-c", self.folder / "mosquitto.conf"])
        self.program.lines[:0] = before
        self.program.wait_for(" running", len(before))

    def served(self):
        """Return the names of those to whom deliveries were sent."""
        said = re.compile(r"Sending PUBLISH to (\S+) ")
        return {found[1] for line in self.program.lines if (found := said.search(line))}


class Webhook:
    """Whoever is told. told: by message id, the bodies that came under it. A context manager."""

    def __init__(self):
        self.told = defaultdict(list)
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.told[self.headers["webhook-id"]].append(body)
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer((HOST, 0), Handler)
        self.url = f"http://{HOST}:{self._server.server_port}/"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def incidents(self):
        """Return the numbers of the incidents that it was told of."""
        bodies = [json.loads(one[0])["data"] for one in list(self.told.values())]
        return {data["number"] for data in bodies if "number" in data}


@dataclass
class HubFolder:
    """A founded hub that has accepted a fleet. beacons: of paper, with the fleet's true keys."""

    folder: Path
    fleet: EnrolledFleet
    beacons: list[PaperBeacon]

    recipient: str

    @functools.cached_property
    def store(self):
        return Store(config.load(self.folder).database)

    def copy(self, to, port):
        """Copy it to another computer, so to speak, where it listens at another port."""
        shutil.copytree(self.folder, to)
        path = to / "hub.toml"
        text = re.sub(r"bind = .*", f'bind = "{HOST}:{port}"', path.read_text())
        path.write_text(re.sub(r"(tls_cert|tls_key|public_url) = .*\n", "", text))
        return to


def hub_folder(folder, toml, count):
    """Begin a hub, have an officer enrol `count` beacons, accept that, and let a user in."""
    folder.mkdir()
    (folder / "hub.toml").write_text(toml)
    request = founding.found(folder, PASSPHRASE).request
    (folder / "webhook-secret").write_text(base64.b64encode(b"w" * 32).decode())
    fleet = EnrolledFleet(folder.parent)
    for number in range(1, count + 1):
        fleet.add(number, is_certified=False)
    sealed = enrolment.make(fleet.officer, fleet.registry, request).sealed
    keyring = HubKeyring.unlock(folder, PASSPHRASE)
    with Store(config.load(folder).database) as store:
        enrolment.accept(store, keyring, sealed)
        accounts.add(store, USER, "officer", PASSWORD)
    beacons = [PaperBeacon(number, fleet.station.root) for number in range(1, count + 1)]
    return HubFolder(folder, fleet, beacons, Opener(fleet.officer.sealing).recipient)


class HubWorker:
    """`fanal hub run` in a folder."""

    def __init__(self, folder):
        self._command = [sys.executable, "-m", "fanal", "hub", "run", "--hub", folder,
                         "--passphrase-file", folder.parent / "passphrase"]  # fmt: skip
        (folder.parent / "passphrase").write_text(PASSPHRASE)
        self.program = None

    def begin(self):
        self.program = Program(self._command)

    def wait(self):
        self.program.wait_for("The hub is at")

    def start(self):
        """Start it as often as a system would, until it runs: its database may be away."""
        for _ in range(100):
            self.begin()
            try:
                self.wait()
                return
            except AssertionError:
                self.program.stop()
        self.wait()

    def kill(self):
        self.program.stop(signal.SIGKILL)


@dataclass
class Listener:
    """`fanal listen --bundle`, with notes. state: its folder, which may be a disk of its own."""

    name: str
    folder: Path
    air: str
    bundle: bundle.Bundle
    state: Path | None = None
    is_hasty: bool = True
    program: Program | None = field(default=None, init=False)

    def __post_init__(self):
        self.folder.mkdir()
        self.state = self.state or self.folder / "state"
        self.state.mkdir(exist_ok=True)
        bundle.write(self.folder / "bundle", self.bundle)
        self.key = ListenerKey.in_folder(self.state).public.hex()
        self.notes_file = self.folder / "notes"

    def enrol(self, store):
        listeners.enrol(store, self.key, self.name, USER)

    def begin(self):
        hasty = ["--hasty"] if self.is_hasty else []
        self.program = Program(
            [sys.executable, NOTING, self.notes_file, *hasty, "listen", "--bundle",
             self.folder / "bundle", "--jsonl", "--state", self.state, "--air", self.air]
        )  # fmt: skip

    def wait(self):
        self.program.wait_for('"radio": ')

    def kill(self):
        self.program.stop(signal.SIGKILL)

    def notes(self):
        """Return what it noted so far."""
        notes = Notes(self.key)
        text = self.notes_file.read_text() if self.notes_file.exists() else ""
        for line in text.splitlines():
            notes.add(json.loads(line))
        return notes


@dataclass
class Notes:
    """What one listener noted. sealed: by content id, its frames; kept: written or taken."""

    key: str
    sealed: dict = field(default_factory=dict)
    written: set = field(default_factory=set)
    taken: set = field(default_factory=set)

    def add(self, note):
        if "sealed" in note:
            self.sealed[note["sealed"]] = note["frames"]
        elif "written" in note:
            self.written.add(note["written"])
        else:
            self.taken.add(note["taken"])

    @property
    def kept(self):
        return self.written | self.taken
