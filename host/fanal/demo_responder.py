"""A responder as a program: logs in to a hub's page, follows it live, and reads what it says.

Nothing but what a browser would ask for.
"""

import threading
from contextlib import suppress
from typing import Any

import httpx

_PATIENCE_S = 10.0
_AGAIN_S = 0.2
_SILENCE_S = 60.0  # the stream sends a line every few seconds
_IN = 303  # a form that was taken leads to the page


class Responder:
    """One browser. Its methods may be called from any thread. Raises ConnectionError."""

    def __init__(self, url: str) -> None:
        """url: of the page, such as "http://127.0.0.1:8060"."""
        self._url = url
        # the hub is on this computer: no proxy of the environment is asked for it
        self._browser = httpx.Client(base_url=url, timeout=_PATIENCE_S, trust_env=False)
        self._changed = threading.Event()
        self._closed = threading.Event()
        self._following: threading.Thread | None = None

    def is_ready(self) -> bool:
        """Return whether the hub runs."""
        return bool(self.page("/health"))

    def log_in(self, name: str, password: str) -> bool:
        """Log in as a form does, and follow the page from then on. Return whether it let us in."""
        form = {"name": name, "password": password}
        answer = self._browser.post("/login", data=form, headers={"Origin": self._url})
        if answer.status_code != _IN:
            return False
        self._following = threading.Thread(target=self._follow, name="page", daemon=True)
        self._following.start()
        return True

    def page(self, path: str) -> str:
        """Return a page's text."""
        return self._get(path).text

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
        """Follow the page no more; to be called when the hub has ended, and its stream with it."""
        self._closed.set()
        if self._following is not None:
            self._following.join(_PATIENCE_S)
        self._browser.close()

    def _items(self, path: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = self._get(path).json()["items"]
        return items

    def _get(self, path: str) -> httpx.Response:
        try:
            return self._browser.get(path).raise_for_status()
        except httpx.HTTPError as problem:
            raise ConnectionError(f"the hub did not give {path}") from problem

    def _follow(self) -> None:
        """Read the page's stream of changes."""
        while not self._closed.wait(_AGAIN_S):
            with (
                suppress(httpx.HTTPError),
                self._browser.stream("GET", "/live", timeout=_SILENCE_S) as stream,
            ):
                for line in stream.iter_lines():
                    if line == "event: changed":
                        self._changed.set()
                    if self._closed.is_set():
                        return
