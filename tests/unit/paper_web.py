"""A hub's web application without a socket: visitors, and an intake that only notes."""

import functools
import re
from concurrent.futures import Future

import argon2
import httpx
from fanal.hub import config, sessions
from fanal.hub.accounts import user_of
from fanal.hub.hub import Hub
from fanal.hub.tables import UserRow
from fanal.hub.web.app import create_app

from tests.unit.paper_incidents import NOW_MS, a_store

BASE = "http://127.0.0.1:8060"
PASSWORD = "four words in a row"


CHEAP = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@functools.cache
def cheap_hash():
    """Return PASSWORD's hash, at a cost that a thousand tests can pay."""
    return CHEAP.hash(PASSWORD)


class PaperIntake:
    """Takes everything, or answers each delivery as `answer` says: an exception to raise."""

    def __init__(self):
        self.taken, self.answer = [], None

    def submit(self, data, source):
        self.taken.append((data, source))
        future = Future()
        if self.answer is None:
            future.set_result(None)
        else:
            future.set_exception(self.answer)
        return future


class PaperWeb:
    """An application over an empty store, with a user of each role: guest, duty, chief."""

    def __init__(self, folder, toml="", **parts):
        self.store = a_store(folder)
        self.intake = PaperIntake()
        self.hub = Hub(self.store, config.parse(toml, folder), intake=self.intake, **parts)
        self.app = create_app(self.hub)
        self.users = {}
        with self.store.writing() as session:
            for name, role in (("guest", "viewer"), ("duty", "responder"), ("chief", "officer")):
                row = UserRow(name=name, role=role, password=cheap_hash(), created_ms=NOW_MS,
                              is_disabled=False)  # fmt: skip
                session.add(row)
                self.users[name] = user_of(row)

    def visitor(self, name=None, address="192.0.2.7", **more):
        """Return a client, logged in as `name` if one is given."""
        transport = httpx.ASGITransport(self.app, client=(address, 4711), **more)
        base = self.hub.config.public_url
        client = httpx.AsyncClient(transport=transport, base_url=base)
        if name is not None:
            session = sessions.begin(self.store, self.users[name])
            client.cookies.set(cookie(self), session.token)
            client.headers["x-csrf-token"] = session.csrf
        return client


def cookie(web):
    """Return the name of the session's cookie."""
    return "__Host-fanal" if web.hub.config.is_https else "fanal"


def text_of(page):
    """Return what a person reads of a page's main part, spaces made one."""
    main = page.text.split("<main", 1)[1].split("</main>", 1)[0]
    return " ".join(re.sub(r"<[^>]*>", " ", main.split(">", 1)[1]).split())
