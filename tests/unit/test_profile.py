"""Board profiles: which board is which, and pins that can do what is asked of them."""

import pytest

from tests.unit.fake_board import profile

from beacon import this_board  # isort: skip

RTC_PINS = {
    "esp32": {0, 2, 4, 12, 13, 14, 15, 25, 26, 27, 32, 33, 34, 35, 36, 37, 38, 39},
    "esp32c3": set(range(6)),
    "esp32s3": set(range(22)),
}
ADC1_PINS = {
    "esp32": set(range(32, 40)),
    "esp32c3": set(range(5)),
    "esp32s3": set(range(1, 11)),
}
CHIPS = [profile.ESP32, profile.ESP32C3, profile.ESP32S3]


@pytest.mark.parametrize(
    ("machine", "expected"),
    [
        ("Generic ESP32 module with ESP32", profile.ESP32),
        ("ESP32 module with ESP32", profile.ESP32),
        ("Generic ESP32 module with SPIRAM with ESP32", profile.ESP32),
        ("ESP32C3 module with ESP32C3", profile.ESP32C3),
        ("ESP32-C3 module with ESP32-C3", profile.ESP32C3),
        ("Generic ESP32S3 module with ESP32S3", profile.ESP32S3),
        ("Generic ESP32S3 module with Octal-SPIRAM with ESP32S3", profile.ESP32S3),
        ("ESP32C6 module with ESP32C6", profile.BARE),
        ("ESP32S2 module with ESP32S2", profile.BARE),
        ("Raspberry Pi Pico W with RP2040", profile.BARE),
        ("linux [GCC 14.2.1] version", profile.BARE),
        ("", profile.BARE),
    ],
)
def test_which_board(machine, expected):
    assert profile.of_machine(machine) is expected


def test_by_name():
    assert this_board.profile("esp32c3") is profile.ESP32C3


@pytest.mark.parametrize("board", CHIPS, ids=lambda board: board.name)
def test_pins(board):
    pins = [board.force_pin, board.wake_pin, board.battery_pin, board.motor_pin]
    assert len(set(pins)) == 4
    assert board.wake_pin in RTC_PINS[board.name]
    assert {board.force_pin, board.battery_pin} <= ADC1_PINS[board.name]
    assert not (board.name == "esp32" and board.motor_pin >= 34)
    assert board.wake != profile.WAKE_NONE
