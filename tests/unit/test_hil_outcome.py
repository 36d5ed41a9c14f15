"""The hardware suite's own words: whose fault it is, what is missing, what flags mean."""

import base64

import pytest
from fanal.error import (
    BoardLost,
    BoardRefused,
    DeviceError,
    EnvironmentFault,
    FanalError,
    IntegrityError,
)

pytest.importorskip("mpremote", reason="needs the extra `technician`")

from fanal.repl import ScriptFailed
from fanal.serial_port import why_not

from tests.hil import capabilities, options, scrub
from tests.hil.options import Options, words_of
from tests.hil.outcome import Infra, as_infra
from tests.hil.person import Person
from tests.hil.wired import WiredRig

KEY = bytes(range(7, 39))


@pytest.mark.parametrize(
    "problem",
    [
        BoardLost("gone", code="unplugged"),
        BoardLost("silent", code="silent"),
        BoardLost("who?", code="no_answer"),
        BoardLost("another", code="other_board"),
        BoardLost("left", code="lost"),
        DeviceError("no port", code="no_port"),
        DeviceError("boot loader", code="nothing_to_run"),
        EnvironmentFault("in use", code="port_busy"),
        EnvironmentFault("not allowed", code="permission"),
        why_not("/dev/no-such-port"),
        Infra("the relay is dead"),
    ],
    ids=str,
)
def test_what_is_wrong_with_the_rig_is_infra(problem):
    assert as_infra(problem) is not None


@pytest.mark.parametrize(
    "problem",
    [
        ScriptFailed("/dev/x", "ValueError"),
        BoardRefused("no", code="provisioned"),
        IntegrityError("not its key"),
        FanalError("something"),
        DeviceError("protocol 2", code="protocol"),
        AssertionError("1 == 2"),
        KeyError("id"),
        TimeoutError(),
    ],
    ids=repr,
)
def test_what_is_wrong_with_the_beacon_is_not(problem):
    assert as_infra(problem) is None


def test_a_deaf_radio_concerns_the_radio_alone():
    assert as_infra(EnvironmentFault("off", code="radio")).radio
    assert not as_infra(EnvironmentFault("in use", code="port_busy")).radio


def test_what_no_flag_can_change_is_named_first():
    needs = ("squeeze", "ears", "radio")
    assert capabilities.first_missing(needs, frozenset()) == "board has no radio"
    assert capabilities.first_missing(needs, frozenset(("radio",))) == "needs --radio"
    assert capabilities.first_missing(needs, frozenset(needs)) is None
    with pytest.raises(KeyError):
        capabilities.first_missing(("telepathy",), frozenset())


WRONG = {
    "a radio of no kind": Options(radio="wifi"),
    "a dongle without a transport": Options(radio="hci:"),
    "a board on nobody's air": Options(beacons=("/dev/ttyUSB0",), radio="air"),
    "the same twice": Options(beacons=("virtual", "virtual")),
}


@pytest.mark.parametrize("flags", WRONG.values(), ids=WRONG)
def test_flags_that_make_no_sense_are_refused(flags):
    with pytest.raises(pytest.UsageError):
        options.check(flags)


def test_one_serial_line_is_not_shared_by_workers():
    options.check(Options(), workers=2)
    with pytest.raises(pytest.UsageError, match="-n"):
        options.check(Options(beacons=("/dev/ttyUSB0",)), workers=2)


def test_which_radio_listens_to_what():
    assert Options().radio_of("virtual") == "air"
    assert Options().radio_of("/dev/ttyUSB0") == "none"
    assert Options(radio="bluetooth").radio_of("/dev/ttyUSB0") == "bluetooth"
    assert Options(radio="bluetooth").radio_of("virtual:esp32") == "air"
    assert Options(radio="none").radio_of("virtual") == "none"


def test_a_hook_is_words_and_no_shell():
    assert words_of("play {curve} --to 'a b'", curve="hold; rm") == [
        "play", "hold; rm", "--to", "a b",
    ]  # fmt: skip


@pytest.fixture
def rig():
    return lambda **flags: WiredRig("b", "/dev/none", Options(**flags), None)


def test_a_hook_that_fails_is_the_rigs_fault(rig):
    failing = rig(squeeze_command="false {curve}", power_command="/no/such/relay {state}")
    failing.squeeze("hold")
    with pytest.raises(Infra, match="status 1"):
        failing.close()
    with pytest.raises(Infra, match="relay does not start"):
        failing.power(True)


def test_hooks_get_curve_and_state(rig, tmp_path):
    said = tmp_path / "said"
    working = rig(
        squeeze_command=f"sh -c 'echo {{curve}} >> {said}'",
        power_command=f"sh -c 'echo {{state}} >> {said}'",
    )
    assert working.can == {"squeeze", "power", "wake"}
    working.squeeze("hold")
    working.release()
    working.reset()
    assert said.read_text().split() == ["hold", "off", "on"]


def test_a_rig_without_flags_can_do_nothing(rig):
    assert rig().can == frozenset()


class Capture:
    """Pytest's capture manager, on paper."""

    def __init__(self):
        self.calls = []

    def suspend_global_capture(self, in_):
        assert in_
        self.calls.append("shown")

    def resume_global_capture(self):
        self.calls.append("hidden")


def test_a_person_is_asked_where_they_can_read_it():
    capture = Capture()
    person = Person(capture, lambda text: capture.calls.append(text))
    WiredRig("left", "/dev/none", Options(interactive=True), person).squeeze("hold")
    shown, text, hidden = capture.calls
    assert (shown, hidden) == ("shown", "hidden")
    assert "left: squeeze it, and hold on" in text


def test_capturing_goes_on_when_the_person_is_gone():
    capture = Capture()

    def gone(_):
        raise EOFError

    with pytest.raises(EOFError):
        Person(capture, gone).asked("press", "now")
    assert capture.calls == ["shown", "hidden"]


def in_every_encoding(key):
    yield key.hex()
    yield key.hex().upper()
    yield f"provision({key.hex()!r})"
    yield repr(key)
    yield str(list(key))
    yield str(tuple(key))
    yield base64.b32encode(key).decode()
    for around in (b"", b"x", b"xy", b"xyz"):
        yield base64.b64encode(around + key + around).decode()
        yield base64.urlsafe_b64encode(around + key + around).decode()


@pytest.mark.parametrize("text", list(in_every_encoding(KEY)))
def test_a_key_is_scrubbed_in_every_encoding(text):
    told = scrub.scrubbed(f"before {text} after", [bytes(32), KEY])
    assert scrub.HIDDEN in told
    assert told.startswith("before ")
    assert told.endswith(" after")
    assert not any(form in told for form in scrub.forms(KEY))


def test_what_is_no_key_stays():
    text = f"{(b'z' + KEY[1:]).hex()} is another"
    assert scrub.scrubbed(text, [KEY]) == text
