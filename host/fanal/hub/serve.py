"""One worker of a hub: takes in, resolves, tells, and serves the page, until it is told to stop.

Each part has a thread of its own and outlives the failures of the others: a database that is away
for a minute ends nothing, and what a part cannot do it says, once for each reason.
"""

import hashlib
import platform
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn

from fanal.envelope import Opener
from fanal.error import EnvironmentFault, FanalError
from fanal.hub import accounts, escalation, keys, sessions
from fanal.hub import config as configuration
from fanal.hub.channels import senders
from fanal.hub.config import Config
from fanal.hub.courier import Courier
from fanal.hub.foreign import read
from fanal.hub.hub import Hub
from fanal.hub.hub_log_checkpoint import checkpoint
from fanal.hub.inbox import Inbox
from fanal.hub.intake import Intake
from fanal.hub.keys import HubKeys
from fanal.hub.listener_health import watch_health
from fanal.hub.notices import Notices
from fanal.hub.resolving import Resolving
from fanal.hub.store import Store
from fanal.hub.subscriber import Subscriber
from fanal.hub.web import condition
from fanal.hub.web.app import create_app
from fanal.hub.web.lobby import MOST_OPEN_EACH, Lobby

Say = Callable[[str], None]

_WATCH_EVERY_S = 2.0
_SIGN_EVERY_MS = 60_000
_GOODBYE_S = 5
_DAY_MS = 24 * 3600 * 1000
_LOOPBACK = "127.0.0.1,::1"
_BACKLOG = 512
_ENDS = (signal.SIGINT, signal.SIGTERM)

INDEX_FILE = "rids.index"


def serve(
    folder: Path, passphrase: str, overrides: Mapping[str, str] | None = None, *, say: Say
) -> None:
    """Run the hub in `folder` until SIGINT or SIGTERM. say: takes a line for the person in charge.

    overrides: of hub.toml's [hub]. Raises FanalError if it cannot begin.
    """
    config = configuration.load(folder, overrides)
    held = keys.unlock(folder, passphrase)
    with ExitStack() as stack:
        store = stack.enter_context(Store(config.database))
        door = stack.enter_context(_listening(config.host, config.port))
        worker = Worker(store, config, held, _name(folder, config), say, folder / INDEX_FILE)
        stack.callback(worker.close)
        worker.start()
        port = door.getsockname()[1]
        say(f"The hub is at {config.public_url if config.port else f'http://127.0.0.1:{port}'}")
        if worker.hub.intake is None:
            say("No fleet was accepted yet, so nothing is taken in: see `fanal hub accept`.")
        if not accounts.users(store):
            say("Nobody may log in yet: `fanal hub user add NAME --role officer`.")
        app = create_app(worker.hub)
        each = None if config.behind_proxy else MOST_OPEN_EACH
        lobby = stack.enter_context(Lobby(door, app.state.regulars, most_each=each))
        _Server(_uvicorn(app, config)).run(sockets=[lobby])
        say("Stopping.")


class Worker:
    """Everything of a hub but the server of its page. `close` ends what `start` began."""

    def __init__(
        self, store: Store, config: Config, held: HubKeys, name: str, say: Say,
        index: Path | None = None,
    ) -> None:  # fmt: skip
        """name: of this worker, the same whenever it starts, another for each worker.

        index: see `recall`.
        """
        self._store, self._config, self._say = store, config, say
        self._stop, self._wake = threading.Event(), threading.Event()
        self._threads: list[threading.Thread] = []
        self._said: dict[str, str] = {}
        self._is_stuck = False
        self._signed_ms = 0
        self._log_key = held.log_key
        self._awake_since_ms = store.now_ms()
        self._notices = Notices.of(config, store)
        opener = None if held.sealing is None else Opener(held.sealing)
        intake = None
        if opener is not None:
            inbox = Inbox(store, opener, config.limits)
            intake = Intake(
                inbox, most_bytes=config.limits.intake_mib << 20, on_taken=self._wake.set
            )
        self.hub = Hub(store, config, held, opener, intake, self._notices.incident_changed)
        self._resolving = Resolving(
            store, held, name, changed=self._notices.incident_changed,
            late_ms=config.limits.late_days * _DAY_MS,
            on_trouble=lambda problem: self._tell("resolving", _sentence(problem)), index=index,
        )  # fmt: skip
        self._subscriber: Subscriber | None = None
        if config.mqtt is not None and intake is not None:
            self._subscriber = Subscriber(
                config.mqtt, intake, secret=held.storage, worker=name, now_ms=store.now_ms,
                foreign=_foreign(intake), on_state=lambda state: self._tell("MQTT", state),
            )  # fmt: skip

    def start(self) -> None:
        """Begin all that runs beside the page."""
        courier = Courier(self._store, senders(self._config, self._store.now_ms), self._say)
        self._begin("resolving", lambda: self._resolving.run(self._stop, self._wake))
        self._begin("courier", lambda: courier.run(self._stop))
        self._begin("watch", self._watch)
        if self._subscriber is not None:
            self._subscriber.start()

    def close(self) -> None:
        """Take nothing more, finish what was taken, and end."""
        if self._subscriber is not None:
            self._subscriber.close()
        if self.hub.intake is not None:
            self.hub.intake.close()
        self._stop.set()
        self._wake.set()
        for thread in self._threads:
            thread.join(_GOODBYE_S)
        self.sign()

    def sign(self) -> None:
        """Sign for the log, if it has grown; what stands in the way of that stops nothing else."""
        self._signed_ms = self._store.now_ms()
        problem = None
        try:
            checkpoint(self._store, self._log_key)
        except FanalError as why:
            # without a fleet there is nobody yet who could check it
            problem = None if why.code == "no_fleet" else f"It is not signed: {why.sentence}"
        except OSError as why:
            problem = f"The newest checkpoint is not kept outside of the hub: {why.strerror}."
        self._tell("log", problem)

    def _begin(self, name: str, work: Callable[[], object]) -> None:
        thread = threading.Thread(target=self._forever, args=(name, work), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _forever(self, name: str, work: Callable[[], object]) -> None:
        """Do some work until the end, whatever it stumbles over."""
        while not self._stop.is_set():
            try:
                work()
                if not self._stop.is_set():  # to be told to stop is no recovery
                    self._tell(name, None)
            except Exception as problem:  # noqa: BLE001 - a part that ends would end in silence
                self._tell(name, _sentence(problem))
            self._stop.wait(_WATCH_EVERY_S)

    def _watch(self) -> None:
        """Look once at who waits too long, and at which listener has fallen silent."""
        self._watch_inbox()
        now_ms = self._store.now_ms()
        self._awake_since_ms = min(self._awake_since_ms, now_ms)  # the clock may be set back
        sessions.set_back(self._store, now_ms)
        if abs(now_ms - self._signed_ms) >= _SIGN_EVERY_MS:
            self.sign()
        escalation.step(
            self._store, self._config.escalation.after_s, now_ms,
            changed=self._notices.incident_changed,
        )  # fmt: skip
        for change in watch_health(
            self._store, now_ms, self._notices.listener_changed, self._awake_since_ms
        ):
            self._say(f"Listener {change.name}: {change.what}.")

    def _watch_inbox(self) -> None:
        """Say, here and on open pages, when what comes in is not resolved, and when it is again."""
        stuck = condition.unresolved(self._store)
        if (stuck is not None) != self._is_stuck:
            self._is_stuck = stuck is not None
            with self._store.writing(shows=True):
                pass
        problem = None if stuck is None else "What comes in is not resolved; see the page."
        self._tell("inbox", problem)

    def _tell(self, part: str, problem: str | None) -> None:
        """Say what is wrong with a part, if it is news."""
        known = self._said.get(part)
        if problem == known:
            return
        if problem is None:
            del self._said[part]
            self._say(f"{part}: works again.")
        else:
            self._said[part] = problem
            self._say(f"{part}: {problem}")


def _sentence(problem: Exception) -> str:
    if isinstance(problem, FanalError):
        return problem.sentence
    return f"It failed in a way nobody foresaw ({type(problem).__name__})."


def _name(folder: Path, config: Config) -> str:
    """Return what a worker is called: the same whenever it starts, another one for each."""
    what = f"{platform.node()}\n{folder.absolute()}\n{config.host}\n{config.port}"
    return hashlib.sha256(what.encode()).hexdigest()[:12]


def _foreign(intake: Intake) -> Any:
    """Return what puts into the intake what gateways publish that people own already."""

    def take(topic: str, payload: bytes, received_ms: int) -> Any:
        heard = read(topic, payload)
        if heard is None:
            return None
        return intake.submit_foreign(heard.gateway, heard.payload, heard.rssi_dbm, received_ms)

    return take


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as problem:
        raise EnvironmentFault(
            f"The hub cannot listen at {host}, port {port}: {problem.strerror or problem}.",
            "It may run already, or another program has that port: choose another with --bind or"
            " in hub.toml.",
            code="port",
        ) from None


def _uvicorn(app: Any, config: Config) -> uvicorn.Config:
    # log_level: what strangers send that is no HTTP fills no disk
    return uvicorn.Config(
        app, log_config=None, log_level="error", access_log=False, server_header=False, ws="none",
        proxy_headers=config.behind_proxy, forwarded_allow_ips=_LOOPBACK,
        ssl_certfile=config.tls_cert, ssl_keyfile=config.tls_key,
        timeout_graceful_shutdown=_GOODBYE_S, backlog=_BACKLOG,
    )  # fmt: skip


class _Server(uvicorn.Server):
    """Ends the streams of open pages first, which it would wait for; and a signal is an end, not
    a death: uvicorn would raise it again, and nothing would be put away."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take SIGINT and SIGTERM as the wish to end."""
        before = {one: signal.signal(one, self.handle_exit) for one in _ENDS}
        try:
            yield
        finally:
            for one, handler in before.items():
                signal.signal(one, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        app: Any = self.config.app
        app.state.live.stop()
        super().handle_exit(sig, frame)
