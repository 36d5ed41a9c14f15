"""The power reckoned is that of the firmware's schedule, and every figure has a source."""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from fanal import power_plot, power_schedule
from fanal.cli import main
from fanal.error import UsageError
from fanal.power import HOURS_PER_YEAR, Use, budget
from fanal.power_figures import BOARDS, NAMES, figures_of
from fanal.power_schedule import CARRIED, FIXED, NUMBERS, PROFILES, airtime, settings_of
from hypothesis import assume, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.unit.fake_board import Settings, event

from beacon import life, profile  # isort: skip
from beacon import settings as firmware_settings  # isort: skip

EVERY = [(board, kind) for board in BOARDS.values() for kind in PROFILES]
each = pytest.mark.parametrize(("board", "kind"), EVERY, ids=lambda v: getattr(v, "name", v))


def lived(values, kind):
    """Return what the firmware does in one event: seconds of alert, of bursts, and wakes."""
    opened = event.Event(1, event.ALERT, Settings({**values, "profile": kind}))
    alert = bursts = wakes = 0
    was = event.TRANSMIT
    for second in range(power_schedule.LONGEST_S + 1):
        action = opened.at(second * 1000)
        if action == event.END:
            return alert, bursts, wakes, second
        if action == event.TRANSMIT:
            alert += opened.phase == 0
            bursts += opened.phase == 1
            wakes += was == event.LISTEN
        was = action
    raise AssertionError("an event without end")


def reckoned(values, kind):
    told = airtime(settings_of(values), kind)
    return told.alert_s, told.bursts_s, told.wakes, told.length_s


# -- the firmware, said once more


def test_settings_are_those_of_the_firmware():
    theirs = firmware_settings._NUMBERS
    assert {name: theirs[name] for name in NUMBERS} == NUMBERS
    assert firmware_settings._CHOICES["profile"][1] == PROFILES
    assert event.LAST_MS == power_schedule.LONGEST_S * 1000
    assert life._POLL_MS << life._POLL_DOUBLINGS == power_schedule.POLL_S * 1000


def test_boards_are_those_of_the_firmware():
    theirs = {name: p for name, p in profile.PROFILES.items() if p.radio}
    assert set(BOARDS) == set(theirs)
    for name, board in BOARDS.items():
        assert (board.boot_ms, board.adv_least_ms) == (
            theirs[name].boot_ms, theirs[name].adv_least_ms,
        )  # fmt: skip


@pytest.mark.parametrize("kind", PROFILES)
def test_an_event_is_that_of_the_firmware(kind):
    assert reckoned({}, kind) == lived({}, kind)


@given(
    alert_s=st.integers(10, 400), event_s=st.integers(10, 1500),
    track_period_s=st.integers(10, 300), burst_s=st.integers(4, 120),
)  # fmt: skip
@hypothesis_settings(max_examples=60)
def test_so_it_is_with_other_settings(**values):
    assume(values["burst_s"] < values["track_period_s"])
    assert reckoned(values, FIXED) == lived(values, FIXED)


@pytest.mark.parametrize(
    "values",
    [
        {"alert_s": 9}, {"alert_s": 7201}, {"event_s": 0.5}, {"burst_s": 3}, {"frame_ms": 19},
        {"burst_s": 60, "track_period_s": 60}, {"hold_ms": -1}, {"alert_s": float("inf")},
        {"alert_s": float("nan")},
    ],
)  # fmt: skip
def test_what_the_firmware_refuses_is_refused(values):
    with pytest.raises(UsageError):
        settings_of(values)


# -- figures


@each
def test_every_figure_has_a_source(board, kind):
    for name, figure in figures_of(board).items():
        assert figure.source
        assert name.rsplit("_", 1)[-1] in ("ua", "ma", "us", "ms", "s", "percent", "sleeps")
        # the name of a document with the place in it, or the reason for an assumption
        assert len(figure.source.removeprefix("assumption: ")) > 20
        if name.endswith(("_ua", "_ma")) and not figure.is_assumption:
            assert "heet" in figure.source or "docs/" in figure.source


def test_boards_have_the_same_figures():
    assert {tuple(figures_of(board)) for board in BOARDS.values()} == {NAMES}


@pytest.mark.parametrize("changed", [{"nonsense": 1}, {"cpu_ma": -1}, {"cpu_ma": float("nan")}])
def test_figures_that_cannot_be(changed):
    with pytest.raises(UsageError):
        figures_of(BOARDS["esp32"], changed)


# -- the reckoning


def test_by_hand():
    """An ESP32-C3, fixed: every step once more, on paper."""
    told = budget(BOARDS["esp32c3"], FIXED, Use(self_tests_per_year=0, touches_per_day=0))
    # receiver 86, processor running 23 instead of 16, and 3 x 376 us of 190 in every 100 ms
    assert told.on_air_ma == pytest.approx(86 + 7 + (190 - 86) * 3 * 0.376 / 100)
    # 5 + 1.6 + 2.1 + 0.33 uA, and 3 % of 1200 mAh in a month of 730.5 h
    assert told.standby_ua == pytest.approx(9.03 + 36 / 730.5 * 1000)
    # 600 s, and 12 s every 300 s of the hour: the first 288 s after the alert
    awake_mas = 23 * (0.8 + 3 + 10 * 0.8)
    assert told.event_mah == pytest.approx((told.on_air_ma * 720 + awake_mas) / 3600)
    assert told.standby_months == pytest.approx(1020 / (told.standby_ua / 1000 * 730.5))
    assert told.events_per_charge == int(1020 / told.event_mah)


def test_a_radio_that_sleeps_takes_less():
    asleep = budget(BOARDS["esp32c3"], FIXED, Use(), {"radio_sleeps": 1})
    assert 23 < asleep.on_air_ma < 28
    assert asleep.event_mah < budget(BOARDS["esp32c3"], FIXED, Use()).event_mah / 3


@each
def test_shares_are_shares(board, kind):
    told = budget(board, kind, Use(is_loaded=True))
    assert sum(told.shares().values()) == pytest.approx(1)
    assert min(told.shares().values()) >= 0
    yearly = told.standby_ua / 1000 * HOURS_PER_YEAR + 2 * told.event_mah
    assert told.months == pytest.approx(told.usable_mah / yearly * 12)


@each
@pytest.mark.parametrize(
    "worse",
    [
        {"events_per_year": 3}, {"self_tests_per_year": 13}, {"touches_per_day": 3},
        {"is_loaded": True}, {"capacity_mah": 1100},
    ],
)  # fmt: skip
def test_more_takes_more(board, kind, worse):
    assert budget(board, kind, Use(**worse)).months < budget(board, kind, Use()).months


@each
@pytest.mark.parametrize("name", [n for n in NAMES if n not in ("loaded_ua", "radio_sleeps")])
def test_every_figure_counts(board, kind, name):
    """A figure that changes nothing would be one that nobody reckons with."""
    plain = budget(board, kind, Use())
    value = figures_of(board)[name].value
    changed = budget(board, kind, Use(), {name: value + 1}).months
    irrelevant = (name == "listen_us" and not plain.figures["radio_sleeps"].value) or (
        name == "cpu_idle_ma" and plain.figures["radio_sleeps"].value
    )
    assert (changed == plain.months) == bool(irrelevant)


@pytest.mark.parametrize(
    "use",
    [
        {"capacity_mah": 0}, {"capacity_mah": -1}, {"capacity_mah": float("nan")},
        {"events_per_year": -1}, {"touches_per_day": float("inf")},
        {"self_tests_per_year": float("nan")},
    ],
)  # fmt: skip
def test_a_use_that_cannot_be(use):
    with pytest.raises(UsageError):
        Use(**use)


# -- the command


def run(*args):
    return CliRunner().invoke(main, ["power", *map(str, args)])


def test_the_command_needs_no_fleet_and_names_every_source():
    result = run("--sources")
    assert result.exit_code == 0, result.output
    for name in NAMES:
        assert f"  {name} = " in result.stdout
    for board in BOARDS.values():
        for figure in figures_of(board).values():
            assert figure.source in result.stdout


def test_as_json():
    result = run("--json", "--board", "esp32c3", "--profile", CARRIED, "--set", "alert_s=300",
                 "--set", "board_ua=100", "--events-per-year", "6")  # fmt: skip
    told = json.loads(result.stdout)
    (one,) = told["reckoned"]
    assert told["ok"] is True
    assert (one["board"], one["profile"], one["events_per_year"]) == ("esp32c3", CARRIED, 6)
    assert one["settings"]["alert_s"] == 300
    assert one["figures"]["board_ua"] == {
        "value": 100.0, "unit": "µA", "source": "yours (--set)", "condition": "",
        "assumption": False,
    }  # fmt: skip
    assert set(one["figures"]) == set(NAMES)
    assert one["figures"]["usable_percent"]["assumption"] is True
    assert sum(one["shares"].values()) == pytest.approx(1)


@pytest.mark.parametrize(
    "args",
    [
        ("--set", "nonsense=1"), ("--set", "alert_s"), ("--set", "alert_s=much"), ("--set", "=1"),
        ("--set", "alert_s=1"), ("--capacity-mah", "0"), ("--events-per-year", "-1"),
        ("--board", "esp8266"), ("--profile", "both"), ("--plot", "life.pdf"),
        ("--set", "cpu_ma=nan"),
    ],
)  # fmt: skip
def test_what_makes_no_sense(args, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run(*args)
    assert result.exit_code == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "head"), [("life.png", b"\x89PNG"), ("life.svg", b"<?xml")])
def test_the_plot_is_a_picture_and_always_the_same(tmp_path, name, head):
    path = tmp_path / name
    assert run("--plot", path).exit_code == 0
    first = path.read_bytes()
    assert first.startswith(head)
    assert run("--plot", path).exit_code == 0
    assert path.read_bytes() == first
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("changed", [{}, {"board_ua": 20000.0}, {"self_discharge_percent": 0.0}])
def test_the_plot_shows_all_lines_whatever_their_size(tmp_path, monkeypatch, changed):
    seen = []
    monkeypatch.setattr(power_plot, "_draw", lambda ax, b, draw=power_plot._draw: (
        draw(ax, b), seen.append((ax.get_ylim(), len(ax.get_lines()))))[0])  # fmt: skip
    budgets = [budget(board, kind, Use(), changed) for board, kind in EVERY]
    power_plot.plot(budgets, tmp_path / "life.png")
    ((low, high), lines) = seen[0]
    assert lines == len(EVERY)
    for one in budgets:
        assert low <= one.months_with(power_plot.MOST_EVENTS * 12) <= one.standby_months <= high


# -- the page


def test_the_page_says_what_comes_out():
    page = (Path(__file__).parents[2] / "docs" / "power.md").read_text()
    rows = [re.split(r" *\| *", line.strip("| ")) for line in page.splitlines() if " µA |" in line]
    assert len(rows) == len(EVERY)
    for row, (board, kind) in zip(rows, EVERY, strict=True):
        told = budget(board, kind, Use())
        assert row == [
            board.title, kind, f"{told.standby_ua:.0f} µA", f"{told.standby_months:.0f} months",
            f"{told.on_air_ma:.0f} mA", f"{told.event_mah:.1f} mAh", str(told.events_per_charge),
            f"{told.months:.0f} months",
        ]  # fmt: skip


@pytest.mark.parametrize(
    ("use", "changed", "months"),
    [
        (Use(), {"board_ua": 3800.0}, 11 / 30.4),
        (Use(is_loaded=True), {}, 2),
    ],
)
def test_so_it_does_of_what_is_worse(use, changed, months):
    assert budget(BOARDS["esp32c3"], FIXED, use, changed).months == pytest.approx(months, rel=0.05)


def test_the_picture_says_what_was_changed(tmp_path):
    pytest.importorskip("matplotlib", reason="needs the extra `plot`")
    changed = {"alert_s": 300, "board_ua": 3800}
    path = tmp_path / "life.svg"
    power_plot.plot([budget(BOARDS["esp32"], FIXED, Use(is_loaded=True), changed)], path)
    title = power_plot._title(budget(BOARDS["esp32"], FIXED, Use(is_loaded=True), changed))
    assert title.splitlines()[1] == "alert_s=300, board_ua=3800"
    assert "something on the sensor" in title
    assert power_plot._title(budget(BOARDS["esp32"], FIXED, Use())).count("\n") == 0
    assert path.stat().st_size > 1000


def test_what_is_no_setting_and_no_figure_is_shown_what_there_is():
    with pytest.raises(UsageError) as caught:
        budget(BOARDS["esp32"], "fixed", Use(), {"nonsense": 3})
    for name in (*NUMBERS, "cpu_ma", "board_ua"):
        assert name in caught.value.hint
