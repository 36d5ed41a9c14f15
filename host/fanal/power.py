"""How long a battery lasts: standby, one event, and what takes which share. All of it reckoned.

The regulator is linear: what the chip draws, the cell gives. Consumers are mAh; over a year each
is a mean current, and their sum empties what is usable of the cell.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from fanal.error import UsageError
from fanal.power_figures import Board, Figure, figures_of
from fanal.power_schedule import NUMBERS, POLL_S, Airtime, airtime, settings_of

HOURS_PER_YEAR = 8766
MONTHS_PER_YEAR = 12
_CHANNELS = 3
_S_PER_HOUR = 3600


@dataclass(frozen=True)
class Use:
    """What happens to a beacon. touches_per_day: that wake it and are no squeeze.

    is_loaded: something lies on its sensor all the time.
    """

    capacity_mah: float = 1200.0
    events_per_year: float = 2.0
    self_tests_per_year: float = 12.0
    touches_per_day: float = 2.0
    is_loaded: bool = False

    def __post_init__(self) -> None:
        values = (self.events_per_year, self.self_tests_per_year, self.touches_per_day)
        if not 0 < self.capacity_mah < 1e7 or not all(0 <= value < 1e6 for value in values):
            raise UsageError(
                "A capacity is more than zero, and nothing happens less than never.",
                "Check --capacity-mah and the numbers of events, self-tests and touches.",
            )


@dataclass(frozen=True)
class Budget:
    """What was reckoned for one board and profile.

    standby: consumer -> mAh a year with no event at all; event: consumer -> mAh of one event, on
    top of standby. changed: what was set otherwise, by name. on_air_ma: while it transmits.
    usable_mah: of the cell.
    """

    board: Board
    profile: str
    use: Use
    changed: Mapping[str, float]
    settings: Mapping[str, int]
    figures: Mapping[str, Figure]
    airtime: Airtime
    on_air_ma: float
    usable_mah: float
    standby: Mapping[str, float]
    event: Mapping[str, float]

    @property
    def standby_ua(self) -> float:
        """The mean current with no event."""
        return sum(self.standby.values()) / HOURS_PER_YEAR * 1000

    @property
    def event_mah(self) -> float:
        """What one event takes."""
        return sum(self.event.values())

    @property
    def events_per_charge(self) -> int:
        """How many events a full cell gives if they come one after the other."""
        return int(self.usable_mah / self.event_mah)

    @property
    def months(self) -> float:
        """How long a full cell lasts in this use."""
        return self.months_with(self.use.events_per_year)

    @property
    def standby_months(self) -> float:
        """How long a full cell lasts if nobody ever squeezes."""
        return self.months_with(0)

    def months_with(self, events_per_year: float) -> float:
        """How long a full cell lasts with so many events a year."""
        yearly = sum(self.standby.values()) + events_per_year * self.event_mah
        return self.usable_mah / yearly * MONTHS_PER_YEAR

    def shares(self) -> dict[str, float]:
        """Return consumer -> its share of a year in this use; they add up to 1."""
        yearly = dict(self.standby)
        for name, mah in self.event.items():
            yearly[f"events: {name}"] = self.use.events_per_year * mah
        whole = sum(yearly.values())
        return {name: mah / whole for name, mah in yearly.items()}


def budget(
    board: Board, profile: str, use: Use, changed: Mapping[str, float] | None = None
) -> Budget:
    """Return the budget of a board. changed: settings and figures of your own, by name.

    Raises UsageError for a name that is neither, or for a value that cannot be.
    """
    changed = changed or {}
    for name in changed:
        if name not in NUMBERS and name not in figures_of(board):
            known = ", ".join(sorted(NUMBERS))
            raise UsageError(
                f"There is neither a setting nor a figure {name}.",
                f"Settings of the firmware: {known}. Figures: {', '.join(figures_of(board))}.",
            )
    settings = settings_of({n: v for n, v in changed.items() if n in NUMBERS})
    figures = figures_of(board, {n: v for n, v in changed.items() if n not in NUMBERS})
    value = {name: figure.value for name, figure in figures.items()}
    event = airtime(settings, profile)
    on_air_ma = _on_air_ma(value, max(settings["frame_ms"], board.adv_least_ms))
    start_s = (board.boot_ms + value["start_ms"]) / 1000
    return Budget(
        board, profile, use, changed, settings, figures, event, on_air_ma,
        use.capacity_mah * value["usable_percent"] / 100,
        _standby(value, use, settings, on_air_ma, start_s),
        _event(value, settings, event, on_air_ma, start_s),
    )  # fmt: skip


def _on_air_ma(value: Mapping[str, float], frame_ms: int) -> float:
    """Return the mean current while it transmits: the processor runs, one frame each frame_ms."""
    sending = _CHANNELS * value["transmit_us"] / 1000 / frame_ms
    hearing = _CHANNELS * value["listen_us"] / 1000 / frame_ms
    if value["radio_sleeps"]:
        cpu = value["cpu_ma"]
        between = (value["transmit_ma"] - cpu) * sending + (value["receive_ma"] - cpu) * hearing
        return cpu + between
    # the receiver stays on between the frames; its figure is with an idle processor
    running = value["cpu_ma"] - value["cpu_idle_ma"]
    return value["receive_ma"] + running + (value["transmit_ma"] - value["receive_ma"]) * sending


def _standby(
    value: Mapping[str, float],
    use: Use,
    settings: Mapping[str, int],
    on_air_ma: float,
    start_s: float,
) -> dict[str, float]:
    """Return consumer -> mAh a year."""

    def always(ua: float) -> float:
        return ua / 1000 * HOURS_PER_YEAR

    cpu = value["cpu_ma"]
    touches = use.touches_per_day * HOURS_PER_YEAR / 24
    test_mas = settings["self_test_s"] * on_air_ma + (start_s + value["pattern_s"]) * cpu
    monthly = use.capacity_mah * value["self_discharge_percent"] / 100
    standby = {
        "chip asleep": always(value["deep_sleep_ua"]),
        "regulator": always(value["regulator_ua"]),
        "divider": always(value["divider_ua"]),
        "sensor": always(value["loaded_ua" if use.is_loaded else "sensor_ua"]),
        "rest of the board": always(value["board_ua"]),
        "self-discharge": monthly * MONTHS_PER_YEAR,
        "touches": touches * (start_s + value["touch_s"]) * cpu / _S_PER_HOUR,
        "self-tests": use.self_tests_per_year * test_mas / _S_PER_HOUR,
    }
    if use.is_loaded:
        standby["looking after the load"] = always(start_s * cpu * 1000 / POLL_S)
    return standby


def _event(
    value: Mapping[str, float],
    settings: Mapping[str, int],
    event: Airtime,
    on_air_ma: float,
    start_s: float,
) -> dict[str, float]:
    """Return consumer -> mAh of one event: what it takes beyond standby."""
    cpu = value["cpu_ma"]
    radio_ma = on_air_ma - cpu
    squeeze_s = start_s + settings["hold_ms"] / 1000
    awake_mas = cpu * (event.on_air_s + squeeze_s + event.wakes * start_s)
    return {
        "radio, alert": radio_ma * event.alert_s / _S_PER_HOUR,
        "radio, bursts": radio_ma * event.bursts_s / _S_PER_HOUR,
        "processor": awake_mas / _S_PER_HOUR,
    }
