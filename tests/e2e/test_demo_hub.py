"""From a squeeze to what a responder sees in Chromium: every part is the real program."""

import shutil

import pytest

pytest.importorskip("bumble", reason="needs the extra `sim`")

from fanal import demo_hub
from fanal.story import Fact
from playwright.sync_api import sync_playwright

CHROMIUM = shutil.which("chromium")
BOARDS = 9  # as few as the story can have

pytestmark = [pytest.mark.sim, pytest.mark.timeout(300)]


def in_a_browser(where: demo_hub.Stay) -> str:
    """Log in as a person does, and return the text of the page."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 360, "height": 640})
        page.goto(where.url)
        page.get_by_label("Name").fill(where.user)
        page.get_by_label("Password").fill(where.password)
        page.keyboard.press("Enter")
        page.get_by_role("heading", name="Incidents", exact=True).wait_for()
        text = page.inner_text("main")
        browser.close()
    return text


def test_what_is_told_is_so_and_a_browser_shows_it(tmp_path):
    told, seen = [], []

    def stay(where: demo_hub.Stay) -> None:
        if CHROMIUM is not None:
            seen.append(in_a_browser(where))

    assert demo_hub.demo(tmp_path / "demo", told.append, stay, boards=BOARDS), [
        one.text for one in told if isinstance(one, Fact) and not one.is_so
    ]
    for text in seen:
        assert "ALERT shelter-3, room b7" in text, text
        assert "DRILL depot-1, room b8" in text, text
