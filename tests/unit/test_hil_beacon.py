"""The hardware suite's judgement of a board that stops answering, and its account of the air."""

import contextlib
from types import SimpleNamespace

import pytest

pytest.importorskip("mpremote", reason="needs the extra `technician`")

from fanal.error import BoardLost
from fanal.heard import Heard

from tests.hil import beacon as under_test
from tests.hil.account import ALERT, PAGE, Account
from tests.hil.beacon import Beacon
from tests.hil.listening import first_heard, silence
from tests.hil.options import Options
from tests.hil.outcome import Infra
from tests.unit.paper_beacon import T0, PaperBeacon, heard, lossy


class Rig:
    """A rig on paper: its time is set by the test, its reset button counts."""

    def __init__(self, *can):
        self.name, self.port, self.can = "paper", "/dev/paper", frozenset(can)
        self.ears = SimpleNamespace(heard=[], adverts=5, fault=lambda: None)
        self.resets = 0
        self.now = T0

    def now_ms(self):
        return self.now

    def reset(self):
        self.resets += 1

    def wait_until(self, is_so, timeout_s):
        self.now += int(timeout_s * 1000)
        return bool(is_so())

    def let_pass(self, seconds):
        self.now += int(seconds * 1000)


class Link:
    """A board link that is lost for as many times as the test says, with a code of its."""

    losses, code = 0, "silent"

    def __init__(self, port, **_):
        self.port = port

    def __enter__(self):
        if Link.losses:
            Link.losses -= 1
            raise BoardLost(f"{self.port} says nothing.", code=Link.code)
        return self

    def __exit__(self, *_):
        pass

    def call(self, _):
        return {}


@pytest.fixture
def attach(monkeypatch):
    """Attach to a board that is lost so often; return the rig."""
    monkeypatch.setattr(under_test, "BoardLink", Link)
    status = SimpleNamespace(drill_armed_s=0, event=None, settings={"window_s": 60})
    monkeypatch.setattr(under_test, "read_status", lambda _: status)

    def act(losses, code="silent", *can):
        Link.losses, Link.code = losses, code
        rig = Rig(*can)
        with contextlib.ExitStack() as stack:
            stack.callback(setattr, Link, "losses", 0)
            with Beacon(rig, None, Options(), None).attached():
                pass
        return rig

    return act


def test_a_board_that_answers_after_a_reset_hung_and_that_is_a_failure(attach):
    with pytest.raises(AssertionError, match="not the cable"):
        attach(1, "silent", "reset", "wake")


def test_a_line_that_stays_dead_is_the_rigs(attach):
    with pytest.raises(BoardLost):
        attach(9, "silent", "reset", "wake")


@pytest.mark.parametrize("code", ["unplugged", "other_board", "garbage"])
def test_what_cannot_be_the_board_is_not_asked_again(attach, code):
    with pytest.raises(BoardLost):
        attach(1, code, "reset", "wake")


def test_a_board_that_sleeps_is_reset_first_where_that_is_possible(attach):
    assert attach(0, "silent", "wake").resets == 1
    assert attach(0, "silent").resets == 0


def beacon_on(rig, public_key=b""):
    found = Beacon(rig, None, Options(), None)
    found._public_key = public_key
    return found


def test_silence_counts_only_while_others_are_heard():
    paper, rig = PaperBeacon(), Rig()
    account = Account(rig.ears, [paper.first_keys()], T0)
    with pytest.raises(Infra, match="heard no device"):
        silence(beacon_on(rig), account, 10)
    with pytest.raises(Infra, match="heard no device"):
        first_heard(beacon_on(rig), account, 10)
    passing = rig.let_pass
    rig.let_pass = lambda s: (passing(s), setattr(rig.ears, "adverts", 9))
    silence(beacon_on(rig), account, 10)


def test_a_packet_in_what_was_to_be_silence_fails():
    paper, rig = PaperBeacon(), Rig()
    account = Account(rig.ears, [paper.first_keys()], T0)

    def speaks(_):
        rig.ears.adverts += 1
        rig.ears.heard.append(heard(paper.alert(1), T0 + 5))

    rig.let_pass = speaks
    with pytest.raises(AssertionError, match="1 packets"):
        silence(beacon_on(rig), account, 10)


def accounted(frames, *events, since_ms=T0):
    ears = SimpleNamespace(heard=list(frames))
    return Account(ears, events, since_ms).update()


def test_every_frame_is_accounted_for_and_no_other_beacons():
    paper, other = PaperBeacon(1), PaperBeacon(2)
    mine = list(paper.on_air(3, T0, 20))
    mixed = [frame for pair in zip(mine, other.on_air(3, T0, 20), strict=True) for frame in pair]
    noise = [Heard(bytes(size), -50, T0, "x") for size in range(40)]
    account = accounted(noise + mixed, paper.first_keys().later(3, paper.key(3)))
    assert len(account.packets) == len(mine)
    assert {p.payload for p in account.packets} == {f.payload for f in mine}
    assert {p.kind for p in account.packets} == {ALERT, PAGE}
    assert [p.unit for p in account.alerts] == sorted(p.unit for p in account.alerts)
    assert {s.event for s in account.sightings} == {3}
    assert len(account.signatures) == 1


def test_pages_before_the_first_alert_are_found_in_the_end():
    paper = PaperBeacon()
    pages = [heard(page, T0 + i) for i, page in enumerate(paper.pages(1)[:4])]
    account = accounted([*pages, heard(paper.alert(1), T0 + 50)], paper.first_keys())
    assert [p.page for p in account.pages] == [0, 1, 2, 3]
    assert [p.kind for p in account.packets] == [PAGE] * 4 + [ALERT]


def test_what_was_heard_before_is_another_story():
    paper = PaperBeacon()
    frames = list(lossy(paper.on_air(1, T0, 10), 0.4))
    account = accounted(frames, paper.first_keys(), since_ms=T0 + 5000)
    assert min(p.t_ms for p in account.packets) >= T0 + 5000
    assert len(account.packets) == sum(f.t_ms >= T0 + 5000 for f in frames)
