"""Settings: limits, refusals, and a file that power cuts and bad cells have been at."""

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.fake_board import Settings

from beacon import settings as module  # isort: skip
from beacon import this_board  # isort: skip

DEFAULTS = Settings().as_dict()
NUMBERS = dict(module._NUMBERS)


def test_the_defaults_are_within_their_limits():
    assert Settings(DEFAULTS).as_dict() == DEFAULTS
    json.dumps(DEFAULTS)


@pytest.mark.parametrize("name", sorted(NUMBERS))
def test_every_number_has_limits(name):
    _, least, most = NUMBERS[name]
    for value in (least - 1, most + 1, 1.5, True, None, "1", [1]):
        with pytest.raises(module.SettingsError) as caught:
            Settings({name: value})
        assert caught.value.name == name


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"colour": 1}, "colour"),
        ({"profile": "both"}, "profile"),
        ({"profile": ["fixed"]}, "profile"),
        ({"board": "esp8266"}, "board"),
        ({"sensor": None}, "sensor"),
        ({"vibrate": 1}, "vibrate"),
        ({"press_mv": 100, "release_mv": 101}, "release_mv"),
        ({"burst_s": 20, "track_period_s": 20}, "burst_s"),
        ({"battery_low_mv": 3000, "battery_end_mv": 3001}, "battery_end_mv"),
    ],
)
def test_refused_by_name(values, name):
    with pytest.raises(module.SettingsError) as caught:
        Settings(values)
    assert caught.value.name == name


@pytest.mark.parametrize("text", ["", "{", "[]", "1", "null", '"a"', "{}x", "\x00" * 20])
def test_what_is_no_object_is_refused(text):
    with pytest.raises(module.SettingsError) as caught:
        module.parse(text)
    assert caught.value.name == "file"


def test_saved_and_loaded(tmp_path):
    path = str(tmp_path / "settings.json")
    wanted = Settings({"profile": "carried", "hold_ms": 4000, "vibrate": True})
    this_board.save(path, wanted)
    loaded, faults = this_board.load(path)
    assert (loaded.as_dict(), faults) == (wanted.as_dict(), [])
    assert os.listdir(tmp_path) == ["settings.json"]


def test_no_file_is_no_fault(tmp_path):
    loaded, faults = this_board.load(str(tmp_path / "none.json"))
    assert (loaded.as_dict(), faults) == (DEFAULTS, [])


def test_a_file_cut_short_is_a_fault_and_the_defaults(tmp_path):
    path = tmp_path / "settings.json"
    this_board.save(str(path), Settings({"hold_ms": 4000}))
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        loaded, faults = this_board.load(str(path))
        assert (loaded.as_dict(), faults) == (DEFAULTS, ["settings"])


@given(st.binary(max_size=100))
def test_noise_never_raises(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("noise") / "settings.json"
    path.write_bytes(data)
    loaded, _ = this_board.load(str(path))
    assert set(loaded.as_dict()) == set(DEFAULTS)


def test_a_save_that_does_not_read_back_leaves_the_old_file(tmp_path, monkeypatch):
    path = str(tmp_path / "settings.json")
    this_board.save(path, Settings({"hold_ms": 4000}))

    def cut(old, new):
        raise OSError

    monkeypatch.setattr(os, "rename", cut)
    with pytest.raises(OSError):  # noqa: PT011  the one that was planted
        this_board.save(path, Settings({"hold_ms": 5000}))
    assert this_board.load(path)[0].hold_ms == 4000
