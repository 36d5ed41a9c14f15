"""Deep sleep: what is armed on which chip, and for how long at least."""

import sys
import types

import pytest

from tests.unit.fake_board import profile


class Pin:
    IN = 0

    def __init__(self, number, mode):
        self.number = (number, mode)


@pytest.fixture
def armed(monkeypatch):
    """Return the list of what is called, with hardware modules that only note it."""
    calls = []
    machine = types.ModuleType("machine")
    machine.Pin = Pin
    machine.deepsleep = lambda *duration_ms: calls.append(("deepsleep", *duration_ms))
    esp32 = types.ModuleType("esp32")
    esp32.WAKEUP_ANY_HIGH, esp32.WAKEUP_ALL_LOW = "high", "low"
    esp32.wake_on_ext0 = lambda pin, level: calls.append(("ext0", pin.number[0], level))
    esp32.wake_on_ext1 = lambda pins, level: calls.append(("ext1", pins[0].number[0], level))
    esp32.wake_on_gpio = lambda pins, level: calls.append(("gpio", pins[0].number[0], level))
    monkeypatch.setitem(sys.modules, "machine", machine)
    monkeypatch.setitem(sys.modules, "esp32", esp32)
    monkeypatch.delitem(sys.modules, "beacon.sleep", raising=False)
    yield calls
    sys.modules.pop("beacon.sleep", None)


@pytest.mark.parametrize(
    ("board", "wake"),
    [
        (profile.ESP32, ("ext0", 33)),
        (profile.ESP32C3, ("gpio", 4)),
        (profile.ESP32S3, ("ext1", 5)),
    ],
    ids=["esp32", "esp32c3", "esp32s3"],
)
@pytest.mark.parametrize(("on_press", "level"), [(True, "high"), (False, "low")])
def test_the_pin_that_wakes(armed, board, wake, on_press, level):
    from beacon.sleep import Sleep

    Sleep(board).deep(0, on_press)
    assert armed == [(*wake, level), ("deepsleep",)]


@pytest.mark.parametrize(("duration_ms", "slept_ms"), [(1, 100), (99, 100), (100, 100), (101, 101)])
def test_no_timer_runs_out_before_the_chip_sleeps(armed, duration_ms, slept_ms):
    from beacon.sleep import Sleep

    Sleep(profile.ESP32C3).deep(duration_ms, True)
    assert armed[-1] == ("deepsleep", slept_ms)
