"""Real services for tests: a Mosquitto and a PostgreSQL of this test run's own.

`mosquitto` gives a `Broker`, `postgres_url` the URL of an empty database, `postgres` the server
that has it. Nothing of the system's own services is touched. Where a program is missing, the
tests skip and say which.
"""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import uuid
from pathlib import Path

import psycopg
import pytest

from tests.unit.paper_server import HOST, Authority

PATIENCE_S = 60.0  # for a program to start or to stop, on a busy machine
_POSTGRES_BIN = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: float(p.parts[-2]))


class Program:
    """A child process whose output is read as it comes. as_user: who it runs as, None for us."""

    def __init__(self, command, as_user=None):
        who = {} if as_user is None else {"user": as_user, "group": as_user, "extra_groups": []}
        self.lines, self._heard = [], threading.Condition()
        self._process = subprocess.Popen(
            [str(part) for part in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors="replace", cwd="/", **who,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self):
        return self._process.pid

    @property
    def is_running(self):
        return self._process.poll() is None

    def wait_for(self, text, since=0, count=1):
        """Wait for lines of output that hold `text`; AssertionError if it ends without."""
        with self._heard:
            self._heard.wait_for(
                lambda: self._said(text, since) >= count or self._ended, PATIENCE_S
            )
            assert self._said(text, since) >= count, f"no {text!r} in:\n" + "\n".join(self.lines)

    def stop(self, how=signal.SIGTERM):
        """Send a signal, and return when the program is gone."""
        if self.is_running:
            self._process.send_signal(how)
        self._process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        self._process.stdout.close()

    _ended = False

    def _said(self, text, since):
        return sum(text in line for line in self.lines[since:])

    def _read(self):
        for line in self._process.stdout:
            with self._heard:
                self.lines.append(line.rstrip("\n"))
                self._heard.notify_all()
        with self._heard:
            self._ended = True
            self._heard.notify_all()


class Broker:
    """A Mosquitto on two ports of this computer: one plain, one with TLS.

    url, tls_url: mqtt://127.0.0.1:PORT and mqtts://127.0.0.1:PORT. ca_pem: what the latter's
    certificate is signed by. more: lines of mosquitto.conf for both listeners. saves_after: how
    many changes until what it holds survives `kill`, None for never. It is not started.
    """

    def __init__(self, folder, more="allow_anonymous true\n", address=HOST, saves_after=1):
        authority = Authority(folder)
        authority.server_context(address)
        self.ca_pem = authority.path.read_text()
        self.port, self.tls_port = free_ports(2)
        self.url, self.tls_url = f"mqtt://{HOST}:{self.port}", f"mqtts://{HOST}:{self.tls_port}"
        secret = folder / f"server-{address}-1.pem"
        self._config = folder / "mosquitto.conf"
        self._config.write_text(
            f"{'user root' if os.getuid() == 0 else ''}\n"
            f"persistence true\npersistence_location {folder}/\n"
            f"autosave_on_changes true\nautosave_interval {saves_after or 0}\n"
            "max_queued_messages 0\n"
            f"log_dest stderr\nlog_type all\n{more}\n"
            f"listener {self.port} {HOST}\n"
            f"listener {self.tls_port} {HOST}\n"
            f"cafile {authority.path}\ncertfile {secret}\nkeyfile {secret}\n"
        )
        self._program = None

    @property
    def lines(self):
        """What it has logged since it was last started."""
        return self._program.lines

    def start(self):
        """Start it, and return when it takes connections."""
        program = mosquitto_program()
        self._program = Program([program, "-c", self._config])
        self._program.wait_for(" running")

    def wait_for(self, text, since=0, count=1):
        """Wait for so many lines of its log."""
        self._program.wait_for(text, since, count)

    def kill(self):
        """End it as a cut of power would (SIGKILL)."""
        self.stop(signal.SIGKILL)

    def stop(self, how=signal.SIGTERM):
        """End it in order."""
        if self._program is not None:
            self._program.stop(how)

    def pause(self):
        """Let it hear nothing and say nothing, with all connections open (SIGSTOP)."""
        os.kill(self._program.pid, signal.SIGSTOP)

    def go_on(self):
        """Let it run again after `pause`."""
        os.kill(self._program.pid, signal.SIGCONT)


class Postgres:
    """A PostgreSQL in a folder of its own, reached through a socket in it. It is not started."""

    def __init__(self, folder):
        if not _POSTGRES_BIN:
            pytest.skip("needs PostgreSQL (Debian: postgresql)")
        self._folder, self._program = folder, None
        self._user = "postgres" if os.getuid() == 0 else None  # it refuses to run as root
        if self._user:
            shutil.chown(folder, self._user, self._user)
        made = Program(
            [_POSTGRES_BIN[-1] / "initdb", "-D", folder / "data", "-U", "fanal", "-A", "trust",
             "-E", "UTF8", "--locale=C", "--no-sync"], self._user,
        )  # fmt: skip
        made.wait_for("Success.")
        made.stop()

    def start(self):
        """Start it, and return when it takes connections."""
        settings = {"listen_addresses": "", "unix_socket_directories": self._folder,
                    "shared_buffers": "16MB", "max_connections": "50", "max_wal_size": "64MB",
                    "fsync": "on", "autovacuum": "off"}  # fmt: skip
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        self._program = Program(
            [_POSTGRES_BIN[-1] / "postgres", "-D", self._folder / "data", *options], self._user
        )
        self._program.wait_for("ready to accept connections")

    def kill(self):
        """End it as a crash would: no checkpoint, every connection cut (SIGQUIT)."""
        self.stop(signal.SIGQUIT)

    def stop(self, how=signal.SIGINT):
        """End it in order, whoever is connected."""
        if self._program is not None:
            self._program.stop(how)

    def url(self, database):
        """Return the URL of a database of this server."""
        return f"postgresql://fanal@/{database}?host={self._folder}"

    def create(self):
        """Make an empty database and return its name."""
        name = f"test_{uuid.uuid4().hex[:12]}"
        self._say(f"CREATE DATABASE {name}")
        return name

    def drop(self, name):
        """Remove a database, whoever is connected to it; it may stay if the server is down."""
        if self._program.is_running:
            self._say(f"DROP DATABASE {name} WITH (FORCE)")

    def _say(self, statement):
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement)


def mosquitto_program():
    """Return where Mosquitto is, or skip the test."""
    program = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        pytest.skip("needs mosquitto (Debian: mosquitto)")
    return program


def free_ports(count):
    """Return ports of this computer that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind((HOST, 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


@pytest.fixture
def mosquitto(tmp_path):
    """A running `Broker` that lets anybody in."""
    mosquitto_program()
    folder = tmp_path / "mosquitto"
    folder.mkdir()
    broker = Broker(folder)
    try:
        broker.start()
        yield broker
    finally:
        broker.kill()


@pytest.fixture(scope="session")
def postgres_server():
    """One running `Postgres` for all tests of this process."""
    folder = Path(tempfile.mkdtemp(prefix="fanal-postgres-"))
    server = None
    try:
        server = Postgres(folder)
        server.start()
        yield server
    finally:
        if server is not None:
            server.kill()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres(postgres_server):
    """The `Postgres` for a test that stops it; it runs again afterwards."""
    yield postgres_server
    postgres_server.stop()
    postgres_server.start()


@pytest.fixture
def postgres_url(postgres_server):
    """The URL of an empty database of the test's own."""
    name = postgres_server.create()
    yield postgres_server.url(name)
    postgres_server.drop(name)
