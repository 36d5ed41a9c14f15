"""The suite's flags, its fixtures, and how a fault of the rig is told from one of the beacon."""

from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("mpremote", reason="needs the extra `technician`")

from tests.hil import options
from tests.hil.beacon import Beacon
from tests.hil.figures import Figures
from tests.hil.outcome import FAIL, INFRA, UNTRIED, UNTRIED_PREFIX, Infra, as_infra
from tests.hil.results import Results
from tests.hil.scrub import scrubbed
from tests.hil.session import Session

_SESSION = pytest.StashKey[Session]()
_FIGURES = pytest.StashKey[Figures]()
_RESULTS = pytest.StashKey[Results]()
_LONGEST_S = 900
_HOUR_S = 3600


def pytest_addoption(parser: pytest.Parser) -> None:
    options.add_to(parser.getgroup("hil", "the hardware-in-the-loop suite"))


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(*names): what a test of tests/hil cannot do without")
    flags = options.of(config)
    options.check(flags, workers=config.getoption("numprocesses", None))
    if not hasattr(config, "workerinput"):
        config.stash[_RESULTS] = Results(flags, config.invocation_params.args)
        config.pluginmanager.register(config.stash[_RESULTS], "hil-results")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "beacon" in metafunc.fixturenames:
        metafunc.parametrize("beacon", options.of(metafunc.config).beacons, indirect=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    longest_s = _LONGEST_S + options.of(config).soak_hours * _HOUR_S * 1.5
    for item in items:
        if item.path.parent.name == "hil":
            item.add_marker(pytest.mark.timeout(longest_s))
            # what pyserial does to open rfc2217://
            item.add_marker(
                pytest.mark.filterwarnings("ignore:set(Daemon|Name):DeprecationWarning")
            )


@pytest.fixture(scope="session")
def hil(pytestconfig: pytest.Config) -> Iterator[Session]:
    """The run: its beacons are opened when first needed."""
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    session = pytestconfig.stash[_SESSION] = Session(options.of(pytestconfig), capture)
    yield session
    session.close()


@pytest.fixture
def beacon(request: pytest.FixtureRequest, hil: Session) -> Beacon:
    """A beacon whose rig works and that has what the test needs; else a skip that names it."""
    if options.is_virtual(request.param):
        pytest.importorskip("bumble", reason="needs the extra `sim`")
    if fault := hil.fault(request.param):
        pytest.skip(UNTRIED_PREFIX + fault.reason)
    found = hil.beacon(request.param)
    needs = tuple(name for mark in request.node.iter_markers("needs") for name in mark.args)
    if missing := found.missing(needs):
        pytest.skip(missing)
    if "ears" in needs and found.radio_fault:
        if found.is_radio_told:
            pytest.skip(UNTRIED_PREFIX + found.radio_fault.reason)
        raise found.radio_fault
    found.rig.release()  # the test before it may have ended in the middle of a squeeze
    return found


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Figures:
    """What the test measures, for the report."""
    return request.node.stash.setdefault(_FIGURES, Figures())


@pytest.fixture
def flags(pytestconfig: pytest.Config) -> options.Options:
    """The flags of the run."""
    return options.of(pytestconfig)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[Any]:
    report = yield
    session = item.config.stash.get(_SESSION, None)
    spec = getattr(item, "callspec", None) and item.callspec.params.get("beacon")
    if session is None or spec is None:
        return report
    kind = report.outcome
    if report.failed and call.excinfo is not None:
        fault = as_infra(call.excinfo.value)
        kind = FAIL if fault is None else INFRA
        _tell(report, call.excinfo, fault, session)
        if fault is not None:
            session.failed(spec, fault)
    elif report.skipped and UNTRIED_PREFIX in str(report.longrepr):
        kind = UNTRIED
    _attach(report, item, session, spec, kind)
    return report


def _tell(
    report: Any, problem: pytest.ExceptionInfo[BaseException], fault: Infra | None, session: Session
) -> None:
    """Say what went wrong without the arguments of functions, which can be keys."""
    text = f"{INFRA}: {fault.reason}" if fault else _traceback(problem)
    report.longrepr = scrubbed(text, session.keys())
    report.sections = [(name, scrubbed(said, session.keys())) for name, said in report.sections]


def _traceback(problem: pytest.ExceptionInfo[BaseException]) -> str:
    def of_ours(info: pytest.ExceptionInfo[BaseException]) -> Any:
        return info.traceback.filter(lambda entry: "site-packages" not in str(entry.path))

    return str(problem.getrepr(style="short", tbfilter=of_ours))


def _attach(report: Any, item: pytest.Item, session: Session, spec: str, kind: str) -> None:
    """Put into the report what travels from a worker to whoever writes the page."""
    noted = item.stash.get(_FIGURES, None)
    facts = session.facts(spec)
    report.hil = {
        "beacon": spec,
        "kind": kind,
        "needs": [name for mark in item.iter_markers("needs") for name in mark.args],
        "facts": facts.as_dict() if facts else None,
        "figures": noted.noted if noted else [],
        "series": noted.series if noted else {},
    }
    told = []
    if report.when == "call" and noted:
        told += [(f["name"], f"{f['value']} {f['unit']}") for f in noted.noted]
    if kind in (INFRA, UNTRIED):
        told.append(("outcome", kind))
    item.user_properties += told  # JUnit takes them from the last phase
    report.user_properties += told


def pytest_report_teststatus(report: Any) -> tuple[str, str, str] | None:
    kind = getattr(report, "hil", {}).get("kind")
    if kind == INFRA:
        return "infra", "I", INFRA
    if kind == UNTRIED:
        return "infra-skipped", "i", UNTRIED
    return None
