"""All results of a run, on the side that prints: summary, exit code, JUnit, page."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.hil import junit
from tests.hil.options import Options
from tests.hil.outcome import FAIL, INFRA, INFRA_EXIT_CODE, PASS, SKIP, UNTRIED

_KINDS = {"passed": PASS, "skipped": SKIP, "failed": FAIL}
_HERE = "tests/hil/"
_GRAVITY = (PASS, SKIP, UNTRIED, INFRA, FAIL)


@dataclass
class Result:
    """One test of one beacon. reason: why not PASS; seconds: of the wall.

    beacon: "" for a test of the suite itself.
    """

    node: str
    beacon: str
    kind: str = PASS
    reason: str = ""
    seconds: float = 0.0
    figures: list[dict[str, Any]] = field(default_factory=list)

    @property
    def title(self) -> str:
        """The test as a sentence, with its parameters but without its beacon's name."""
        name, _, inner = self.node.rpartition("::")[2].partition("[")
        told = name.removeprefix("test_").replace("_", " ")
        others = inner.removesuffix("]").replace(self.beacon, "", 1).strip("-")
        return f"{told} ({others})" if others else told

    @property
    def anchor(self) -> str:
        """Where it stands on the page."""
        return "t-" + hashlib.sha256(self.node.encode()).hexdigest()[:12]

    @property
    def brief(self) -> str:
        """Its reason in one line: of a failure what was asserted, or raised."""
        lines = [line.strip() for line in self.reason.splitlines() if line.strip()]
        told = [line[1:].strip() for line in lines if line.startswith("E ")]
        return (told or lines[-1:] or [""])[0]


class Results:
    """A plugin that gathers the reports of the suite, from workers too."""

    def __init__(self, options: Options, arguments: Sequence[str]) -> None:
        self.options, self.arguments = options, [str(word) for word in arguments]
        self.results: dict[str, Result] = {}
        self.facts: dict[str, dict[str, Any]] = {}
        self.series: dict[tuple[str, str], list[float]] = {}

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Take one phase of one test."""
        told = getattr(report, "hil", None)
        if told is None and report.nodeid.startswith(_HERE):
            told = {"beacon": "", "kind": report.outcome, "facts": None, "figures": [],
                    "series": {}}  # fmt: skip
        if told is None:
            return
        result = self.results.setdefault(report.nodeid, Result(report.nodeid, told["beacon"]))
        kind = _KINDS.get(told["kind"], told["kind"])
        if _GRAVITY.index(kind) > _GRAVITY.index(result.kind):
            result.kind, result.reason = kind, _reason(report)
        result.seconds += report.duration
        if told["facts"]:
            self.facts[told["beacon"]] = told["facts"]
        if report.when == "call":
            result.figures = told["figures"]
            for name, values in told["series"].items():
                self.series.setdefault((told["beacon"], name), []).extend(values)

    @property
    def counts(self) -> Counter[str]:
        """How many tests had which result."""
        return Counter(result.kind for result in self.results.values())

    def faults(self) -> list[Result]:
        """Return the tests at which a rig failed: once for each beacon."""
        return [result for result in self.results.values() if result.kind == INFRA]

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Iterator[Any]:
        """Choose the exit code; then, when all others are done, write what was asked for."""
        infra = len(self.faults())
        if infra and session.testsfailed <= infra:
            session.exitstatus = INFRA_EXIT_CODE
        done = yield
        config = session.config
        if config.option.xmlpath and self.results:
            junit.tell_infra(config.option.xmlpath)
        if self.options.report and self.results:
            from tests.hil import report

            report.write(self, self.options.report)
            writer = config.pluginmanager.getplugin("terminalreporter")
            writer.write_line(f"the report is in {self.options.report}")
        return done

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Name the rigs that failed, and what that kept from being tried."""
        if not self.faults():
            return
        terminalreporter.section("INFRA: the rig, not the beacon")
        for result in self.faults():
            untried = sum(
                other.kind == UNTRIED and other.beacon == result.beacon
                for other in self.results.values()
            )
            terminalreporter.write_line(f"{result.beacon}: {result.reason}")
            terminalreporter.write_line(f"  at {result.node}; {untried} tests were not tried")


def _reason(report: Any) -> str:
    if isinstance(report.longrepr, tuple):
        return str(report.longrepr[2]).removeprefix("Skipped: ")
    text = str(report.longrepr)
    return text.removeprefix(f"{INFRA}: ")
