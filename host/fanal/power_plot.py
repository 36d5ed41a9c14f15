"""Months of life over events a month, as a picture: one line for each board and profile."""

import io
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fanal.error import UsageError
from fanal.keyring import write_private
from fanal.power import MONTHS_PER_YEAR, Budget
from fanal.power_schedule import CARRIED

MOST_EVENTS = 10  # a month
_STEPS = 100
_TITLE_LETTERS = 80  # in a line
_TICKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 2, 3, 6, 12, 24, 48)

# told apart without colour too: by marker, and by the kind of line
_LOOKS = {"esp32": ("#1b6ca8", "o"), "esp32c3": ("#b3541e", "s"), "esp32s3": ("#3a7d44", "^")}


def plot(budgets: Sequence[Budget], path: Path) -> None:
    """Draw the budgets, which share one use, into a file, `.png` or `.svg`, whole or not at all.

    Raises UsageError for another ending.
    """
    kind = path.suffix.lower().removeprefix(".")
    if kind not in ("png", "svg"):
        raise UsageError(
            f"{path.name} is neither .png nor .svg.", "End the file's name in .png or .svg."
        )
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    with mpl.rc_context({"svg.hashsalt": "fanal", "font.size": 10}):
        figure, axes = pyplot.subplots(figsize=(8, 5.6), layout="constrained")
        try:
            _draw(axes, budgets)
            content = io.BytesIO()
            figure.savefig(content, format=kind, dpi=150, metadata=_no_date(kind))
        finally:
            pyplot.close(figure)
    write_private(path, content.getvalue())


def _draw(ax: Any, budgets: Sequence[Budget]) -> None:
    events = [MOST_EVENTS * step / _STEPS for step in range(_STEPS + 1)]
    order = sorted(budgets, key=lambda b: -b.months_with(MOST_EVENTS * MONTHS_PER_YEAR))
    for budget in order:
        colour, marker = _LOOKS[budget.board.name]
        ax.plot(
            events,
            [budget.months_with(each * MONTHS_PER_YEAR) for each in events],
            label=f"{budget.board.title}, {budget.profile} ({budget.event_mah:.0f} mAh an event)",
            color=colour,
            marker=marker,
            markevery=10,
            markersize=5,
            linestyle="--" if budget.profile == CARRIED else "-",
        )
    ax.set_yscale("log")
    low, high = ax.get_ylim()
    ax.set_yticks(_TICKS, [f"{months:g}" for months in _TICKS])
    ax.minorticks_off()
    ax.set_ylim(
        max((tick for tick in _TICKS if tick <= low), default=low),
        min((tick for tick in _TICKS if tick >= high), default=high),
    )
    ax.set_xlim(0, MOST_EVENTS)
    ax.set_xlabel("events a month")
    ax.set_ylabel("months on one charge")
    ax.set_title(_title(order[0]), fontsize=10)
    ax.grid(alpha=0.3)
    ax.figure.legend(loc="outside lower center", ncols=2, frameon=False)


def _title(budget: Budget) -> str:
    use = budget.use
    lines = [
        f"Calculated, not measured: {use.capacity_mah:g} mAh,"
        f" {use.touches_per_day:g} touches a day, {use.self_tests_per_year:g} self-tests a year"
    ]
    if use.is_loaded:
        lines[0] += ", something on the sensor"
    changed = [f"{name}={value:g}" for name, value in sorted(budget.changed.items())]
    return "\n".join([*lines, *textwrap.wrap(", ".join(changed), _TITLE_LETTERS)])


def _no_date(kind: str) -> dict[str, None]:
    return {"Date": None} if kind == "svg" else {"Software": None}
