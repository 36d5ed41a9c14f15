"""Wrong commands: refused by name, changing nothing, and the console goes on."""

import random

import pytest
from fanal.error import BoardRefused

from tests.hil.beacon import Beacon

NOT_32_BYTES = ("", "0", "zz" * 32, "5a" * 31, "5a" * 33, "5a" * 2000, "\u00e9" * 64)
BAD_SETTINGS = (
    "", "null", "[]", "7", "{", '{"hold_ms": 1}', '{"hold_ms": "3000"}', '{"hold_ms": true}',
    '{"no_such": 1}', '{"profile": "boat"}', '{"release_mv": 900, "press_mv": 300}',
    '{"hold_ms": 3000.5}', '{"x": "' + "y" * 2000 + '"}', "[" * 500,
)  # fmt: skip


@pytest.fixture
def unchanged(beacon):
    """The console, and a check that what was asked changed neither identity nor settings."""
    beacon.at_rest()
    with beacon.attached() as link:
        before = link.call("status")
        yield link
        after = link.call("status")
    for name in ("public_key", "provisioned", "next_event", "event", "settings", "faults"):
        assert after[name] == before[name], name


def refusal(link, function, *args):
    with pytest.raises(BoardRefused) as caught:
        link.call(function, *args)
    return caught.value.code


def test_what_is_no_key_is_refused(unchanged) -> None:
    codes = {refusal(unchanged, "provision", text) for text in NOT_32_BYTES}
    assert codes <= {"bad_hex", "no_identity"}


def test_what_is_no_nonce_is_refused(unchanged) -> None:
    codes = {refusal(unchanged, "challenge", text) for text in (*NOT_32_BYTES, 7)}
    assert codes <= {"bad_hex", "no_identity"}


def test_settings_that_are_not_right_are_refused_whole(unchanged) -> None:
    for text in BAD_SETTINGS:
        assert refusal(unchanged, "configure", text) == "bad_setting", text[:40]


def test_a_drill_of_no_sensible_length_is_refused(unchanged) -> None:
    for seconds in (0, -1, 3601, 1 << 40, "60"):
        assert refusal(unchanged, "arm_drill", seconds) == "bad_seconds"


def test_nobody_is_wiped_by_another_id(unchanged) -> None:
    for beacon_id in ("", "00000000", "corrupt", "*", "A" * 3000):
        assert refusal(unchanged, "wipe", beacon_id) in ("wrong_id", "no_identity")


def test_babble_on_the_line_is_no_harm(beacon: Beacon) -> None:
    before = beacon.at_rest()
    dice = random.Random(5)
    with beacon.line() as line:
        line.require_prompt()
        # everything but the four that mean something to a prompt: interrupt, restart, two modes
        noise = bytes(b for b in dice.randbytes(3000) if b not in b"\x01\x02\x03\x04\x05")
        line.write(noise)
        line.heard_for(0.3)
        line.require_prompt()
    after = beacon.status()
    assert (after.public_key, after.next_event) == (before.public_key, before.next_event)
    assert (after.settings, after.faults) == (before.settings, before.faults)


@pytest.mark.parametrize("call", ["self_test()", "hashes()", "status()", "end_event()"])
def test_an_interrupted_call_is_no_harm(beacon: Beacon, call: str) -> None:
    before = beacon.at_rest()
    with beacon.line() as line:
        for turn in range(3):
            line.require_prompt()
            line.begin(f"from beacon import console\nconsole.{call}")
            line.heard_for(0.02 * turn)
        line.require_prompt()
    after = beacon.status()
    assert (after.public_key, after.next_event) == (before.public_key, before.next_event)
    assert (after.settings, after.faults) == (before.settings, before.faults)


@pytest.mark.needs("identity")
def test_an_interrupted_writing_of_settings_is_all_or_nothing(beacon: Beacon) -> None:
    beacon.on_guard(hold_ms=3000)
    texts = ['{"hold_ms": 2500}', '{"hold_ms": 3000}']
    with beacon.line() as line:
        for turn in range(6):
            line.require_prompt()
            code = f"from beacon import console\nconsole.configure({texts[turn % 2]!r})"
            line.begin(code)
            line.heard_for(0.01 * turn)
        line.require_prompt()
    status = beacon.status()
    assert status.settings["hold_ms"] in (2500, 3000)
    assert status.faults == ()
