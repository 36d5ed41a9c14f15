"""One row of the doctor: what was looked at, what was found, and what puts it right."""

from dataclasses import dataclass

OK = "ok"
WARN = "warn"
FAIL = "fail"
UNCHECKED = "unchecked"  # it cannot be told from here; a person has to look


@dataclass(frozen=True)
class Finding:
    """outcome: OK, WARN, FAIL or UNCHECKED. fix: what to do, a sentence, or "".

    commands: what to type for it, in this order, as it stands.
    """

    name: str
    outcome: str
    reason: str
    fix: str = ""
    commands: tuple[str, ...] = ()


def good(name: str, reason: str) -> Finding:
    """Return a row where nothing is to be done."""
    return Finding(name, OK, reason)


def doubtful(name: str, reason: str, fix: str, *commands: str) -> Finding:
    """Return a row for what works, but may cost somebody an afternoon."""
    return Finding(name, WARN, reason, fix, commands)


def bad(name: str, reason: str, fix: str, *commands: str) -> Finding:
    """Return a row for what keeps a command from working."""
    return Finding(name, FAIL, reason, fix, commands)


def unchecked(name: str, reason: str, fix: str) -> Finding:
    """Return a row for what was not looked at. fix: where a person can."""
    return Finding(name, UNCHECKED, reason, fix)
