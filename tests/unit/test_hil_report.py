"""The hardware suite's outputs: JUnit, exit code, the page; and that no key gets into them."""

import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest

pytest.importorskip("jinja2", reason="needs the extra `dev`")
pytest.importorskip("matplotlib", reason="needs the extra `plot`")

from fanal.error import BoardLost

from tests.hil import conftest as hil
from tests.hil import junit, report
from tests.hil.figures import Figures
from tests.hil.options import Options
from tests.hil.outcome import FAIL, INFRA, INFRA_EXIT_CODE, PASS, SKIP, UNTRIED
from tests.hil.results import Results

NOW = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
FACTS = {
    "name": "virtual", "port": "/tmp/x/port", "machine": "ESP32C3 module with ESP32C3",
    "chip": "ESP32C3", "mac": "e6:9b:36:38:30:fc", "micropython": "1.28.0", "image": "ab" * 32,
    "version": "0.1.0", "firmware": "cd" * 32, "built": "cd" * 32, "differing": [],
    "vault": "partition", "beacon_id": "K7Q29XMD", "settings": {"hold_ms": 3000, "board": ""},
    "faults": [], "battery_mv": 3900, "heap_free": 200_000, "abilities": ["radio"],
}  # fmt: skip
HOSTILE = "<script>alert('x')</script>"


def one(node, kind, *, when="call", longrepr=None, beacon="virtual", facts=FACTS, **told):
    """One phase of a test as it comes from a worker."""
    outcome = {PASS: "passed", SKIP: "skipped", UNTRIED: "skipped"}.get(kind, "failed")
    names = {PASS: "passed", SKIP: "skipped", FAIL: FAIL}
    return SimpleNamespace(
        nodeid=f"tests/hil/test_hil_x.py::test_{node}[{beacon}]", when=when, outcome=outcome,
        longrepr=longrepr, duration=0.5,
        hil={"beacon": beacon, "kind": names.get(kind, kind), "needs": [], "facts": facts,
             "figures": [], "series": {}, **told},
    )  # fmt: skip


def gathered(*reports, **flags):
    results = Results(Options(**flags), ["tests/hil", HOSTILE])
    for each in reports:
        results.pytest_runtest_logreport(each)
    return results


EVERYTHING = (
    one("it_works", PASS),
    one("it_does_not", FAIL, longrepr=f"E   assert {HOSTILE} == 2"),
    one("the_cable", INFRA, longrepr="INFRA: /dev/x is gone: the beacon was unplugged."),
    one("after_it", UNTRIED, longrepr=("f", 1, "Skipped: INFRA: /dev/x is gone.")),
    one("alone", SKIP, longrepr=("f", 1, "Skipped: needs --radio")),
    one(
        "measured", PASS,
        figures=[{"name": "hold to first packet", "value": 3012, "unit": "ms", "limit": None}],
        series={
            "first packet, hold (s)": [3.0, 3.1], "interval between frames (ms)": [100.0] * 50,
            "signal strength (dBm)": [-60.0, -61.0],
        },
    ),
)  # fmt: skip


@pytest.fixture(scope="module")
def page():
    return report.render(gathered(*EVERYTHING), NOW)


def test_every_outcome_is_told_by_a_word_and_a_sign(page):
    for kind, sign in report.SIGNS.items():
        assert f"{sign} {kind}</span>" in page, kind


def test_everything_that_is_known_is_in_the_page(page):
    for value in (FACTS["mac"], FACTS["image"], FACTS["firmware"], "K7Q2-9XMD", "1.28.0", "3012 ms",
                  "needs --radio", "unplugged", "0.1.0", "as built here", "2026-01-02 03:04 UTC",
                  "it does not", "mpremote", "(chip ESP32-C3)"):  # fmt: skip
        assert value in page, value


def test_a_virtual_beacon_is_called_one_below_the_title(page):
    said = "times are the bench's, never a chip's"
    assert said in page[: page.index("<main>")].replace("&#39;", "'")
    real = report.render(gathered(one("a", PASS, beacon="/dev/x"), beacons=("/dev/x",)), NOW)
    assert said not in real.replace("&#39;", "'")
    both = report.render(gathered(one("a", PASS), beacons=("virtual", "/dev/x")), NOW)
    assert "<strong>Virtual beacon</strong> (virtual): times" in both


def test_a_failure_is_listed_with_its_reason_and_a_link_to_it():
    told = "x.py:7: in test\n    assert 1 == 2\nE   assert 1 == 2\nE    +  where 1 is"
    results = gathered(one("a", FAIL, longrepr=told), one("b", PASS))
    page = report.render(results, NOW)
    head = page[: page.index("<main>")]
    (failed,) = [each for each in results.results.values() if each.kind == FAIL]
    assert failed.brief == "assert 1 == 2"
    assert f'<a href="#{failed.anchor}">a</a>' in head
    assert "assert 1 == 2</span>" in head
    assert page.count(f'id="{failed.anchor}"') == 1


def test_a_limit_has_its_unit():
    figures = [{"name": "heap lost", "value": 6, "unit": "bytes", "limit": 4096}]
    assert "4096 bytes" in report.render(gathered(one("a", PASS, figures=figures)), NOW)


def test_tests_of_no_beacon_count_and_are_shown():
    plain = SimpleNamespace(nodeid="tests/hil/test_hil_x.py::test_of_itself", when="call",
                            outcome="passed", longrepr=None, duration=0.1)  # fmt: skip
    other = SimpleNamespace(**{**vars(plain), "nodeid": "tests/unit/test_x.py::test_other"})
    results = gathered(one("a", PASS), plain, other)
    assert results.counts == {PASS: 2}
    page = report.render(results, NOW)
    assert "The suite itself" in page
    assert "of itself" in page
    failed = SimpleNamespace(**{**vars(plain), "outcome": "failed", "longrepr": "E   no"})
    assert report.verdict(gathered(one("a", PASS), failed).counts) == FAIL


def test_the_digest_of_the_firmware_is_that_in_the_results_of_deploy():
    from fanal.deploy import Bench
    from fanal.firmware_image import FirmwareImage, Manifest

    from tests.hil.preflight import digest

    manifest = Manifest("0.1.0", 1, "1.28.0", "ab" * 32, {"main.py": "cd" * 32}, {"main.py": 3})
    bench = SimpleNamespace(firmware=FirmwareImage(None, manifest))
    assert digest(manifest) == Bench.firmware_sha256.fget(bench)


def test_the_page_is_alone_in_the_world(page):
    assert not re.search(r"https?://(?!www\.w3\.org/)", page)
    assert not re.search(r"<(link|script|img|iframe|object|embed)\b", page)
    assert not re.search(r"@import|url\((?!#)", page)
    assert page.count("<svg") == 3


class Ids(HTMLParser):
    def __init__(self):
        super().__init__()
        self.ids, self.asked = [], set()

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if name == "id":
                self.ids.append(value)
            elif name.endswith("href") and value.startswith("#"):
                self.asked.add(value[1:])
            self.asked |= set(re.findall(r"url\(#([^)]+)\)", value or ""))


def test_the_drawings_do_not_borrow_from_each_other(page):
    parser = Ids()
    parser.feed(page)
    assert len(parser.ids) == len(set(parser.ids))
    assert parser.asked <= set(parser.ids)


def test_what_a_board_or_a_flag_says_is_text_and_nothing_else(page):
    assert HOSTILE not in page
    assert "&lt;script&gt;" in page


def test_a_beacon_of_which_nothing_is_known_has_its_section():
    told = one("first", INFRA, longrepr="INFRA: There is no port /dev/x.", facts=None)
    page = report.render(gathered(told), NOW)
    assert "Nothing is known of it" in page
    assert "There is no port /dev/x." in page


def test_a_firmware_that_is_not_the_built_one_says_which_files():
    facts = {**FACTS, "built": "ef" * 32, "differing": ["lib/beacon/life.mpy"]}
    page = report.render(gathered(one("x", FAIL, longrepr="E", facts=facts)), NOW)
    assert "lib/beacon/life.mpy" in page
    assert "ef" * 32 in page


def test_the_page_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "new" / "page.html"
    report.write(gathered(*EVERYTHING), path, NOW)
    before = path.read_text()
    monkeypatch.setattr(report, "render", lambda *_: "\ud800")  # cannot be encoded
    with pytest.raises(UnicodeEncodeError):
        report.write(gathered(*EVERYTHING), path, NOW)
    assert path.read_text() == before


def test_the_gravest_decides():
    assert report.verdict(gathered(*EVERYTHING).counts) == FAIL
    assert report.verdict(gathered(EVERYTHING[0], EVERYTHING[2]).counts) == INFRA
    assert report.verdict(gathered(EVERYTHING[0], EVERYTHING[4]).counts) == PASS
    assert report.verdict(gathered(EVERYTHING[4]).counts) == SKIP


def test_a_failure_in_any_phase_counts_and_a_later_pass_does_not_heal_it():
    phases = [one("a", PASS, when="setup"), one("a", FAIL, longrepr="E"), one("a", PASS)]
    assert gathered(*phases).counts == {FAIL: 1}
    late = [one("a", PASS), one("a", INFRA, when="teardown", longrepr="INFRA: gone")]
    assert gathered(*late).counts == {INFRA: 1}


@pytest.mark.parametrize(
    ("reports", "failed", "exit_code"),
    [
        (EVERYTHING[2:4], 1, INFRA_EXIT_CODE),
        (EVERYTHING[1:4], 2, 1),
        (EVERYTHING[2:4], 2, 1),  # something else failed, outside the suite
        (EVERYTHING[:1], 0, 0),
    ],
)
def test_the_exit_code_tells_a_fault_of_the_rig_from_one_of_the_beacon(reports, failed, exit_code):
    session = SimpleNamespace(
        testsfailed=failed, exitstatus=1 if failed else 0,
        config=SimpleNamespace(option=SimpleNamespace(xmlpath=None)),
    )  # fmt: skip
    finishing = gathered(*reports).pytest_sessionfinish(session)
    next(finishing)
    with pytest.raises(StopIteration):
        finishing.send(None)
    assert session.exitstatus == exit_code


JUNIT = """<?xml version="1.0"?>
<testsuites><testsuite name="pytest" errors="1" failures="2" skipped="0" tests="4">
<testcase name="a"><properties><property name="outcome" value="INFRA" /></properties>
<failure message="x">INFRA: it was unplugged</failure></testcase>
<testcase name="b"><failure message="assert 1">assert 1</failure></testcase>
<testcase name="c"><properties><property name="outcome" value="INFRA" /></properties>
<error message="failed on setup">INFRA: in use</error></testcase>
<testcase name="d" />
</testsuite></testsuites>"""


def test_junit_calls_a_fault_of_the_rig_an_error_of_type_infra(tmp_path):
    path = tmp_path / "junit.xml"
    path.write_text(JUNIT)
    junit.tell_infra(path)
    suite = ElementTree.parse(path).getroot().find("testsuite")
    assert (suite.get("errors"), suite.get("failures"), suite.get("tests")) == ("2", "1", "4")
    told = {case.get("name"): [(p.tag, p.get("type"), p.get("message")) for p in case
                               if p.tag != "properties"] for case in suite}  # fmt: skip
    assert told == {
        "a": [("error", INFRA, "it was unplugged")],
        "b": [("failure", None, "assert 1")],
        "c": [("error", INFRA, "in use")],
        "d": [],
    }
    assert list(tmp_path.iterdir()) == [path]


KEY = bytes(range(3, 35))


def offer(event_key_hex):
    kept = bytes.fromhex(event_key_hex)
    assert kept == b"", f"the board did not take {kept.hex()}"


def lose(event_key_hex):
    raise BoardLost(f"It was unplugged while it took {event_key_hex}.", code="unplugged")


@pytest.mark.parametrize("act", [offer, lose])
def test_a_key_that_a_failing_test_held_is_not_shown(act):
    told = SimpleNamespace(longrepr=None, sections=[("Captured stdout", f"sent {KEY.hex()}")])
    with pytest.raises((AssertionError, BoardLost)) as caught:
        act(KEY.hex())
    hil._tell(told, caught, hil.as_infra(caught.value), SimpleNamespace(keys=lambda: [KEY]))
    shown = f"{told.longrepr}{told.sections}"
    assert KEY.hex() not in shown
    assert repr(KEY)[2:-1] not in shown
    assert "[a key]" in shown
    assert "test_hil_report.py" in shown or INFRA in shown


def test_a_figure_beyond_its_limit_is_noted_and_fails():
    figures = Figures()
    with pytest.raises(AssertionError, match="allowed are 5"):
        figures.note("heap lost", 6, "bytes", 5)
    assert figures.noted == [{"name": "heap lost", "value": 6, "unit": "bytes", "limit": 5}]
