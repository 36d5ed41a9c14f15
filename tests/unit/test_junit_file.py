"""The JUnit file: a case a row, failures and errors told apart, whole or not at all."""

import os
from pathlib import Path
from xml.etree import ElementTree

import pytest
from fanal.error import BoardLost, EnvironmentFault, IntegrityError, ReadBackError
from fanal.junit_file import Suite, write
from fanal.verify import FAIL, OK, WARN, Check

CHECKS = (
    Check("identity", OK, "proved"),
    Check("sensor", WARN, "cannot be measured"),
    Check("battery", FAIL, "2 mV is below 3400 mV", 1),
)


def cases(path: Path) -> dict[tuple[str, str], ElementTree.Element]:
    root = ElementTree.parse(path).getroot()
    return {(c.get("classname", ""), c.get("name", "")): c for c in root.iter("testcase")}


def test_a_case_a_row(tmp_path: Path) -> None:
    path = tmp_path / "verify.xml"
    write(path, [Suite("wired", "AAAAAAAA", CHECKS)])
    root = ElementTree.parse(path).getroot()
    (suite,) = root.findall("testsuite")
    counted = {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped")}
    assert counted == {"tests": "3", "failures": "1", "errors": "0", "skipped": "0"}
    found = cases(path)
    failure = found["fanal.verify.wired", "battery"].find("failure")
    assert failure is not None
    assert (failure.get("message"), failure.get("type")) == ("2 mV is below 3400 mV", "exit 1")
    said = {name: case.findtext("system-out") for (_, name), case in found.items()}
    assert said["identity"] == "proved"
    assert said["sensor"] == "warning: cannot be measured"
    assert path.read_bytes().startswith(b"<?xml")
    assert [p.name for p in tmp_path.iterdir()] == ["verify.xml"]


@pytest.mark.parametrize(
    ("problem", "kind"),
    [
        (EnvironmentFault("The radio went deaf.", "Run it again.", code="deaf"), "INFRA"),
        (BoardLost("The beacon stopped answering."), "INFRA"),
        (IntegrityError("The passphrase is wrong.", code="passphrase"), "passphrase"),
    ],
)
def test_what_ended_it_is_an_error_and_no_failure(tmp_path: Path, problem, kind) -> None:
    path = tmp_path / "verify.xml"
    write(path, [Suite("wired", "AAAAAAAA", CHECKS[:1]), Suite("air", "AAAAAAAA", (), problem)])
    case = cases(path)["fanal.verify.air", "complete"]
    error = case.find("error")
    assert error is not None
    assert error.get("type") == kind
    assert problem.sentence in error.get("message", "")
    assert case.find("failure") is None


def test_what_a_board_says_cannot_break_the_file(tmp_path: Path) -> None:
    path = tmp_path / "verify.xml"
    said = 'a\x00b\x1b[31m<&"]]>\ud800\uffff é'
    write(path, [Suite("wired", said, (Check("files", FAIL, said, 4), Check("x", OK, said)))])
    found = cases(path)
    message = found["fanal.verify.wired", "files"].find("failure").get("message")
    assert message.startswith('a?b?[31m<&"]]>')
    assert message.endswith("é")


@pytest.mark.parametrize("fails", ["fsync", "replace", "read"])
def test_an_old_file_stays_whole_until_the_new_one_is(tmp_path, monkeypatch, fails) -> None:
    path = tmp_path / "verify.xml"
    path.write_text("old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    if fails == "fsync":
        monkeypatch.setattr(os, "fsync", full)
    elif fails == "replace":
        monkeypatch.setattr(os, "replace", full)
    else:
        monkeypatch.setattr(Path, "read_bytes", lambda _: b"rot")
    with pytest.raises((OSError, ReadBackError)):
        write(path, [Suite("wired", "AAAAAAAA", CHECKS)])
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["verify.xml"]
