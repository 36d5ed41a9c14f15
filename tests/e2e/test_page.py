"""The hub's page in a real Chromium: by keyboard alone, live, at 360 pixels, without script.

Skipped where Debian's chromium is missing.
"""

import shutil
import socket
import threading

import pytest
import uvicorn
from axe_playwright_python.sync_playwright import Axe
from fanal.hub import accounts, actions, sessions
from fanal.hub.tables import IncidentRow
from fanal.hub.web.app import create_app
from playwright.sync_api import Page, expect, sync_playwright

from tests.unit.paper_incidents import (
    NOW_MS,
    a_situation,
    add_beacon,
    add_incident,
    add_listener,
    fail_two_listeners,
)
from tests.unit.paper_web import CHEAP, PASSWORD, PaperWeb

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium here")

WIDE, PHONE = {"width": 1100, "height": 800}, {"width": 360, "height": 640}
PATHS = ("/", "/?show=replays", "/?show=closed", "/listeners", "/account", "/nothing")


class Served(PaperWeb):
    """A hub's page at a port of this computer, that can be stopped and started again."""

    def __init__(self, folder):
        super().__init__(folder)
        self.port = 0
        self.start()

    def start(self):
        """Serve, at the same port as before."""
        door = socket.create_server(("127.0.0.1", self.port))
        self.port = door.getsockname()[1]
        self.app = create_app(self.hub)
        self._server = uvicorn.Server(
            uvicorn.Config(self.app, log_config=None, access_log=False, ws="none")
        )
        self._thread = threading.Thread(target=self._server.run, args=([door],))
        self._thread.start()

    def stop(self):
        """Serve no more."""
        self.app.state.live.stop()
        self._server.should_exit = True
        self._thread.join()

    @property
    def url(self):
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"


@pytest.fixture(scope="module")
def chromium():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def web(tmp_path, monkeypatch):
    monkeypatch.setattr(accounts, "_HASHER", CHEAP)
    served = Served(tmp_path)
    yield served
    served.stop()
    served.store.close()


@pytest.fixture
def made(web):
    return a_situation(web.store)


@pytest.fixture
def opened(chromium, web):
    """Return what opens a page as a user; whatever the browser complains of fails the test."""
    contexts, said = [], []

    def open_as(name="chief", path="/", expected=(), **how) -> Page:
        context = chromium.new_context(**{"viewport": WIDE, "base_url": web.url} | how)
        contexts.append(context)
        context.set_default_timeout(20_000)
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: said.append(request.url)
                if not request.url.startswith(web.url) else None)  # fmt: skip
        if name is not None:
            token = sessions.begin(web.store, web.users[name]).token
            context.add_cookies([{"name": "fanal", "value": token, "url": web.url}])
        page.goto(path)
        return page

    yield open_as
    for context in contexts:
        context.close()
    # a page that is not there, or a hub that is not, is what some tests are about
    assert [line for line in said if "Failed to load resource" not in line] == []


def focused(page):
    """Return what has the focus, as a person would call it."""
    return page.evaluate(
        "(() => { const a = document.activeElement;"
        " return a.getAttribute('aria-label') || a.innerText || a.id || a.tagName; })()"
    ).strip()


def tab_to(page, what, most=60):
    """Press Tab until something whose text begins with `what` has the focus."""
    for _ in range(most):
        page.keyboard.press("Tab")
        if focused(page).startswith(what):
            return
    raise AssertionError(f"{most} times Tab did not reach {what!r}")


def test_everything_is_done_by_keyboard_alone(opened, web, made):
    page = opened(None, "/login")
    expect(page.get_by_label("Name")).to_be_focused()
    page.keyboard.type("Duty")
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Incidents")
    page.keyboard.press("Tab")
    assert focused(page) == "Skip to the content"
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()
    tab_to(page, "ALERT van-2")
    page.keyboard.press("Enter")
    expect(page).to_have_title("ALERT 6, open: van-2 – Fanal")
    tab_to(page, "Acknowledge this ALERT")
    page.keyboard.press("Enter")
    expect(page).to_have_title("ALERT 6, acknowledged: van-2 – Fanal")
    tab_to(page, "to")
    page.keyboard.type("guest")
    page.keyboard.press("Enter")
    expect(page.locator("#state")).to_contain_text("Assigned to guest")
    tab_to(page, "text")
    page.keyboard.type("On the way.")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator(".timeline")).to_contain_text("On the way.")
    tab_to(page, "reason-1")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator(".timeline")).to_contain_text("closed by duty: false alarm")
    tab_to(page, "Log out")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Log in")


def test_what_has_the_focus_can_be_seen(opened, made):
    page = opened("chief", "/incidents/6")
    for _ in range(12):
        page.keyboard.press("Tab")
        outline = page.evaluate(
            "(() => { const s = getComputedStyle(document.activeElement);"
            " return [s.outlineStyle, parseFloat(s.outlineWidth)]; })()"
        )
        assert outline[0] == "solid", focused(page)
        assert outline[1] >= 2


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_keep_the_rules_of_accessibility(opened, web, made, scheme):
    fail_two_listeners(web.store)
    page = opened("chief", color_scheme=scheme)
    for path in (*PATHS, *(f"/incidents/{number}" for number in made.values())):
        page.goto(path)
        found = Axe().run(page)
        assert found.violations_count == 0, (path, found.generate_report())
        assert page.locator("h1").count() == 1
    page = opened(None, "/login", color_scheme=scheme)
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


def test_nothing_scrolls_sideways_on_a_phone(opened, web, made):
    long = "Storehouse-of-the-harbour-authority-" * 3
    add_beacon(web.store, "00000000", site=long, place=long, revoked_ms=1, revoked_reason=long)
    number = add_incident(web.store, "00000000", assigned_to=long, signature="signed")
    actions.note(web.store, number, "chief", "x" * 2000)
    add_listener(web.store, f"mqtt:{long}")
    fail_two_listeners(web.store)
    page = opened("chief", viewport=PHONE)
    for path in (*PATHS, "/login", *(f"/incidents/{n}" for n in (*made.values(), number))):
        page.goto(path)
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= 360, path


def test_a_new_alert_shows_by_itself_and_is_said(opened, web, made):
    page = opened("duty")
    expect(page.locator("#link-state")).to_have_text("Live.")
    link = page.get_by_role("link", name="DRILL shelter-3")
    link.focus()
    at = link.bounding_box()["y"]
    number = add_incident(web.store, "K7Q29XMD", 77)
    row = page.locator(f"#incident-{number}")
    expect(row).to_contain_text("nobody has acknowledged it")
    expect(page.locator("#alarm")).to_have_text("New ALERT: shelter-3, room 12")
    expect(page).to_have_title("(3 ALERT) Incidents – Fanal")
    assert focused(page).startswith("DRILL")
    assert link.bounding_box()["y"] != at  # it moved down, and kept the focus
    add_incident(web.store, "K7Q29XMD", 78, kind="DRILL")
    expect(page.locator("#announce")).to_have_text("New DRILL: shelter-3, room 12")
    expect(page.locator("#alarm")).to_have_text("New ALERT: shelter-3, room 12")


def test_what_is_being_typed_stays(opened, web, made):
    page = opened("duty", f"/incidents/{made['alert']}")
    expect(page.locator("#link-state")).to_have_text("Live.")
    note = page.get_by_label("Note, at most")
    page.get_by_label("duplicate").check()
    note.fill("half a sen")
    page.evaluate("scrollTo(0, 200)")
    actions.acknowledge(web.store, made["alert"], "guest")
    expect(page.locator(".timeline")).to_contain_text("acknowledged by guest")
    expect(page.locator("#announce")).to_have_text("ALERT 6 changed: acknowledged")
    assert note.input_value() == "half a sen"
    assert page.get_by_label("duplicate").is_checked()
    assert focused(page) == "text"
    assert page.evaluate("scrollY") > 0
    page.keyboard.type("tence")
    assert note.input_value() == "half a sentence"


def test_what_is_marked_to_be_copied_stays_marked(opened, web, made):
    page = opened("duty", f"/incidents/{made['alert']}")
    expect(page.locator("#link-state")).to_have_text("Live.")
    page.evaluate("getSelection().selectAllChildren(document.querySelector('#map a'))")
    actions.note(web.store, made["alert"], "guest", "On the way.")
    expect(page.locator(".timeline")).to_contain_text("On the way.")
    assert page.evaluate("getSelection().toString()") == "48.13743 N, 11.57549 E"


def test_a_focus_whose_place_is_gone_is_not_lost(opened, web, made):
    page = opened("duty", f"/incidents/{made['alert']}")
    expect(page.locator("#link-state")).to_have_text("Live.")
    page.get_by_role("button", name="Acknowledge").focus()
    actions.acknowledge(web.store, made["alert"], "guest")
    expect(page.get_by_role("button", name="Acknowledge")).to_have_count(0)
    expect(page.locator("#main")).to_be_focused()


def test_what_is_an_open_alert_only_now_is_said(opened, web, made):
    page = opened("duty")
    expect(page.locator("#link-state")).to_have_text("Live.")
    add_incident(web.store, "3H0V5TZ1", 78, kind="DRILL")
    expect(page.locator("#announce")).to_have_text("New DRILL: van-2")
    with web.store.writing(shows=True) as session:
        session.get_one(IncidentRow, made["drill"]).kind = "ALERT"  # it is acknowledged
    expect(page.locator(f"#incident-{made['drill']}")).to_contain_text("ALERT")
    expect(page.locator("#alarm")).to_have_text("")
    with web.store.writing(shows=True) as session:
        session.get_one(IncidentRow, made["drill"]).state = "open"
    expect(page.locator("#alarm")).to_have_text("New ALERT: shelter-3, room 12")
    with web.store.writing(shows=True) as session:
        session.get_one(IncidentRow, made["closed"]).state = "open"
    expect(page.locator("#alarm")).to_have_text("New ALERT: van-2")


def test_an_alert_elsewhere_is_said_on_an_incidents_own_page(opened, web, made):
    page = opened("duty", f"/incidents/{made['drill']}")
    expect(page.locator("#link-state")).to_have_text("Live.")
    number = add_incident(web.store, "9Z8Y7X6W", 44)
    expect(page.locator("#alarm")).to_contain_text("Newest open ALERT: harbour")
    expect(page.locator(f"#newest-{number}")).to_be_visible()


def test_a_broken_connection_is_said_and_mended(opened, web, made):
    page = opened("duty")
    expect(page.locator("#link-state")).to_have_text("Live.")
    web.stop()
    expect(page.locator("#link-state")).to_contain_text("Not live since ")
    expect(page.locator("#link-state")).to_contain_text("What you see may be old.")
    expect(page).to_have_title("Not live: (2 ALERT) Incidents – Fanal")
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    expect(page.locator("#link-state")).to_be_in_viewport()
    number = add_incident(web.store, "K7Q29XMD", 77)
    web.start()
    expect(page.locator("#link-state")).to_contain_text("Live again.")
    expect(page.locator(f"#incident-{number}")).to_be_visible()
    expect(page).to_have_title("(3 ALERT) Incidents – Fanal")


def test_a_login_that_is_over_is_said(opened, web, made):
    page = opened("duty")
    expect(page.locator("#link-state")).to_have_text("Live.")
    accounts.disable(web.store, "duty")
    add_incident(web.store, "K7Q29XMD", 77)
    expect(page.locator("#link-state")).to_contain_text("you are logged out")
    page.get_by_role("link", name="Reload").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Log in")


def test_it_works_without_script(opened, web, made):
    page = opened(None, "/login", java_script_enabled=False)
    page.get_by_label("Name").fill("duty")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page.locator("#link-state")).to_contain_text("does not change by itself")
    number = add_incident(web.store, "K7Q29XMD", 77)
    page.get_by_role("link", name="Reload").click()
    page.locator(f"#incident-{number}").get_by_role("link").click()
    page.get_by_role("button", name="Acknowledge").click()
    expect(page.locator("#state")).to_contain_text("Acknowledged")


def test_time_goes_on_without_the_hub(opened, web, made):
    page = opened("duty", f"/incidents/{made['alert']}")
    heard = page.locator("#now ~ dl time").first
    first = heard.inner_text()
    assert first.endswith("s ago")
    expect(heard).not_to_have_text(first)


def test_on_paper_there_is_what_counts_and_no_button(opened, web, made):
    page = opened("duty", f"/incidents/{made['drill']}")
    page.emulate_media(media="print")
    expect(page.locator(".banner-drill")).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    for what in ("button", "nav", "#link", ".skip"):
        for one in page.locator(what).all():
            expect(one).to_be_hidden()


def test_a_long_day_is_as_quick_to_read_as_a_short_one(opened, web):
    add_beacon(web.store, "K7Q29XMD")
    for n in range(1, 121):
        add_incident(web.store, "K7Q29XMD", n, first_received_ms=NOW_MS - 1000 * n)
    page = opened("duty")
    expect(page.locator(".incident")).to_have_count(50)
    page.get_by_role("link", name="Older").click()
    expect(page.locator(".incident")).to_have_count(50)
    page.get_by_role("link", name="Older").click()
    expect(page.locator(".incident")).to_have_count(20)
    page.get_by_role("link", name="Newest").click()
    expect(page.locator(".incident")).to_have_count(50)
