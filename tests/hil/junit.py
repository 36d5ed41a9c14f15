"""A fault of the rig in JUnit's words: `<error type="INFRA">`, never a `<failure>`."""

import os
from pathlib import Path
from xml.etree import ElementTree

from tests.hil.outcome import INFRA


def tell_infra(path: str | Path) -> None:
    """Rewrite pytest's file: each test with the property outcome = INFRA gets such an error."""
    path = Path(path)
    tree = ElementTree.parse(path)
    for suite in tree.getroot().iter("testsuite"):
        moved = 0
        for case in suite.iter("testcase"):
            if any(
                (p.get("name"), p.get("value")) == ("outcome", INFRA) for p in case.iter("property")
            ):
                moved += _told(case)
        for name, change in (("failures", -moved), ("errors", moved)):
            suite.set(name, str(int(suite.get(name, "0")) + change))
    beside = path.with_name(path.name + ".new")
    tree.write(beside, encoding="utf-8", xml_declaration=True)
    os.replace(beside, path)


def _told(case: ElementTree.Element) -> int:
    """Mark the errors of a test; return how many of them were called failures."""
    moved = 0
    for problem in [*case.findall("failure"), *case.findall("error")]:
        moved += problem.tag == "failure"
        problem.tag = "error"
        problem.set("type", INFRA)
        problem.set("message", (problem.text or "").removeprefix(f"{INFRA}: "))
    return moved
