"""The time of arrival never jumps, and an unknown signal strength is None."""

import pytest
from fanal.heard import ArrivalClock, Heard, known_rssi


@pytest.mark.parametrize("rssi", [127, -127, 0, None])
def test_unknown_rssi(rssi: int | None) -> None:
    assert known_rssi(rssi) is None


@pytest.mark.parametrize("rssi", [-1, -126, -60, 20])
def test_known_rssi(rssi: int) -> None:
    assert known_rssi(rssi) == rssi


def test_a_wall_clock_that_is_set_changes_nothing() -> None:
    wall, steady = [1_790_000_000.25], [50.0]
    clock = ArrivalClock(lambda: wall[0], lambda: steady[0])
    assert clock.now_ms() == 1_790_000_000_250
    wall[0] -= 86_400
    steady[0] += 1.5
    assert clock.now_ms() == 1_790_000_001_750


def test_the_real_clocks_go_on() -> None:
    clock = ArrivalClock()
    assert 0 <= clock.now_ms() - clock.now_ms() + 1000 <= 1000


def test_what_was_heard_cannot_be_changed() -> None:
    heard = Heard(b"\x20", None, 0, "")
    with pytest.raises(AttributeError):
        heard.payload = b""  # type: ignore[misc]
