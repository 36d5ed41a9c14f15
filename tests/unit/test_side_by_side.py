"""Several boards at once: one that comes again, one that fails in a way nobody foresaw, Ctrl-C."""

import os
import signal
import threading

import pytest
from fanal.cli import side_by_side


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(side_by_side, "_LOOK_AGAIN_S", 0.01)


def test_a_port_that_comes_again_while_its_board_is_worked_on_is_begun_once():
    begun, looked = [], threading.Event()
    answers = [["a"], ["a", "b"], [], None]

    def more():
        if len(answers) == 1:
            looked.set()
        return answers.pop(0)

    def work(port, _):
        begun.append(port)
        assert looked.wait(10)

    side_by_side.run(["a"], work, lambda *_: "done", more)
    assert sorted(begun) == ["a", "b"]


def test_a_port_that_comes_again_afterwards_has_another_board():
    begun, done, answers = [], threading.Event(), [["a"], None]

    def more():
        return answers.pop(0) if done.is_set() or len(answers) == 1 else []

    def on_done(*_):
        done.set()
        return "done"

    side_by_side.run(["a"], lambda port, _: begun.append(port), on_done, more)
    assert begun == ["a", "a"]


def test_what_nobody_foresaw_of_one_board_stops_no_other():
    failed, told = threading.Event(), []

    def work(port, _):
        if port == "b":
            failed.set()
            raise ZeroDivisionError
        assert failed.wait(10)
        return port

    with pytest.raises(ZeroDivisionError):
        side_by_side.run(["a", "b", "c"], work, lambda port, _: told.append(port) or "done")
    assert sorted(told) == ["a", "c"]


def test_ctrl_c_brings_those_under_way_to_an_end():
    told, looked = [], threading.Event()

    def work(port, _):
        assert looked.wait(10)
        os.kill(os.getpid(), signal.SIGINT)
        return port

    def more():
        looked.set()
        return []

    with pytest.raises(KeyboardInterrupt):
        side_by_side.run(["a"], work, lambda port, _: told.append(port) or "done", more)
    assert told == ["a"]
