"""Drills on the wire: armed only if the board shows it, and taken back for certain."""

import pytest
from fanal import drill
from fanal.error import DeviceError, FanalError, ReadBackError, UsageError

from tests.unit.paper_board import PaperBoard


@pytest.fixture
def board():
    board = PaperBoard()
    board.call("create_identity")
    board.call("provision", "11" * 32)
    return board


def test_armed_and_taken_back(board):
    assert drill.arm(board, 10).armed_s == 600
    assert drill.disarm(board).armed_s == 0
    assert drill.disarm(board).armed_s == 0


@pytest.mark.parametrize("minutes", [0, -1, 61])
def test_never_for_longer_than_an_hour(board, minutes):
    with pytest.raises(UsageError):
        drill.arm(board, minutes)
    assert board.drill_s == 0


def test_a_board_without_identity_has_no_drill():
    with pytest.raises(DeviceError):
        drill.arm(PaperBoard(), 10)


def test_an_event_is_no_time_for_a_rehearsal(board):
    board.says = {"event": {"n": 1, "activation": 1, "drill": False, "resumed": False,
                            "phase": 0, "age_s": 3}}  # fmt: skip
    with pytest.raises(FanalError) as caught:
        drill.arm(board, 10)
    assert caught.value.code == "in_event"
    assert board.drill_s == 0
    drill.disarm(board)


@pytest.mark.parametrize(("act", "shown"), [(lambda b: drill.arm(b, 10), 0), (drill.disarm, 5)])
def test_a_board_that_shows_something_else(board, act, shown):
    board.says = {"drill_armed_s": shown}
    with pytest.raises(ReadBackError) as caught:
        act(board)
    assert "real" in caught.value.hint
