"""How a demo is told: scenes, what was to be seen in them, and whether it really was."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scene:
    """A part of the story begins."""

    title: str


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that was to be seen. is_so: whether it really was."""

    text: str
    is_so: bool


@dataclass(frozen=True, slots=True)
class Detail:
    """A line that explains; nothing hangs on it."""

    text: str


Say = Callable[[Scene | Fact | Detail], None]


class Facts:
    """Passes a story on, and remembers what was observed."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._facts: list[Fact] = []

    def __call__(self, told: Scene | Fact | Detail) -> None:
        """Pass on one part."""
        if isinstance(told, Fact):
            self._facts.append(told)
        self._say(told)

    @property
    def are_all_so(self) -> bool:
        """Was everything observed that was to be seen?"""
        return bool(self._facts) and all(fact.is_so for fact in self._facts)
