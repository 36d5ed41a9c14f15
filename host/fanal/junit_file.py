"""Rows of checks as a JUnit file: a test case a row. The only module that imports junitparser.

A row that fails is a <failure>. What kept rows from being checked at all (a cable, a radio) is
an <error>, of type INFRA if it is the machine's and not the beacon's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from junitparser import Error, Failure, JUnitXml, TestCase, TestSuite

from fanal.error import DeviceError, EnvironmentFault, FanalError
from fanal.printable import printable
from fanal.private_file import write_private
from fanal.verify import FAIL, WARN, Check

INFRA = "INFRA"

_INFRA_CODES = (DeviceError.exit_code, EnvironmentFault.exit_code)


@dataclass(frozen=True)
class Suite:
    """One part of a check. name: such as "wired"; problem: what ended it before its last row."""

    name: str
    beacon_id: str
    checks: Sequence[Check] = ()
    problem: FanalError | None = None


def write(path: Path, suites: Sequence[Suite]) -> None:
    """Write the file, whole or not at all, and read it back. Raises ReadBackError, OSError."""
    xml = JUnitXml("fanal verify")
    for suite in suites:
        xml.add_testsuite(_suite(suite))
    write_private(path, b'<?xml version="1.0" encoding="utf-8"?>\n' + xml.tostring() + b"\n", 0o666)


def _suite(suite: Suite) -> TestSuite:
    made = TestSuite(suite.name)
    made.add_property("beacon", printable(suite.beacon_id))
    cases = [_case(suite, check) for check in suite.checks]
    if suite.problem is not None:
        cases.append(_broken_off(suite, suite.problem))
    made.add_testcases(cases)
    return made


def _case(suite: Suite, check: Check) -> TestCase:
    case = TestCase(check.name, f"fanal.verify.{suite.name}")
    if check.outcome == FAIL:
        case.result = [Failure(printable(check.reason), f"exit {check.exit_code}")]
    else:
        warning = "warning: " if check.outcome == WARN else ""
        case.system_out = warning + printable(check.reason)
    return case


def _broken_off(suite: Suite, problem: FanalError) -> TestCase:
    case = TestCase("complete", f"fanal.verify.{suite.name}")
    kind = INFRA if problem.exit_code in _INFRA_CODES else problem.code
    case.result = [Error(printable(f"{problem.sentence} {problem.hint}".strip()), kind)]
    return case
