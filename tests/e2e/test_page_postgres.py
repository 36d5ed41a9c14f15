"""Accounts, sessions and pages over a real PostgreSQL, as over the default."""

from fanal.hub import accounts, config, sessions
from fanal.hub.hub import Hub
from fanal.hub.store import Store
from fanal.hub.web.app import create_app
from httpx import ASGITransport, AsyncClient

from tests.unit.paper_incidents import NOW_MS, a_situation
from tests.unit.paper_web import CHEAP, PASSWORD


async def test_a_login_an_incident_and_an_action(postgres_url, tmp_path, monkeypatch):
    monkeypatch.setattr(accounts, "_HASHER", CHEAP)
    with Store(postgres_url, lambda: NOW_MS) as store:
        made = a_situation(store)
        accounts.add(store, "chief", "officer", PASSWORD)
        for name in ("chief\x00", "\ud800", "nobody"):
            assert accounts.check(store, name, "x\x00") is None
        app = create_app(Hub(store, config.parse("", tmp_path)))
        client = AsyncClient(transport=ASGITransport(app), base_url="http://127.0.0.1:8060")
        async with client:
            login = {"name": "chief", "password": PASSWORD}
            assert (await client.post("/login", data=login)).headers["location"] == "/"
            csrf = (await client.get("/api/v1/session")).json()["csrf"]
            for path in ("/", "/listeners", "/account", *(f"/incidents/{n}" for n in made.values()),
                         "/api/v1/health", f"/api/v1/incidents/{made['alert']}"):  # fmt: skip
                assert (await client.get(path)).status_code == 200, path
            done = await client.post(f"/incidents/{made['alert']}/acknowledge", data={"csrf": csrf})
            assert done.status_code == 303
            token = client.cookies["fanal"]
            accounts.disable(store, "chief")
            assert sessions.find(store, token) is None
            assert (await client.get("/")).status_code == 303
        (user,) = accounts.users(store)
        assert sessions.begin(store, user) is None
        accounts.enable(store, "chief")
        (user,) = accounts.users(store)
        for _ in range(25):
            assert sessions.begin(store, user) is not None
