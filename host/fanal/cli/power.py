"""`fanal power`: how long a battery lasts, and why."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fanal.cli import console
from fanal.cli.out_file import OutFile
from fanal.error import UsageError
from fanal.power_figures import BOARDS
from fanal.power_schedule import PROFILES

if TYPE_CHECKING:
    from fanal.power import Budget
    from fanal.power_figures import Figure

_LONG_MONTHS = 10  # beyond, tenths say nothing
_DAYS_PER_MONTH = 30.4


@click.command(
    epilog="""\b
Examples:
  fanal power
  fanal power --board esp32c3 --capacity-mah 2000 --events-per-year 6
  fanal power --set alert_s=300 --set track_period_s=600   other settings
  fanal power --set board_ua=3800       a board with a lamp and a USB bridge
  fanal power --plot life.png
  fanal power --board esp32c3 --sources

All of it is calculated, nothing measured: --sources says where each figure is from.
""",
)
@click.option(
    "--board", "boards", type=click.Choice(list(BOARDS)), multiple=True, help="Only this board."
)
@click.option(
    "--profile", "profiles", type=click.Choice(PROFILES), multiple=True, help="Only this profile."
)
@click.option(
    "--capacity-mah",
    metavar="MAH",
    type=float,
    default=1200.0,
    show_default=True,
    help="Of the cell.",
)
@click.option(
    "--events-per-year", metavar="N", type=float, default=2.0, show_default=True, help="Alerts."
)
@click.option(
    "--self-tests-per-year",
    metavar="N",
    type=float,
    default=12.0,
    show_default=True,
    help="Squeezed or begun by wire.",
)
@click.option(
    "--touches-per-day", metavar="N", type=float, default=2.0, show_default=True,
    help="Knocks that wake it and are no squeeze.",
)  # fmt: skip
@click.option(
    "--loaded", "is_loaded", is_flag=True, help="Something lies on the sensor all the time."
)
@click.option(
    "--set", "assignments", metavar="NAME=VALUE", multiple=True,
    help="A setting of the firmware, or a figure of your own; can be repeated.",
)  # fmt: skip
@click.option(
    "--plot", "plot_path", metavar="FILE", type=OutFile(),
    help="Months of life over events a month: FILE.png or FILE.svg.",
)  # fmt: skip
@click.option("--sources", "with_sources", is_flag=True, help="Show where each figure is from.")
@console.json_option
def power_command(
    boards: tuple[str, ...],
    profiles: tuple[str, ...],
    capacity_mah: float,
    events_per_year: float,
    self_tests_per_year: float,
    touches_per_day: float,
    is_loaded: bool,
    assignments: tuple[str, ...],
    plot_path: Path | None,
    with_sources: bool,
    as_json: bool,
) -> None:
    """Estimate how long a battery lasts, for each board and profile.

    From the real schedule of the firmware and documented currents: standby, what one event
    takes on top of it, how many fit into a charge, and who takes which share.
    """
    from fanal.power import Use, budget

    use = Use(capacity_mah, events_per_year, self_tests_per_year, touches_per_day, is_loaded)
    changed = _changed(assignments)
    budgets = [
        budget(BOARDS[board], profile, use, changed)
        for board in boards or BOARDS
        for profile in profiles or PROFILES
    ]
    if plot_path is not None:
        from fanal.power_plot import plot

        plot(budgets, plot_path)
        console.note(f"The plot is in {plot_path}.")
    if as_json:
        console.print_json({"ok": True, "reckoned": [_public(each) for each in budgets]})
        return
    _show(budgets)
    _show_shares(budgets)
    if with_sources:
        _show_sources(budgets)


def _changed(assignments: tuple[str, ...]) -> dict[str, float]:
    changed = {}
    for assignment in assignments:
        name, _, text = assignment.partition("=")
        try:
            changed[name.strip()] = float(text)
        except ValueError:
            raise UsageError(
                f"--set {assignment} gives no number.", "Write it as NAME=NUMBER."
            ) from None
    return changed


def _show(budgets: "list[Budget]") -> None:
    from rich.table import Table

    use = budgets[0].use
    table = Table(box=None, pad_edge=False)
    headings = (
        "Board", "Profile", "Standby", "Never\nsqueezed", "On air", "One\nevent",
        "Events a\ncharge", f"With {use.events_per_year:g}\na year",
    )  # fmt: skip
    for heading in headings:
        table.add_column(heading, justify="left" if heading in headings[:2] else "right")
    for each in budgets:
        table.add_row(
            each.board.title, each.profile, f"{each.standby_ua:.0f} µA",
            _months(each.standby_months), f"{each.on_air_ma:.0f} mA", f"{each.event_mah:.1f} mAh",
            str(each.events_per_charge), _months(each.months),
        )  # fmt: skip
    console.out().print(table)
    click.echo(
        f"\nA cell of {use.capacity_mah:g} mAh, {budgets[0].usable_mah:.0f} of them usable;"
        f" {use.self_tests_per_year:g} self-tests a year, {use.touches_per_day:g} touches a day"
        f"{', something on the sensor' if use.is_loaded else ''}. An event: one hold, then alone."
    )


def _show_shares(budgets: "list[Budget]") -> None:
    from rich.table import Table

    shares = [each.shares() for each in budgets]
    table = Table(box=None, pad_edge=False, title="\nWho takes which share", title_justify="left")
    table.add_column("")
    for each in budgets:
        table.add_column(f"{each.board.title}\n{each.profile}", justify="right")
    for name in shares[0]:
        if any(share[name] for share in shares):
            table.add_row(name, *(_percent(share[name]) for share in shares))
    console.out().print(table)


def _show_sources(budgets: "list[Budget]") -> None:
    """Print one paragraph a figure: those of each board, then those of all."""
    boards = {each.board.name: each for each in budgets}
    for each in boards.values():
        click.echo(f"\nSources, {each.board.title}")
        for name in each.board.figures:
            _show_source(name, each.figures[name])
    click.echo("\nSources, all boards")
    for name, figure in budgets[0].figures.items():
        if name not in budgets[0].board.figures:
            _show_source(name, figure)


def _show_source(name: str, figure: "Figure") -> None:
    value = f"{figure.value:g} {figure.unit}".strip()
    text = "; ".join(part for part in (figure.source, figure.condition) if part)
    click.echo(console.folded(f"  {name} = {value}: {text}", 6, sys.stdout))


def _public(each: "Budget") -> dict[str, object]:
    event = each.airtime
    return {
        "board": each.board.name, "profile": each.profile, "capacity_mah": each.use.capacity_mah,
        "usable_mah": each.usable_mah, "events_per_year": each.use.events_per_year,
        "self_tests_per_year": each.use.self_tests_per_year,
        "touches_per_day": each.use.touches_per_day, "loaded": each.use.is_loaded,
        "standby_ua": each.standby_ua, "standby_months": each.standby_months,
        "on_air_ma": each.on_air_ma, "event_mah": each.event_mah,
        "event_s": {"length": event.length_s, "alert": event.alert_s, "bursts": event.bursts_s},
        "event_wakes": event.wakes, "events_per_charge": each.events_per_charge,
        "months": each.months, "shares": each.shares(), "settings": dict(each.settings),
        "figures": _figures(each.figures),
    }  # fmt: skip


def _figures(figures: "Mapping[str, Figure]") -> dict[str, object]:
    return {
        name: {
            "value": figure.value, "unit": figure.unit, "source": figure.source,
            "condition": figure.condition, "assumption": figure.is_assumption,
        }
        for name, figure in figures.items()
    }  # fmt: skip


def _months(months: float) -> str:
    if months < 1:
        return f"{months * _DAYS_PER_MONTH:.1f} days"
    return f"{months:.0f} months" if months >= _LONG_MONTHS else f"{months:.1f} months"


def _percent(share: float) -> str:
    if 0 < share < 0.01:
        return "<1 %"
    return f"{share:.0%}".replace("%", " %")
