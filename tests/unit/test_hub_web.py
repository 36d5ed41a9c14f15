"""The hub's doors: nothing without a login, no change without a token, no way out to elsewhere."""

import asyncio

import pytest
from fanal.error import EnvironmentFault
from fanal.hub import accounts, sessions
from fanal.hub.tables import ActionRow, SessionRow
from fanal.hub.web import login as web_login
from fanal.hub.web.guard import safe_next
from fastapi.routing import APIRoute
from sqlalchemy import select

from tests.unit.paper_incidents import add_beacon, add_incident
from tests.unit.paper_web import CHEAP, PASSWORD, PaperWeb, cookie, text_of

OPEN = {"/deliver", "/health", "/login"}


@pytest.fixture(autouse=True)
def cheap(monkeypatch):
    monkeypatch.setattr(accounts, "_HASHER", CHEAP)
    accounts._nobodys.cache_clear()
    yield
    accounts._nobodys.cache_clear()


@pytest.fixture
def web(tmp_path):
    return PaperWeb(tmp_path)


def routes(web):
    """Return (method, path) of everything that the application serves, with numbers filled in."""
    found = set()
    for route in _flat(web.app.routes):
        path = route.path.replace("{number}", "1").replace("{key:path}", "K7Q2-9XMD")
        found |= {(method, path) for method in route.methods}
    return sorted(found)


def _flat(those):
    for route in those:
        if isinstance(route, APIRoute):
            yield route
        elif hasattr(route, "original_router"):
            yield from _flat(route.original_router.routes)


def test_all_routes_are_found(web):
    found = routes(web)
    assert ("POST", "/deliver") in found
    assert ("POST", "/incidents/1/close") in found
    assert ("GET", "/api/v1/openapi.json") in found
    assert len(found) >= 30


async def test_nothing_is_served_without_a_login_but_what_is_named(web):
    async with web.visitor() as stranger:
        for method, path in routes(web):
            if path in OPEN:
                continue
            answer = await stranger.request(method, path)
            if path.startswith("/api/"):
                assert (answer.status_code, answer.json()["error"]) == (401, "login"), path
            elif path == "/live":
                assert answer.status_code == 401
            else:
                assert answer.status_code == 303, path
                assert answer.headers["location"].startswith("/login"), path
        for path in ("/nothing", "/api/v1/nothing", "/static", "//login", "/login/", "/LOGIN",
                     "/docs", "/openapi.json", "/redoc", "/deliver/", "/live"):  # fmt: skip
            assert (await stranger.get(path)).status_code in (303, 401), path


@pytest.mark.parametrize(
    "path", ["/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py",
             "/static//etc/passwd", "/static/", "/static/fanal.js/../../document.py",
             "/static/%00"],
)  # fmt: skip
async def test_static_files_are_those_of_one_folder(web, path):
    async with web.visitor() as stranger:
        request = stranger.build_request("GET", "http://127.0.0.1:8060/")
        request.url = request.url.copy_with(raw_path=path.encode())
        assert (await stranger.send(request)).status_code in (303, 404)


async def test_no_cookie_of_another_kind_is_a_session(web):
    with web.store.reading() as session:
        assert session.scalars(select(SessionRow)).all() == []
    begun = sessions.begin(web.store, web.users["chief"])
    with web.store.reading() as session:
        stored = session.scalars(select(SessionRow.token)).one()
    for token in (stored, begun.csrf, begun.token[:-1], begun.token + "x", '"', "é".encode()):
        async with web.visitor() as stranger:
            raw = token if isinstance(token, bytes) else token.encode()
            answer = await stranger.get("/", headers={b"cookie": b"fanal=" + raw})
            assert answer.status_code == 303, token


async def test_every_change_takes_the_token_of_its_session(web):
    other = sessions.begin(web.store, web.users["chief"]).csrf
    for method, path in routes(web):
        if method == "GET" or path in OPEN:
            continue
        for token in ("", "x", other, "\u00e9"):
            async with web.visitor("chief") as chief:
                chief.headers.pop("x-csrf-token")
                if path.startswith("/api/"):
                    answer = await chief.post(path, headers={"x-csrf-token": token.encode()},
                                            json={})  # fmt: skip
                    assert (answer.status_code, answer.json()["error"]) == (403, "csrf"), path
                else:
                    answer = await chief.post(path, data={"csrf": token})
                    assert answer.status_code == 403, path
                    assert "not of this session" in answer.text, path
    with web.store.reading() as session:
        assert session.scalars(select(ActionRow)).all() == []


@pytest.mark.parametrize(
    "headers",
    [{"origin": "https://evil.example"}, {"origin": "null"}, {"origin": "http://127.0.0.1:8061"},
     {"origin": "http://[::1"}, {"origin": "file://127.0.0.1:8060"},
     {"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}, {"origin": "http://127.0.0.1:8060.evil.example"}],
)  # fmt: skip
async def test_no_other_site_changes_anything_even_with_the_token(web, headers):
    add_beacon(web.store, "K7Q29XMD")
    number = add_incident(web.store, "K7Q29XMD")
    async with web.visitor("chief") as chief:
        csrf = {"csrf": chief.headers["x-csrf-token"]}
        for path, more in (
            (f"/incidents/{number}/acknowledge", {"data": csrf}),
            (f"/api/v1/incidents/{number}/acknowledge", {}),
            ("/login", {"data": {"name": "chief", "password": PASSWORD}}),
            ("/logout", {"data": csrf}),
        ):
            answer = await chief.post(path, headers=headers, **more)
            assert answer.status_code == 403, path
            assert "set-cookie" not in answer.headers
        assert (await chief.get("/", headers=headers)).status_code == 200
    with web.store.reading() as session:
        assert [one.what for one in session.scalars(select(ActionRow))] == ["opened"]


@pytest.mark.parametrize("origin", ["https://hub.example", "http://127.0.0.1:8060"])
async def test_the_page_itself_may_whatever_a_proxy_makes_of_the_host(tmp_path, origin):
    web = PaperWeb(tmp_path, '[hub]\npublic_url = "https://hub.example"\nbehind_proxy = true\n')
    async with web.visitor("chief") as chief:
        answer = await chief.post("/logout", data={"csrf": chief.headers["x-csrf-token"]},
                                headers={"origin": origin, "host": "127.0.0.1:8060"})  # fmt: skip
        assert answer.headers["location"] == "/login"


@pytest.mark.parametrize(
    "path", ["/", "/listeners", "/account", "/nothing", "/login", "/incidents/1",
             "/static/fanal.js", "/api/v1/session", "/api/v1/nothing"],
)  # fmt: skip
async def test_every_answer_keeps_a_browser_at_home(web, path):
    async with web.visitor("chief") as chief:
        headers = (await chief.get(path)).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == ("no-cache" if path.startswith("/static") else "no-store")
    assert "server" not in headers


async def test_pages_hold_no_script_or_style_of_their_own_and_nothing_from_elsewhere(web):
    async with web.visitor("chief") as chief:
        for path in ("/", "/listeners", "/account", "/nothing", "/login"):
            page = (await chief.get(path)).text
            assert page.count("<script") == page.count('<script src="/static/fanal.js"')
            assert "<style" not in page
            assert " style=" not in page
            assert "://" not in page
            assert " on" not in page.replace(" on ", "").split("<body", 1)[1].split(">", 1)[0]


# logging in


async def log_in(client, name="chief", password=PASSWORD, **more):
    return await client.post("/login", data={"name": name, "password": password, **more})


async def test_a_login_makes_a_session_and_a_logout_ends_it(web):
    async with web.visitor() as chief:
        answer = await log_in(chief, "Chief")
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        kept = answer.headers["set-cookie"].lower()
        assert "httponly" in kept
        assert "samesite=lax" in kept
        assert "domain" not in kept
        token = chief.cookies["fanal"]
        page = await chief.get("/account")
        csrf = page.text.split('name="csrf" value="', 1)[1].split('"', 1)[0]
        assert (await chief.post("/logout", data={"csrf": csrf})).status_code == 303
        assert "fanal" not in chief.cookies
        chief.cookies.set("fanal", token)
        assert (await chief.get("/")).status_code == 303


async def test_by_https_no_other_host_can_set_the_cookie(tmp_path):
    web = PaperWeb(tmp_path, '[hub]\npublic_url = "https://hub.example"\nbehind_proxy = true\n')
    async with web.visitor() as chief:
        answer = await log_in(chief)
        kept = answer.headers["set-cookie"]
        assert kept.startswith("__Host-fanal=")
        assert "Secure" in kept
        assert "Path=/" in kept
        assert answer.headers["strict-transport-security"].startswith("max-age=")
        assert (await chief.get("/")).status_code == 200


async def test_a_cookie_from_before_the_login_is_worth_nothing_after_it(web):
    async with web.visitor() as chief:
        chief.cookies.set("fanal", "x" * 43)
        await log_in(chief)
        held = {one.value for one in chief.cookies.jar}
        assert held != {"x" * 43}
        assert sessions.find(web.store, "x" * 43) is None


async def test_what_was_wrong_is_not_told(web):
    accounts.disable(web.store, "guest")
    pages = []
    async with web.visitor() as stranger:
        for name, password in (("chief", "wrong wrong wrong"), ("nobody", PASSWORD),
                               ("guest", PASSWORD), ("", "")):  # fmt: skip
            answer = await log_in(stranger, name, password)
            assert answer.status_code == 403
            assert "set-cookie" not in answer.headers
            pages.append(text_of(answer))
    assert len(set(pages)) == 1
    assert PASSWORD not in pages[0]


async def test_guessing_a_name_is_slowed_from_anywhere(web):
    for number in range(5):
        async with web.visitor(address=f"198.51.100.{number}") as stranger:
            assert (await log_in(stranger, "chief", "wrong wrong wrong")).status_code == 403
    async with web.visitor(address="203.0.113.1") as stranger:
        answer = await log_in(stranger, "CHIEF")
        assert answer.status_code == 429
        assert 1 <= int(answer.headers["retry-after"]) <= 60
        assert "Wait" in text_of(answer)
        assert (await log_in(stranger, "duty")).status_code == 303


async def test_strangers_do_not_keep_a_responder_out(web):
    async with web.visitor(address="203.0.113.1") as chief:
        assert (await log_in(chief)).status_code == 303
    for number in range(9):
        async with web.visitor(address=f"198.51.100.{number}") as stranger:
            await log_in(stranger, "chief", "wrong wrong wrong")
    async with web.visitor(address="203.0.113.1") as chief:
        assert (await log_in(chief)).status_code == 303


async def test_guessing_from_one_address_is_slowed_whatever_the_name(web):
    async with web.visitor() as stranger:
        for number in range(5):
            assert (await log_in(stranger, f"user{number}", "wrong")).status_code == 403
        assert (await log_in(stranger)).status_code == 429


async def test_so_many_passwords_are_checked_at_once_and_no_more(web, monkeypatch):
    at_once, most = [0], [0]
    held = asyncio.Event()
    loop = asyncio.get_running_loop()

    def slow(store, name, password):
        at_once[0] += 1
        most[0] = max(most[0], at_once[0])
        asyncio.run_coroutine_threadsafe(held.wait(), loop).result()
        at_once[0] -= 1

    monkeypatch.setattr(accounts, "check", slow)
    porter = web.app.state.porter

    async def one(number):
        async with web.visitor(address=f"198.51.100.{number}") as stranger:
            return (await log_in(stranger, f"user{number}")).status_code

    tries = [asyncio.create_task(one(number)) for number in range(30)]
    while sum(task.done() for task in tries) < 30 - web_login._MOST_WAITING:
        await asyncio.sleep(0)
    assert {task.result() for task in tries if task.done()} == {503}
    held.set()
    assert sorted(await asyncio.gather(*tries)) == [403] * 16 + [503] * 14
    assert most[0] == 2
    assert porter._waiting == 0


@pytest.mark.parametrize(
    "asked",
    ["https://evil.example", "//evil.example", "/\\evil.example", "\\\\evil.example", "/\t/evil",
     "", "/ /evil", "javascript:alert(1)", "/login", "/logout", "/live", "/api/v1/session",
     "/\u00e9", "/" + "x" * 600, "/\r\nset-cookie: a=b", "incidents/1"],
)  # fmt: skip
async def test_a_login_leads_nowhere_else(web, asked):
    assert safe_next(asked) == "/"
    async with web.visitor() as chief:
        page = await chief.get("/login", params={"next": asked})
        assert 'name="next" value="/"' in page.text
        answer = await log_in(chief, next=asked)
        assert answer.headers["location"] == "/"


async def test_a_login_leads_back_to_where_it_was_asked_for(web):
    add_beacon(web.store, "K7Q29XMD")
    add_incident(web.store, "K7Q29XMD")
    async with web.visitor() as chief:
        sent = (await chief.get("/incidents/1?before=1-1")).headers["location"]
        page = await chief.get(sent)
        assert 'name="next" value="/incidents/1?before=1-1"' in page.text
        answer = await log_in(chief, next="/incidents/1?before=1-1")
        assert answer.headers["location"] == "/incidents/1?before=1-1"


async def test_a_form_that_is_none_is_refused(web):
    async with web.visitor() as stranger:
        for body, kind, status in (
            (b"{}", "application/json", 415), (b"x", "multipart/form-data; boundary=x", 415),
            (b"a=" + b"&a=" * 50, "application/x-www-form-urlencoded", 400),
            (b"name=\xff", "application/x-www-form-urlencoded", 400),
            (b"name=" + b"a" * 70_000, "application/x-www-form-urlencoded", 413),
        ):  # fmt: skip
            answer = await stranger.post("/login", content=body, headers={"content-type": kind})
            assert answer.status_code == status
            assert "<h1>" in answer.text


async def test_ones_own_password_takes_the_old_one_and_ends_all_logins(web):
    new = "another one, and long"
    async with web.visitor("chief") as here, web.visitor("chief") as there:
        csrf = here.headers["x-csrf-token"]

        async def change(password, first, again):
            return await here.post(
                "/account/password",
                data={"csrf": csrf, "password": password, "new": first, "again": again},
            )

        assert (await change("wrong wrong wrong", new, new)).status_code == 403
        assert "two ways" in (await change(PASSWORD, new, new + "x")).text
        assert (await change(PASSWORD, "short", "short")).status_code == 422
        assert (await there.get("/")).status_code == 200
        assert (await change(PASSWORD, new, new)).headers["location"] == "/login"
        assert (await here.get("/")).status_code == 303
        assert (await there.get("/")).status_code == 303
    assert accounts.check(web.store, "chief", new) is not None


async def test_a_session_cookie_is_no_oracle_for_a_password(web):
    async with web.visitor("chief") as chief:
        csrf = chief.headers["x-csrf-token"]
        got = [
            (await chief.post("/account/password",
                            data={"csrf": csrf, "password": f"guess number {n}"})).status_code
            for n in range(7)
        ]  # fmt: skip
    assert got == [403] * 5 + [429] * 2


async def test_a_disabled_user_is_out_at_the_next_click(web):
    async with web.visitor("duty") as duty:
        assert (await duty.get("/")).status_code == 200
        accounts.disable(web.store, "duty")
        assert (await duty.get("/")).status_code == 303


async def test_a_page_that_asks_by_itself_is_told_so_and_keeps_nobody_in(web):
    async with web.visitor("chief") as chief:
        token = chief.cookies[cookie(web)]
        web.store.clock[0] += sessions.IDLE_MS
        assert (await chief.get("/", headers={"fanal-live": "1"})).status_code == 200
        web.store.clock[0] += 1
        assert (await chief.get("/", headers={"fanal-live": "1"})).status_code == 401
        assert sessions.find(web.store, token) is None


# what fails


async def test_a_database_that_fails_is_said_in_one_sentence(web):
    def broken(*args, **kwargs):
        raise EnvironmentFault("The hub's database cannot be used.", "Look at its disk.")

    async with web.visitor("chief") as chief:
        web.store.reading = broken
        page = await chief.get("/")
        assert (page.status_code, page.headers["retry-after"]) == (503, "5")
        assert "cannot be used. Look at its disk." in text_of(page)
        answer = await chief.get("/api/v1/session")
        assert (answer.status_code, answer.json()["error"]) == (503, "environment")


async def test_what_nobody_foresaw_shows_nothing_of_it(web, monkeypatch):
    def broken(store):
        raise ValueError("a secret of 32 bytes")

    monkeypatch.setattr("fanal.hub.web.condition.ears", broken)
    async with web.visitor("chief", raise_app_exceptions=False) as chief:
        page = await chief.get("/")
        assert page.status_code == 500
        assert "secret" not in page.text
        assert "Traceback" not in page.text
        answer = await chief.get("/api/v1/health")
        assert answer.json()["error"] == "failed"


@pytest.mark.parametrize(
    "path", ["/nothing", "/incidents/999", "/incidents/x", "/incidents/-1", "/?show=nothing",
             "/incidents/99999999999999999999", "/?kind=alert", "/incidents/%00"],
)  # fmt: skip
async def test_what_is_not_there_is_a_page_with_one_sentence(web, path):
    async with web.visitor("chief") as chief:
        page = await chief.get(path)
    assert page.status_code == 404
    assert page.text.count("<h1>") == 1
    assert 'href="/"' in page.text


async def test_a_part_of_a_list_that_is_none_is_refused(web):
    async with web.visitor("chief") as chief:
        for before in ("x", "-", "1-", "1-x", "9" * 40, "1-1;", "\u0661-1"):
            assert (await chief.get("/", params={"before": before})).status_code == 422


async def test_a_method_that_is_none_is_refused(web):
    async with web.visitor("chief") as chief:
        for method, path in (("PUT", "/"), ("DELETE", "/incidents/1"), ("POST", "/listeners"),
                             ("TRACE", "/"), ("GET", "/incidents/1/close")):  # fmt: skip
            assert (await chief.request(method, path)).status_code in (404, 405)
