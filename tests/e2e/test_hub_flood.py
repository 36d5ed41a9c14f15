"""A real hub in a flood of strangers: a true alert comes through, and the hub stays small.

What is sent costs its sender nothing but the bundle. There is no time in here but the patience of
a socket: without the mends that this is about, the answers do not come at all.
"""

import http.client
import json
import os
import re
import resource
import socket
import struct
import subprocess
import sys
import time
from contextlib import ExitStack, closing

import pytest
from fanal import envelope
from fanal.hub import accounts, founding, sessions
from fanal.hub.keys import HubKeyring, seal_anchor
from fanal.hub.store import Store
from fanal.hub.tables import ListenerRow
from fanal.hub.web import deliver, lobby

from tests.unit.paper_beacon import PaperBeacon, heard
from tests.unit.paper_listener import HERE, SEALING, PaperListener, beacon_row

PASSPHRASE = "correct horse battery staple"
HOST, HOME, ELSEWHERE = "127.0.0.1", "127.0.0.50", "127.0.0.60"
PATIENCE_S = 20
FILES = lobby.MOST_OPEN + 80  # that the hub may have open
CROWD = [f"127.0.1.{n}" for n in range(1, 21)]
AGE = b"age-encryption.org/v1\n"
BOMBS = [AGE + b"-> " + b"a " * 100_000, AGE + b"-> a\n" + (b"A" * 64 + b"\n") * 3000]


class Flooded:
    """A hub with one listener of its own, as `fanal hub run` runs it."""

    def __init__(self, folder):
        founding.found(folder / "hub", PASSPHRASE)
        keyring = HubKeyring.unlock(folder / "hub", PASSPHRASE)
        keyring.keep_sealing(SEALING)
        self.own, self.stranger = (
            PaperListener(number, started_ms=now_ms() - 60_000, position=HERE) for number in (1, 2)
        )
        self.beacon, self.events = PaperBeacon(1), 0
        with Store(f"sqlite:///{folder / 'hub' / 'hub.db'}") as store:
            with store.writing() as session:
                row = beacon_row(self.beacon, "carried", "shelter-3")
                row.anchor = seal_anchor(keyring.keys().storage, row.id, 1, self.beacon.key(1))
                session.add_all([row, own_listener(self.own.key)])
            user = accounts.add(store, "chief", accounts.OFFICER, "four words in a row")
            self.token = sessions.begin(store, user).token
        self.log = folder / "log"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "fanal", "hub", "run", "--hub", folder / "hub",
                 "--bind", f"{HOST}:0"],
                env={**os.environ, "FANAL_PASSPHRASE": PASSPHRASE}, stdout=log, stderr=log,
                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES)),
            )  # fmt: skip
        self.port = self._port()

    def _port(self):
        while self._process.poll() is None:
            if found := re.search(r"The hub is at http://127.0.0.1:(\d+)", self.log.read_text()):
                return int(found[1])
            time.sleep(0.02)
        raise AssertionError(self.log.read_text())

    def stop(self):
        self._process.terminate()
        return self._process.wait(PATIENCE_S)

    def ask(self, method, path, body=None, source=HOME, **headers):
        caller = http.client.HTTPConnection(
            HOST, self.port, timeout=PATIENCE_S, source_address=(source, 0)
        )
        with closing(caller):
            caller.request(method, path, body, headers)
            answer = caller.getresponse()
            return answer.status, answer.read()

    def deliver(self, data, source=HOME):
        kind = {"Content-Type": "application/octet-stream"}
        return self.ask("POST", "/deliver", data, source, **kind)[0]

    def alert(self, listener, source):
        """Let a listener deliver a new event; return the status, and that it is shown."""
        self.events += 1
        data = listener.heard(heard(self.beacon.alert(self.events), now_ms()))
        status = self.deliver(data, source)
        while status == 204:
            answer = json.loads(
                self.ask("GET", "/api/v1/incidents", Cookie=f"fanal={self.token}")[1]
            )
            if self.events in [one["event"] for one in answer["items"]]:
                break
            time.sleep(0.02)
        return status

    def call(self, source, data):
        caller = socket.create_connection((HOST, self.port), PATIENCE_S, source_address=(source, 0))
        caller.sendall(data)
        return caller

    def memory_mib(self):
        with open(f"/proc/{self._process.pid}/status") as status:
            return int(re.search(r"VmHWM:\s+(\d+)", status.read())[1]) >> 10


def now_ms():
    return time.time_ns() // 10**6


def own_listener(key):
    return ListenerRow(key=key, name="east gate", enrolled_ms=1, enrolled_by="chief",
                       first_received_ms=0, last_received_ms=0, radio="", queued=0, dropped={},
                       version="", is_lost=False)  # fmt: skip


def posted(length, path="/deliver", kind="application/octet-stream"):
    return (f"POST {path} HTTP/1.1\r\nHost: hub\r\nContent-Type: {kind}\r\n"
            f"Content-Length: {length}\r\n\r\n").encode()  # fmt: skip


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    hub = Flooded(tmp_path_factory.mktemp("flood"))
    yield hub
    assert hub.stop() == 0
    # nor is the log what fills the disk
    assert hub.log.stat().st_size < 4096, hub.log.read_text()[-2000:]


@pytest.fixture
def callers():
    with ExitStack() as stack:
        yield lambda caller: stack.enter_context(closing(caller))


@pytest.mark.parametrize("file", BOMBS)
def test_files_that_take_a_minute_to_read(hub, callers, file):
    data = envelope.MAGIC + struct.pack(">I", len(file)) + file
    for source in CROWD[:4]:
        callers(hub.call(source, posted(len(data)) + data))
    assert hub.alert(hub.own, HOME) == hub.alert(hub.stranger, ELSEWHERE) == 204
    assert hub.deliver(data, ELSEWHERE) == 400


def test_connections_that_only_are_there(hub, callers):
    for number in range(FILES + 100):
        callers(hub.call(CROWD[number % len(CROWD)], b"GET / HTTP/1.1\r\nHost: "))
    assert hub.alert(hub.own, HOME) == hub.alert(hub.stranger, ELSEWHERE) == 204


def test_deliveries_that_do_not_end_keep_out_strangers_and_not_the_fleets_own(hub, callers):
    assert hub.alert(hub.own, HOME) == 204
    slow = [callers(hub.call(CROWD[number % len(CROWD)], posted(200_000) + b"FANAL"))
            for number in range(deliver._MOST_OPEN + 20)]  # fmt: skip
    assert slow[-1].recv(12) == b"HTTP/1.1 503"
    assert hub.alert(hub.stranger, ELSEWHERE) == 503
    assert hub.alert(hub.own, HOME) == 204


def test_who_hangs_up_in_the_middle(hub):
    form = "application/x-www-form-urlencoded"
    for number in range(100):
        hub.call(CROWD[number % len(CROWD)], posted(50, "/login", form) + b"name=").close()
        hub.call(CROWD[number % len(CROWD)], b"\x16\x03 no HTTP at all\r\n\r\n").close()
    assert hub.alert(hub.own, HOME) == 204


def test_the_largest_deliveries_that_cannot_be_opened(hub):
    other = PaperListener(9, recipient=envelope.Opener(b"x" * 32).recipient)
    data = other.sealer._sealed("postmark", {"text": " " * 200_000})
    data = envelope.MAGIC + struct.pack(">I", len(data)) + data
    before = hub.memory_mib()
    for number in range(400):
        assert hub.deliver(data, CROWD[number % len(CROWD)]) == 400
    assert hub.alert(hub.own, HOME) == 204
    assert hub.memory_mib() - before < 50
