"""The hardware suite, unchanged, against a MicroPython that is not the virtual board.

Over a pseudo-terminal and over TCP; with the cable pulled in the middle; with the port in use; and
with a root that is known here, so that whatever the suite writes can be searched for its keys.
"""

import fcntl
import json
import os
import subprocess
import sys
from xml.etree import ElementTree

import pytest

pytest.importorskip("mpremote", reason="needs the extra `technician`")
pytest.importorskip("micropython_run", reason="needs the extra `sim`")
pytest.importorskip("jinja2", reason="needs the extra `dev`")

from fanal import firmware_image
from fanal.board_link import BoardLink
from fanal.provision import Request, provision

from tests.hil.capabilities import MISSING
from tests.hil.fleet import SECRETS_FILE, SuiteFleet
from tests.hil.outcome import INFRA, INFRA_EXIT_CODE
from tests.hil.scrub import forms
from tests.micropython.interpreter import ROOT
from tests.micropython.plain_board import PlainBoard, install_image
from tests.micropython.tcp_bridge import TcpBridge
from tests.unit.paper_fleet import PaperFleet

pytestmark = pytest.mark.sim

NAMES = ("root", "signing", "sealing", "station")
KNOWN = {name: bytes(range(i, i + 32)) for i, name in enumerate(NAMES)}


@pytest.fixture
def flash(tmp_path):
    """The file system of a board with the firmware of this tree."""
    folder = tmp_path / "flash"
    folder.mkdir()
    install_image(folder, firmware_image.locate().folder)
    return folder


@pytest.fixture
def suite(tmp_path):
    """Return a function that runs the suite in a process of its own."""
    return lambda *flags, **more: Run(tmp_path, *flags, **more)


class Run:
    """One run, with known secrets: what it printed, what it wrote, how it ended.

    at_result: called with the number of each result as it comes.
    """

    def __init__(self, folder, *flags, at_result=lambda _: None):
        self.state, self.junit = folder / "state", folder / "junit.xml"
        self.page = folder / "report.html"
        self.state.mkdir()
        secrets = {name: value.hex() for name, value in KNOWN.items()}
        (self.state / SECRETS_FILE).write_text(json.dumps(secrets))
        command = [
            sys.executable, "-m", "pytest", "tests/hil", "-p", "no:cacheprovider", "-v",
            "--radio", "none", "--hil-state", str(self.state), "--junitxml", str(self.junit),
            "--hil-report", str(self.page), *flags,
        ]  # fmt: skip
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
        lines, results = [], 0
        with subprocess.Popen(
            command, cwd=ROOT, env=environment, text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        ) as process:  # fmt: skip
            for line in process.stdout:
                lines.append(line)
                if line.startswith("tests/hil/") and "%]" in line:
                    results += 1
                    at_result(results)
        self.output, self.exit_code = "".join(lines), process.returncode

    def cases(self, tag):
        """Return what JUnit has of the tests with that problem; of those without for "passed"."""
        found = []
        for case in ElementTree.parse(self.junit).getroot().iter("testcase"):
            problem = next((c for c in case if c.tag in ("error", "failure", "skipped")), None)
            if (problem.tag if problem is not None else "passed") == tag:
                found.append(case if problem is None else problem)
        return found

    def counts(self):
        return {tag: len(self.cases(tag)) for tag in ("passed", "failure", "error", "skipped")}


def test_what_is_asked_of_it_passes_and_the_rest_is_named(flash, suite):
    with PlainBoard(flash) as board:
        run = suite("--beacon", board.port)
        with BoardLink(board.port) as link:
            left = link.call("status")
    assert run.exit_code == 0, run.output
    counts = run.counts()
    assert (counts["failure"], counts["error"]) == (0, 0)
    assert counts["passed"] >= 25
    assert {skip.get("message") for skip in run.cases("skipped")} <= set(MISSING.values())
    assert INFRA not in run.output
    # it was left as it was found
    assert (left["id"], left["faults"]) == (None, [])
    assert left["settings"]["hold_ms"] == 3000
    search_for_keys(run)


def search_for_keys(run):
    """Search all that a run printed and wrote for every key that it had."""
    fleet = SuiteFleet(run.state)
    secrets = [*KNOWN.values(), *fleet.all_keys()]
    beacons = fleet.registry.beacons()
    fleet.close()
    assert beacons, "nothing was provisioned: there was nothing to hide"
    assert len(secrets) > 50
    for name, text in {
        "terminal": run.output,
        "junit": run.junit.read_text(),
        "page": run.page.read_text(),
    }.items():
        assert len(text) > 1000
        shown = [secret for secret in secrets if any(form in text for form in forms(secret))]
        assert not shown, f"{name} shows {len(shown)} keys"


def identity_of(board):
    with BoardLink(board.port) as link:
        status = link.call("status")
        return {name: status[name] for name in ("public_key", "next_event", "settings", "event")}


def test_somebody_elses_beacon_stays_theirs(flash, suite, tmp_path):
    fleet = PaperFleet(tmp_path)
    with PlainBoard(flash) as board:
        with BoardLink(board.port) as link:
            provision(link, fleet.station, fleet.registry, Request("depot"))
        before = identity_of(board)
        run = suite("--beacon", board.port, "--may-provision")
        assert identity_of(board) == before
        with BoardLink(board.port) as link:
            again = provision(link, fleet.station, fleet.registry, Request("depot"))
    fleet.registry.close()
    assert again.changed is False
    assert run.exit_code == 0, run.output
    skipped = [skip.get("message") for skip in run.cases("skipped")]
    assert skipped.count("board holds the identity of another fleet") >= 8
    assert run.counts()["passed"] >= 12


def test_an_identity_without_a_key_is_taken_only_when_that_is_allowed(flash, suite):
    with PlainBoard(flash) as board:
        with BoardLink(board.port) as link:
            link.call("create_identity")
        before = identity_of(board)
        run = suite("--beacon", board.port, "-k", "identity and given or giving")
        assert identity_of(board) == before
    assert run.exit_code == 0, run.output
    assert {skip.get("message") for skip in run.cases("skipped")} == {
        "board holds an identity without a key: needs --may-provision"
    }


def test_the_same_over_tcp(flash, suite):
    with PlainBoard(flash) as board, TcpBridge(board.port) as bridge:
        run = suite("--beacon", bridge.url, "-k", "known_answers or first_key or cold_boot")
    assert run.exit_code == 0, run.output
    counts = run.counts()
    assert (counts["failure"], counts["error"]) == (0, 0)
    assert counts["passed"] == 2
    assert {skip.get("message") for skip in run.cases("skipped")} <= set(MISSING.values())


def test_a_cable_that_is_pulled_ends_it_once_and_fails_nobody(flash, suite):
    board = PlainBoard(flash)
    board.__enter__()

    def pull(results):
        if results == 5:
            board.__exit__()

    run = suite("--beacon", board.port, "-k", "console or commands", at_result=pull)
    assert run.exit_code == INFRA_EXIT_CODE, run.output
    assert run.cases("failure") == []
    (told,) = run.cases("error")
    assert told.get("type") == INFRA
    untried = [s for s in run.cases("skipped") if s.get("message").startswith(f"{INFRA}: ")]
    assert len(untried) >= 5
    assert {skip.get("message") for skip in untried} == {f"{INFRA}: {told.get('message')}"}
    assert f"{len(untried)} tests were not tried" in run.output
    assert "INFRA" in run.page.read_text()


def test_a_port_in_use_is_named_and_nothing_is_tried(flash, suite):
    with PlainBoard(flash) as board:
        handle = os.open(board.port, os.O_RDWR | os.O_NOCTTY)
        fcntl.flock(handle, fcntl.LOCK_EX)
        try:
            run = suite("--beacon", board.port, "-k", "boot")
        finally:
            os.close(handle)
    assert run.exit_code == INFRA_EXIT_CODE, run.output
    assert run.counts()["passed"] == 0
    (told,) = run.cases("error")
    assert f"{board.port} is in use" in told.get("message")


def test_a_beacon_that_is_wrong_fails_and_is_no_fault_of_the_rig(flash, suite):
    (flash / "lib" / "beacon" / "added.py").write_text("")
    with PlainBoard(flash) as board:
        run = suite("--beacon", board.port, "-k", "boot")
    assert run.exit_code == 1, run.output
    assert run.cases("error") == []
    assert len(run.cases("failure")) == 1
    assert "lib/beacon/added.py" in run.page.read_text()
