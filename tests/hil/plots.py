"""The plots of the report: SVG text to be put into the page, readable in grey and on paper."""

import io
import re
import statistics
from collections.abc import Sequence

import matplotlib as mpl

mpl.use("svg")

from matplotlib.figure import Figure

_INK, _GREY = "#1b2733", "#8a949e"
_STYLE = {
    "svg.fonttype": "none",  # text stays text: it can be searched, and scales with the page
    "svg.hashsalt": "fanal",
    "font.size": 10,
    "axes.edgecolor": _GREY,
    "axes.labelcolor": _INK,
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
}
_SIZE_IN = (4.8, 2.3)
_HEAD = re.compile(r"^.*?(?=<svg)", re.DOTALL)
_IDS = re.compile(r'(id="|url\(#|href="#)')


def dots(name: str, rows: Sequence[tuple[str, Sequence[float]]], unit: str) -> str:
    """Return one row of dots for each (label, values), the median as a line: few points."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(_SIZE_IN[0], 0.9 + 0.42 * len(rows)), layout="constrained")
        axes = figure.subplots()
        for at, (_, values) in enumerate(rows):
            axes.plot(values, [at] * len(values), "o", color=_INK, alpha=0.6, markersize=6)
            axes.plot([statistics.median(values)] * 2, [at - 0.3, at + 0.3], color=_INK, lw=2)
        axes.set_yticks(range(len(rows)), [label for label, _ in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xlim(0, 1.08 * max(max(values) for _, values in rows))
        axes.set_xlabel(unit)
        return _svg(figure, axes, name)


def histogram(name: str, values: Sequence[float], unit: str, bins: int = 30) -> str:
    """Return how often which value came; the last bar holds the rare ones above it."""
    most = sorted(values)[max(int(0.99 * len(values)) - 1, 0)]
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=_SIZE_IN, layout="constrained")
        axes = figure.subplots()
        axes.hist([min(v, most) for v in values], bins=bins, range=(0, 1.2 * most), color=_INK)
        axes.axvline(statistics.median(values), color=_GREY, lw=2, linestyle="--")
        axes.set_xlabel(f"{unit}; dashed: the median, {statistics.median(values):.4g}")
        axes.set_ylabel("how often")
        return _svg(figure, axes, name)


def course(name: str, values: Sequence[float], unit: str) -> str:
    """Return the values in the order in which they came."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=_SIZE_IN, layout="constrained")
        axes = figure.subplots()
        axes.plot(values, ".", color=_INK, alpha=0.7, markersize=4)
        axes.axhline(statistics.median(values), color=_GREY, lw=2, linestyle="--")
        axes.set_xlabel(f"frame; dashed: the median, {statistics.median(values):.4g}")
        axes.set_ylabel(unit)
        return _svg(figure, axes, name)


def _svg(figure: Figure, axes: object, name: str) -> str:
    """Return the figure as an element of a page, its ids unlike those of other plots."""
    axes.spines[["top", "right"]].set_visible(False)  # type: ignore[attr-defined]
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    body = _HEAD.sub("", text.getvalue())
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    prefix = re.sub(r"\W+", "-", name)
    body = _IDS.sub(lambda found: f"{found[1]}{prefix}-", body)
    # width and height give way to the page's; the box of the drawing stays
    return re.sub(r'(<svg[^>]*?) width="[^"]*" height="[^"]*"', r"\1", body, count=1)
