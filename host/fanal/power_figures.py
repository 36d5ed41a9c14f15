"""What a beacon's parts draw: every figure with its value, its condition and where it is from.

Nothing here was measured by us. Where no document says, the figure is an assumption, marked, with
the reason; where a document gives a range, the worse end is taken. Currents of the chips are those
of the chip alone: a development board with a lamp and a USB bridge sleeps at milliamperes.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from fanal.error import UsageError


@dataclass(frozen=True)
class Figure:
    """One figure. source: document, version, table. condition: of the value in it."""

    value: float
    unit: str
    source: str
    condition: str = ""

    @property
    def is_assumption(self) -> bool:
        """No document says so."""
        return self.source.startswith("assumption")


@dataclass(frozen=True)
class Board:
    """A kind of board: its figures, and what its firmware profile says of it."""

    name: str
    title: str
    boot_ms: int
    adv_least_ms: int
    figures: Mapping[str, Figure]


_ESP32 = "ESP32 Series Datasheet v5.2"
_C3 = "ESP32-C3 Series Datasheet v2.4"
_C3_MINI = "ESP32-C3-MINI-1 & MINI-1U Datasheet v2.2"
_S3 = "ESP32-S3 Series Datasheet v2.2"
_S3_WROOM = "ESP32-S3-WROOM-1 & WROOM-1U Datasheet v1.8"
_MICROPYTHON = "160 MHz, the default of ESP-IDF, which MicroPython's image keeps"
_PEAK = "peak, 3.3 V, 25 °C, CPU idle"

_COMMON = {
    "regulator_ua": Figure(
        1.6, "µA", "Microchip MCP1700 datasheet DS21826B, DC characteristics, Iq",
        "typical, no load (at most 4 µA)",
    ),
    "divider_ua": Figure(
        2.1, "µA", "docs/sensor.md: two resistors of 1 MOhm across the cell", "4.2 V, full cell"
    ),
    "sensor_ua": Figure(
        0.33, "µA", "Interlink FSR 402 data sheet: more than 10 MOhm at rest", "3.3 V, no force"
    ),
    "board_ua": Figure(
        0.0, "µA", "assumption: nothing else is on the board, no lamp and no USB bridge",
        "an ESP32-DevKitC V4 was measured at 3800 µA asleep (lucidar.me)",
    ),
    "self_discharge_percent": Figure(
        3.0, "% a month", "daviddarling.info, self discharge: lithium 2-3 % per month",
        "upper end; of the capacity, at room temperature",
    ),
    "usable_percent": Figure(
        85.0, "%", "assumption: the rest is below what the regulator needs at 100 mA, or aged away"
    ),
    "transmit_us": Figure(
        376.0, "µs", "Bluetooth Core 5.4, Vol 6 Part B: 47 bytes at 1 Mbit/s",
        "31 bytes of data, per channel, three channels a frame",
    ),
    "listen_us": Figure(
        350.0, "µs", "assumption: T_IFS of 150 µs and a window for a scan request of 176 µs",
        "per channel: the frames are scannable",
    ),
    "start_ms": Figure(
        500.0, "ms", "assumption: from the first line of main.py to the loop, imports included"
    ),
    "touch_s": Figure(
        12.0, "s", "docs/sensor.md: what is no squeeze keeps a beacon awake for 4 to 12 s",
        "upper end",
    ),
    "pattern_s": Figure(12.3, "s", "docs/sensor.md: the self-test pattern, hands off included"),
}  # fmt: skip

_BOARDS = (
    Board("esp32", "ESP32", 350, 100, {
        "deep_sleep_ua": Figure(
            10.0, "µA", f"{_ESP32}, Table 4-2, Deep-sleep", "RTC timer and RTC memory"),
        "cpu_ma": Figure(
            44.0, "mA", f"{_ESP32}, Table 4-2, Modem-sleep, 160 MHz, dual core: 27 to 44 mA",
            f"upper end; {_MICROPYTHON}"),
        "cpu_idle_ma": Figure(
            27.0, "mA", f"{_ESP32}, Table 4-2, Modem-sleep, 160 MHz, dual core: 27 to 44 mA",
            "lower end"),
        "receive_ma": Figure(
            100.0, "mA", f"{_ESP32}, Table 5-4, Receive BT/BLE: 95 to 100 mA", "upper end"),
        "transmit_ma": Figure(
            130.0, "mA", f"{_ESP32}, Table 5-4, Transmit BT/BLE", "0 dBm; the default is 3 dBm"),
        "radio_sleeps": Figure(
            1.0, "", "ESP-IDF, bt/controller/esp32/Kconfig.in: BTDM_CTRL_MODEM_SLEEP default y",
            "MicroPython's sdkconfig.ble leaves it so"),
        "loaded_ua": Figure(
            150.0, "µA", "docs/sensor.md: RM of 22 kOhm", "3.3 V, sensor pressed to the end"),
    }),
    Board("esp32c3", "ESP32-C3", 300, 20, {
        "deep_sleep_ua": Figure(
            5.0, "µA", f"{_C3}, Table 5-9, Deep-sleep", "RTC timer and RTC memory"),
        "cpu_ma": Figure(
            23.0, "mA", f"{_C3}, Table 5-8, Modem-sleep, 160 MHz, CPU is running",
            f"peripheral clocks off; {_MICROPYTHON}"),
        "cpu_idle_ma": Figure(
            16.0, "mA", f"{_C3}, Table 5-8, Modem-sleep, 160 MHz, CPU is idle",
            "peripheral clocks off"),
        "receive_ma": Figure(
            86.0, "mA", f"{_C3_MINI}, Table 6-5, RX, Bluetooth LE",
            f"{_PEAK}; 77 mA on air were measured at 80 MHz (arduino-esp32 #5909)"),
        "transmit_ma": Figure(
            190.0, "mA", f"{_C3_MINI}, Table 6-5, TX, Bluetooth LE @ 9.0 dBm",
            "peak; the default is 3 or 9 dBm, by release"),
        "radio_sleeps": Figure(
            0.0, "", "ESP-IDF, bt/controller/esp32c3/Kconfig.in: BT_CTRL_MODEM_SLEEP default n",
            "MicroPython's sdkconfig.ble leaves it so"),
        "loaded_ua": Figure(
            330.0, "µA", "docs/sensor.md: RM of 10 kOhm", "3.3 V, sensor pressed to the end"),
    }),
    Board("esp32s3", "ESP32-S3", 300, 20, {
        "deep_sleep_ua": Figure(
            8.0, "µA", f"{_S3_WROOM}, Table 6-7, Deep-sleep", "RTC memory and RTC peripherals"),
        "cpu_ma": Figure(
            39.9, "mA", f"{_S3}, Table 5-9, Modem-sleep, 160 MHz, one core runs, 32-bit access",
            f"peripheral clocks off, no PSRAM; {_MICROPYTHON}"),
        "cpu_idle_ma": Figure(
            27.6, "mA", f"{_S3}, Table 5-9, Modem-sleep, 160 MHz, WAITI", "peripheral clocks off"),
        "receive_ma": Figure(93.0, "mA", f"{_S3}, Table 5-8, RX, Bluetooth LE", _PEAK),
        "transmit_ma": Figure(
            193.0, "mA", f"{_S3}, Table 5-8, TX, Bluetooth LE @ 9.0 dBm",
            "peak; the default is 3 or 9 dBm, by release"),
        "radio_sleeps": Figure(
            0.0, "", "ESP-IDF, bt/controller/esp32c3/Kconfig.in, of the S3 too: default n",
            "MicroPython's sdkconfig.ble leaves it so"),
        "loaded_ua": Figure(
            150.0, "µA", "docs/sensor.md: RM of 22 kOhm", "3.3 V, sensor pressed to the end"),
    }),
)  # fmt: skip

BOARDS = {board.name: board for board in _BOARDS}
NAMES = (*_BOARDS[0].figures, *_COMMON)


def figures_of(board: Board, changed: Mapping[str, float] | None = None) -> dict[str, Figure]:
    """Return all figures that count for a board. changed: values of your own, by name.

    Raises UsageError for a name that is of no figure, and for a value below zero.
    """
    figures = {**board.figures, **_COMMON}
    for name, value in (changed or {}).items():
        if name not in figures:
            raise UsageError(f"There is no figure {name}.", f"There are: {', '.join(figures)}.")
        if not 0 <= value < 1e6:
            raise UsageError(f"{name}={value:g} makes no sense.", "Give a number from 0 up.")
        figures[name] = Figure(value, figures[name].unit, "yours (--set)")
    return figures
