"""One table of a configuration file, read key by key; every mistake is a sentence with its key.

No sentence quotes a value: it may be a password in the wrong place.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fanal.error import UsageError


class Table:
    """The keys of one table. name: as in the file, "" for the top; folder: of relative paths."""

    def __init__(self, name: str, content: object, folder: Path) -> None:
        """Raises UsageError if `content` is no table."""
        if not isinstance(content, Mapping):
            raise mistake(name, "is a table, written as [name]")
        self._name = name
        self._content = dict(content)
        self._folder = folder

    def override(self, changed: Mapping[str, Any]) -> None:
        """Take these values instead of those in the file."""
        self._content.update(changed)

    def has(self, key: str) -> bool:
        """Say whether a key is there that was not taken yet."""
        return key in self._content

    def key(self, key: str) -> str:
        """Return the full name of a key, for a sentence."""
        return f"{self._name}.{key}" if self._name else key

    def wrong(self, key: str, rule: str) -> UsageError:
        """Return the error for a value that breaks `rule`."""
        return mistake(self.key(key), rule)

    def text(self, key: str, default: str | None = None) -> str:
        """Take one line of text; it must be there if there is no default."""
        value: str = self._taken(key, str, default, "is text in quotes")
        if not value.isprintable() or (not value and default is None):
            raise self.wrong(key, "is one line of plain text, not empty")
        return value

    def choice(self, key: str, choices: Sequence[str], default: str | None = None) -> str:
        """Take one of `choices`."""
        value = self.text(key, default)
        if value not in choices:
            raise self.wrong(key, f"is one of {', '.join(choices)}")
        return value

    def number(self, key: str, default: int, least: int, most: int) -> int:
        """Take a whole number from `least` to `most`."""
        value: int = self._taken(key, int, default, "is a whole number")
        if not least <= value <= most:
            raise self.wrong(key, f"is a whole number from {least} to {most}")
        return value

    def flag(self, key: str, default: bool) -> bool:
        """Take true or false."""
        value: bool = self._taken(key, bool, default, "is true or false")
        return value

    def path(self, key: str) -> Path | None:
        """Take the path of a file, relative to the folder, None if it is left out."""
        text = self.text(key, "")
        return self._folder / Path(text).expanduser() if text else None

    def texts(self, key: str, default: Sequence[str] = ()) -> tuple[str, ...]:
        """Take a list of lines of text."""
        values = self._taken(key, list, list(default), "is a list of texts")
        if not all(isinstance(one, str) and one and one.isprintable() for one in values):
            raise self.wrong(key, "is a list of texts in quotes")
        return tuple(values)

    def numbers(self, key: str, default: Sequence[int]) -> tuple[int, ...]:
        """Take a list of whole numbers."""
        values = self._taken(key, list, list(default), "is a list of whole numbers")
        if not all(type(one) is int for one in values):
            raise self.wrong(key, "is a list of whole numbers")
        return tuple(values)

    def table(self, key: str) -> "Table | None":
        """Take a table below this one, None if it is not there."""
        content = self._content.pop(key, None)
        return None if content is None else Table(self.key(key), content, self._folder)

    def tables(self, key: str) -> "list[Table]":
        """Take a list of tables, written as [[key]]."""
        rule = f"is written as [[{self.key(key)}]]"
        rows = self._taken(key, list, [], rule)
        return [Table(f"{self.key(key)} {at}", row, self._folder) for at, row in enumerate(rows, 1)]

    def done(self) -> None:
        """Raise UsageError if a key is left that nobody asked for: it would have no effect."""
        for key in self._content:
            shown = "".join(c if c.isprintable() else "?" for c in self.key(key))[:80]
            raise UsageError(
                f"There is no setting {shown} in a hub's configuration.",
                "Look for a slip of the pen, or for the table it belongs to.",
                code="config",
            )

    def _taken(self, key: str, kind: Callable[..., Any], default: Any, rule: str) -> Any:
        value = self._content.pop(key, default)
        if value is None:
            raise self.wrong(key, "is needed, and is not there")
        if type(value) is not kind:  # a bool is an int to Python
            raise self.wrong(key, rule)
        return value


def mistake(key: str, rule: str) -> UsageError:
    """Return the error for a setting that breaks a rule. rule: "is a whole number"."""
    return UsageError(
        f"In the hub's configuration, {key} {rule}.",
        "Mend it in hub.toml, in the folder of the hub.",
        code="config",
    )
