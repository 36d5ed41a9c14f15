"""The budgets of a run, told at its end: `budget("name", value, limit, unit)` in any test."""

import signal

import pytest

from tests.services import mosquitto, postgres, postgres_server, postgres_url  # noqa: F401
from tests.unit.paper_fleet import PaperFleet

_PROPERTY = "budget"
_WIDTH = 40

# a run in the background of a script is deaf to these, and so would be all that it starts
for _number in (signal.SIGINT, getattr(signal, "SIGQUIT", signal.SIGINT)):
    if signal.getsignal(_number) is signal.SIG_IGN:
        _usual = signal.default_int_handler if _number == signal.SIGINT else signal.SIG_DFL
        signal.signal(_number, _usual)


@pytest.fixture(autouse=True)
def _own_state(tmp_path_factory, monkeypatch):
    """What a command keeps in the user's state folder stays in this test."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state", numbered=True)))


@pytest.fixture
def fleet(tmp_path):
    """A fleet on paper with a registry of its own; a file may have another one."""
    fleet = PaperFleet(tmp_path)
    yield fleet
    fleet.registry.close()


@pytest.fixture
def budget(record_property):
    """Return a function that notes a figure for the end of the run, and fails beyond its limit.

    limit: None if there is none. A time (unit "s", "ms", "us") is noted and never fails: it is
    that of the machine. It travels as a property of the test's report, so also from a worker.
    """

    def note(name, value, limit=None, unit="bytes"):
        record_property(_PROPERTY, (name, value, limit, unit))
        if limit is not None and unit not in ("s", "ms", "us"):
            assert value <= limit, f"{name}: {value} {unit}, allowed are {limit}"

    return note


def pytest_terminal_summary(terminalreporter):
    """Print the figures that were noted, each against its budget."""
    lines = [_line(*noted) for noted in sorted(_noted(terminalreporter), key=str)]
    if lines:
        terminalreporter.section("budgets")
        for line in lines:
            terminalreporter.write_line(line)


def _noted(terminalreporter):
    """Return what was noted, once each: a test reports its set-up, its call and its end."""
    found = set()
    for reports in terminalreporter.stats.values():
        for report in reports:
            for name, value in getattr(report, "user_properties", ()):
                if name == _PROPERTY:
                    found.add(tuple(value))
    return found


def _line(name, value, limit, unit):
    text = f"{name:{_WIDTH}} {_figure(value):>10} {unit}"
    if limit is None:
        return text
    share = f"{100 * value / limit:.0f} %"
    return f"{text:58} of {_figure(limit):>9}  ({share})"


def _figure(value):
    return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"
