"""The person beside the rig, asked through pytest's captured terminal."""

from collections.abc import Callable
from typing import Any


class Person:
    """Somebody at the terminal who does what no rig can. capture: pytest's capture manager."""

    def __init__(self, capture: Any, read: Callable[[str], str] = input) -> None:
        self._capture, self._read = capture, read

    def asked(self, what: str, when: str) -> None:
        """Ask for something; return when Enter says that it happens. Raises EOFError."""
        if self._capture is not None:
            self._capture.suspend_global_capture(in_=True)
        try:
            self._read(f"\n>>> {what}. Press Enter {when}: ")
        finally:
            if self._capture is not None:
                self._capture.resume_global_capture()
