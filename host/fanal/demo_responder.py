"""A responder as a program: logs in to a hub's page, follows it live, and reads what it says.

Nothing but the standard library, and nothing but what a browser would ask for.
"""

import http.cookiejar
import json
import threading
import urllib.error
import urllib.parse
import urllib.request
from contextlib import suppress
from typing import Any

_PATIENCE_S = 10.0
_AGAIN_S = 0.2


class Responder:
    """One browser. Its methods may be called from any thread, one at a time."""

    def __init__(self, url: str) -> None:
        """url: of the page, such as "http://127.0.0.1:8060"."""
        self._url = url
        self._cookies = http.cookiejar.CookieJar()
        self._opener = urllib.request.build_opener(
            urllib.request.HTTPCookieProcessor(self._cookies)
        )
        self._changed = threading.Event()
        self._closed = threading.Event()

    def is_ready(self) -> bool:
        """Return whether the hub answers. Raises OSError if nobody does."""
        with self._opener.open(f"{self._url}/health", timeout=_PATIENCE_S) as answer:
            return bool(answer.status == 200)

    def log_in(self, name: str, password: str) -> bool:
        """Log in as a form does, and follow the page from then on. Return whether it let us in."""
        form = urllib.parse.urlencode({"name": name, "password": password}).encode()
        request = urllib.request.Request(
            f"{self._url}/login", form, headers={"Origin": self._url}
        )  # fmt: skip
        try:
            self._opener.open(request, timeout=_PATIENCE_S).close()
        except urllib.error.HTTPError:
            return False
        threading.Thread(target=self._follow, name="page", daemon=True).start()
        return True

    def page(self, path: str) -> str:
        """Return a page's text."""
        with self._opener.open(self._url + path, timeout=_PATIENCE_S) as answer:
            text: str = answer.read().decode()
            return text

    def incidents(self) -> list[dict[str, Any]]:
        """Return the newest incidents, newest first."""
        return self._items("/api/v1/incidents?limit=100")

    def listeners(self) -> list[dict[str, Any]]:
        """Return the listeners that the hub knows."""
        return self._items("/api/v1/listeners")

    def wait_for_change(self, timeout_s: float) -> None:
        """Return when the page would have changed, or after `timeout_s`."""
        self._changed.wait(timeout_s)
        self._changed.clear()

    def close(self) -> None:
        """Follow the page no more."""
        self._closed.set()

    def _items(self, path: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = json.loads(self.page(path))["items"]
        return items

    def _follow(self) -> None:
        """Read the page's stream of changes."""
        while not self._closed.wait(_AGAIN_S):
            with suppress(OSError), self._opener.open(f"{self._url}/live", timeout=60) as stream:
                for line in stream:
                    if line.startswith(b"event: changed"):
                        self._changed.set()
                    if self._closed.is_set():
                        return
