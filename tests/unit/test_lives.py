"""Whole lives of the real firmware on a board that fails at any moment.

Hypothesis writes the life: squeezes, bumps, power cuts at a time and at a flash operation, a
real-time clock that is set, a radio that keeps its address, a battery that goes flat. What
must hold whatever happens stands in `Invariants`.
"""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.unit.fake_board import (
    DeepSleep,
    Settings,
    World,
    event,
    event_secrets,
    keys,
    life,
    retained,
    slot,
    squeeze,
    vault,
)

from beacon import frames, known_answers  # isort: skip

SHORT = {
    "alert_s": 10,
    "event_s": 60,
    "self_test_s": 8,
    "burst_s": 4,
    "track_period_s": 20,
    "window_s": 5,
}
PATTERN_MS = (2000, 2000, 350, 2000, 2000)


class Invariants(World):
    """A board whose every frame, boot and sleep is held to what must never happen."""

    def __init__(self, settings, seed_vault=True):
        super().__init__(settings, seed_vault)
        self.sealed = {}
        self.speaker = {}
        self.unit = {}
        self.newest = 0
        self.excused = set()  # events that a squeeze, a resumption or a wire explains
        self.asked = set()  # of these, the ones that no squeeze explains: self-tests, nothing else
        self.owed_ms = None  # since when an alert is due

    def check(self, heard):
        super().check(heard)
        # an address never speaks for two slots, and no slot returns to an address of another
        assert self.speaker.setdefault(heard.address, heard.rid) == heard.rid
        assert heard.n >= self.newest, "an event number went back"
        self.newest = heard.n
        assert heard.n in self.excused, "on air without a squeeze"
        if heard.kind == "alert":
            nonce = heard.payload[1:11]
            assert self.unit.setdefault(heard.address, nonce) == nonce
            assert self.sealed.setdefault((heard.n, nonce), heard.payload) == heard.payload
            assert heard.plain.status & 0x05 == 0
            if heard.n in self.asked:
                assert heard.plain.status & 0xF2 == 0, "asked for by wire, and no self-test"
            reserved = retained.decode(self.rtc.memory())
            assert (reserved.n, reserved.unit // event.UNITS_PER_SLOT) == (heard.n, heard.slot)
            mask = slot.mask(event_secrets(heard.n)[0], heard.slot)
            q = int.from_bytes(heard.payload[9:11], "big")
            assert slot.unmasked(q, mask) == reserved.unit % event.UNITS_PER_SLOT
            self.owed_ms = None

    def slept(self, sleep):
        record = vault.Vault(self.nor).recover()
        if not record.open or isinstance(
            retained.decode(self.rtc.memory()), retained.BackoffRecord
        ):
            for n in range(1, record.n + 1):
                for secret in event_secrets(n):
                    assert secret not in self.rtc.raw, f"a key of event {n} in RTC memory"
        assert not self.ble.up
        assert self.owed_ms is None or self.ble.stuck, "asleep on an accepted squeeze"

    def sleep_ms(self, ms):
        if self.owed_ms is not None and not self.ble.stuck:
            assert self.now_ms - self.owed_ms <= 2500, "no alert after an accepted squeeze"
        super().sleep_ms(ms)

    def _cold(self):
        super()._cold()
        self.owed_ms = None

    def _boot(self):
        watch(self)
        super()._boot()


def watch(world):
    """Note what the detector accepts and what the vault opens, as they happen."""
    feed, opened = squeeze.Detector.feed, vault.opened

    class Detector(squeeze.Detector):
        def feed(self, t_ms, force_mv):
            felt = feed(self, t_ms, force_mv)
            if felt == squeeze.HOLD and world.life._vault.record.event_key is not None:
                world.owed_ms = world.now_ms
            if felt != squeeze.NONE:
                world.excused.add(world.life._vault.record.n)
                world.asked.discard(world.life._vault.record.n)
            return felt

    life.squeeze = _Module(squeeze, Detector=Detector)

    def noted(record, following, activation, drill, resumptions):
        if resumptions:
            assert record.open
            assert record.activation == 1
            world.excused.add(record.n)
            world.asked.discard(record.n)
        return opened(record, following, activation, drill, resumptions)

    life.vault = _Module(vault, opened=noted)


class _Module:
    """A module with some of its names replaced."""

    def __init__(self, module, **names):
        self._module = module
        self.__dict__.update(names)

    def __getattr__(self, name):
        return getattr(self._module, name)


@pytest.fixture(autouse=True)
def _modules():
    yield
    life.squeeze, life.vault = squeeze, vault


def pattern(world, after_ms):
    """Squeeze the self-test."""
    for i, part_ms in enumerate(PATTERN_MS):
        if i % 2 == 0:
            world.press(after_ms, part_ms)
        after_ms += part_ms


def ask(world, wait_ms=0, **changes):
    """Ask for a self-test and leave, as console.begin_self_test and leave do it.

    wait_ms: how long between. changes: of the record, by a fault. What it may begin is noted.
    """
    record = vault.Vault(world.nor).recover()
    if record.open:
        return
    asked = retained.SelfTestRecord(record.n, world.rtc_ms())._replace(**changes)
    world.rtc.memory(retained.encode(asked))
    world.pass_ms(wait_ms)
    world.life, world._asleep = None, (DeepSleep(100, None), world.now_ms)
    if 0 <= world.rtc_ms() + 400 - asked.asked_ms <= 31_000 and asked.n == record.n:
        world.excused.add(record.n)
        world.asked.add(record.n)


def act(world, action):
    """Do one line of a life."""
    name, first, second = action
    if name == "hold":
        world.press(first, 3000 + second)
    elif name == "bump":
        world.press(first, second % 400)
    elif name == "test":
        pattern(world, first)
    elif name == "cut":
        world.cut_at_ms = world.now_ms + first
    elif name == "flash":
        world.nor.cut = (world.nor.operations + second % 7, (first % 5) / 4 if first % 6 else 2)
    elif name == "clock":
        world.rtc_offset_ms += (first - 10000) * 400
    elif name == "stuck":
        world.ble.stuck = second % 5
    elif name == "battery":
        world.battery = 2500 + second
    elif name == "ask" and world.cut_at_ms is None:
        ask(world, first)
    world.run(world.now_ms + first + 4000)


KINDS = ("hold", "bump", "test", "cut", "flash", "clock", "stuck", "battery", "wait", "ask")
actions = st.tuples(
    st.sampled_from((*KINDS, "hold", "cut")),
    st.integers(0, 30000),
    st.integers(0, 2000),
)


@settings(max_examples=60)
@given(st.sampled_from(("fixed", "carried")), st.lists(actions, min_size=1, max_size=14))
@example("fixed", [("hold", 8000, 0), ("cut", 100, 0), ("hold", 0, 0), ("wait", 30000, 0)] * 3)
@example("fixed", [("hold", 8000, 0), ("flash", 3, 1), ("hold", 100, 0), ("flash", 1, 2)] * 3)
@example("carried", [("hold", 8000, 0), ("clock", 0, 0), ("wait", 30000, 0), ("clock", 30000, 0)])
@example("fixed", [("ask", 100, 0), ("hold", 0, 0), ("ask", 100, 0), ("cut", 50, 0), ("ask", 9, 0)])
def test_lives(profile, actions):
    world = Invariants(Settings({**SHORT, "profile": profile}))
    for action in actions:
        act(world, action)


def test_a_day():
    """A carried beacon, to the end of slot 95: slot 96 does not exist."""
    values = {**SHORT, "profile": "carried", "track_period_s": 900}
    world = Invariants(Settings(values))
    world.press(8000, 3500)
    boots = world.run(world.now_ms + 12000)
    start_ms = world.heard[0].t_ms
    boots += world.run(start_ms + 86_500_000)
    assert world.heard[-1].slot >= 94
    assert 86_400_000 - 900_000 < world.heard[-1].t_ms - start_ms < 86_400_000
    assert boots > 96
    assert {heard.n for heard in world.heard} == {1}
    record = vault.Vault(world.nor).recover()
    assert (record.n, record.open) == (2, False)
    assert {heard.plain.phase for heard in world.heard if heard.kind == "alert"} == {0, 1}


def squeezed(**values):
    """Return a world in which a hold was accepted some seconds ago."""
    world = Invariants(Settings({**SHORT, **values}))
    world.press(8000, 3500)
    world.run(world.now_ms + 16000)
    assert world.heard
    return world


def alerts(world, n):
    return [heard for heard in world.heard if heard.kind == "alert" and heard.n == n]


def cut(world, for_ms=3000):
    world.cut_at_ms = world.now_ms + 10
    world.run(world.now_ms + for_ms)


def test_a_hold_alerts_within_a_tick_and_signs_after():
    world = squeezed()
    first, second = world.heard[:2]
    assert first.kind == "alert"
    assert second.kind == "page"
    assert second.address == first.address
    assert {heard.plain for heard in world.heard if heard.kind == "page"} == set(range(12))


def test_a_bump_says_nothing():
    world = Invariants(Settings(SHORT))
    world.press(8000, 300)
    world.run(world.now_ms + 60000)
    assert not world.heard
    assert not world.ble.addresses


def test_a_self_test_ends_by_itself_and_is_not_resumed():
    world = Invariants(Settings(SHORT))
    pattern(world, 8000)
    world.run(world.now_ms + 22000)
    assert {heard.plain.status >> 5 for heard in alerts(world, 1)} == {0}
    cut(world, 20000)
    assert {heard.n for heard in world.heard} == {1}
    record = vault.Vault(world.nor).recover()
    assert (record.n, record.open) == (2, False)


def test_a_hold_during_a_self_test_is_a_new_event():
    world = Invariants(Settings({**SHORT, "self_test_s": 60}))
    pattern(world, 8000)
    world.run(world.now_ms + 24000)
    world.press(1000, 3500)
    world.run(world.now_ms + 6000)
    assert alerts(world, 2)[0].plain.status == 0x20


def test_a_hold_during_the_track_phase_is_the_same_event():
    world = squeezed(event_s=600)
    world.run(world.now_ms + 30000)
    assert alerts(world, 1)[-1].plain.phase == 1
    world.press(1000, 3500)
    world.run(world.now_ms + 8000)
    assert alerts(world, 1)[-1].plain.phase == 0
    assert world.newest == 1


@pytest.mark.parametrize("late_ms", range(100, 2100, 200))
def test_a_hold_right_after_a_burst_seals_no_unit_twice(late_ms):
    """The unit may be used already, under another phase: then it is pages until the next."""
    world = squeezed(event_s=600)
    world.run(world.now_ms + 20000)
    start_ms = world.heard[0].t_ms
    opened = world.life._emission.event if world.life else None
    while opened is None or opened._bursting_to_ms == 0:
        world.run(world.now_ms + 20)
        opened = world.life._emission.event if world.life else None
    burst_end_ms = world.now_ms + opened._bursting_to_ms - opened.age_ms
    accepted_ms = burst_end_ms + late_ms
    world.press(accepted_ms - 3000 - world.now_ms, 3100)
    world.run(accepted_ms + 5000)
    assert alerts(world, 1)[-1].plain.phase == 0
    assert world.heard[-1].t_ms > burst_end_ms > start_ms


def test_a_cut_resumes_with_the_next_event_and_says_so():
    world = squeezed()
    cut(world)
    assert alerts(world, 2)[0].plain.status == 0x22
    assert not alerts(world, 1)[0].plain.status & 0x02


def test_resumptions_in_a_row_wait_longer_and_give_up():
    world = squeezed(event_s=7200, alert_s=7200)
    cut(world)
    waits = []
    for resumption in range(2, 17):
        before_ms, heard = world.now_ms, len(world.heard)
        world.cut_at_ms = world.now_ms + 10
        world.run(world.now_ms + 12000 + 1000 * life.backoff_s(resumption))
        assert world.newest == resumption + 1
        waits.append(world.heard[heard].t_ms - before_ms)
    assert [wait // 1000 // 60 * 60 for wait in waits[:6]] == [240, 480, 960, 1920, 3600, 3600]
    cut(world, 20000)
    assert world.newest == 17
    assert not vault.Vault(world.nor).recover().open


def test_a_squeeze_ends_the_wait_and_the_count():
    world = squeezed(event_s=7200, alert_s=7200)
    cut(world)
    cut(world, 60000)
    assert world.newest == 2
    world.press(1000, 3500)
    world.run(world.now_ms + 6000)
    record = vault.Vault(world.nor).recover()
    assert (record.n, record.resumptions) == (4, 0)
    assert alerts(world, 3)[0].plain.status == 0x20


def test_a_self_test_does_not_end_the_wait():
    world = squeezed(event_s=7200, alert_s=7200)
    cut(world)
    cut(world, 30000)
    pattern(world, 1000)
    world.run(world.now_ms + 30000)
    assert world.newest == 2


@pytest.mark.parametrize("profile", ["fixed", "carried"])
def test_sat_on_for_hours_alerts_once(profile):
    world = Invariants(Settings({**SHORT, "profile": profile, "track_period_s": 900}))
    world.press(8000, 4 * 3600_000)
    boots = world.run(world.now_ms + 4 * 3600_000 + 20000)
    assert boots < 4 * 3600 / 60 + 20
    record = vault.Vault(world.nor).recover()
    assert record.n == 2
    assert alerts(world, 1)[0].plain.phase == 0


def test_after_being_sat_on_a_hold_counts_again():
    world = Invariants(Settings(SHORT))
    world.press(8000, 600_000)
    world.run(world.now_ms + 620_000)
    world.press(5000, 3500)
    world.run(world.now_ms + 12000)
    assert world.newest == 2


def armed(seconds=600):
    """Return a world that sleeps with a drill armed, as console.arm_drill and leave do it."""
    world = Invariants(Settings(SHORT))
    now_ms = world.rtc_ms()
    kept = retained.quiet(now_ms, now_ms + seconds * 1000)
    world.rtc.memory(retained.encode(kept))
    world.is_wake = True
    return world


def test_an_armed_drill_marks_one_activation():
    world = armed()
    world.press(8000, 3500)
    world.run(world.now_ms + 90000)
    assert alerts(world, 1)[0].plain.status == 0x30
    world.press(1000, 3500)
    world.run(world.now_ms + 10000)
    assert alerts(world, 2)[0].plain.status == 0x20


def test_a_hold_during_a_drill_is_real():
    world = armed()
    world.press(8000, 3500)
    world.run(world.now_ms + 16000)
    world.press(1000, 3500)
    world.run(world.now_ms + 6000)
    assert alerts(world, 2)[0].plain.status == 0x20


@pytest.mark.parametrize("why", ["late", "cold", "clock_back", "cut_before"])
def test_in_doubt_a_drill_is_real(why):
    world = armed(seconds=60)
    if why == "late":
        world.run(world.now_ms + 61000)
    elif why == "cold":
        world.is_wake = False
    elif why == "clock_back":
        world.run(world.now_ms + 1000)
        world.rtc_offset_ms -= 30000
    elif why == "cut_before":
        world.cut_at_ms = world.now_ms + 1000
        world.run(world.now_ms + 10000)
    world.press(8000, 3500)
    world.run(world.now_ms + 16000)
    assert alerts(world, 1)[0].plain.status == 0x20


def test_a_resumed_drill_is_a_drill():
    world = armed()
    world.press(8000, 3500)
    world.run(world.now_ms + 14000)
    cut(world)
    assert alerts(world, 2)[0].plain.status == 0x32


def asleep_in_peace():
    """Return a world in which nobody squeezed, and the beacon sleeps."""
    world = Invariants(Settings(SHORT))
    world.run(world.now_ms + 20000)
    assert world.life is None
    return world


def test_a_self_test_asked_for_by_wire_is_one_and_ends_by_itself():
    world = asleep_in_peace()
    ask(world, 2000)
    world.run(world.now_ms + 60_000)
    assert {heard.n for heard in world.heard} == {1}
    assert {heard.plain.status for heard in alerts(world, 1)} == {0}
    assert {heard.plain for heard in world.heard if heard.kind == "page"} == set(range(12))
    assert 7000 < world.heard[-1].t_ms - world.heard[0].t_ms < 8000
    record = vault.Vault(world.nor).recover()
    assert (record.n, record.open) == (2, False)
    assert isinstance(retained.decode(world.rtc.memory()), retained.QuietRecord)


def test_what_began_a_self_test_begins_no_other():
    """The record is gone before the event opens, so no cut and no reset finds it again."""
    for cut_ms in range(350, 9000, 450):
        world = asleep_in_peace()
        ask(world)
        world.cut_at_ms = world.now_ms + cut_ms
        world.run(world.now_ms + 40_000)
        assert {heard.n for heard in world.heard} <= {1}
        assert vault.Vault(world.nor).recover().n <= 2


def test_a_crash_after_the_wake_does_not_begin_it_again():
    """A watchdog's reset leaves RTC memory as it is; only the wake may begin it."""
    world = asleep_in_peace()
    ask(world)
    world.run(world.now_ms + 200)  # in the boot of that wake
    kept = world.rtc.memory()
    world.run(world.now_ms + 30_000)
    heard = len(world.heard)
    for is_wake in (False, True):
        world.rtc.memory(kept)  # even if it were there still
        world.life, world._asleep, world.is_wake, world.is_by_pin = None, None, is_wake, False
        world.run(world.now_ms + 30_000)
        assert len(world.heard) == heard


@pytest.mark.parametrize(
    "why", ["late", "early", "cold", "cut", "another n", "bit", "open", "no key", "pin"]
)
def test_in_doubt_no_self_test_begins(why):
    world = asleep_in_peace()
    if why == "open":
        prepared = vault.Vault(world.nor)
        record = prepared.recover()
        following = keys.next_event_key(record.event_key)
        ask(world)
        prepared.commit(vault.opened(record, following, 0, False, 0))
    elif why == "no key":
        world = Invariants(Settings(SHORT), seed_vault=False)
        ask(world)
    elif why == "late":
        ask(world, 31_000)
    elif why == "early":
        ask(world, asked_ms=world.rtc_ms() + 60_000)
    elif why == "another n":
        ask(world, n=2)
    else:
        ask(world)
    if why == "cold":
        world._asleep, world.is_wake = None, False
    elif why == "cut":
        world.cut_at_ms = world.now_ms + 50
    elif why == "bit":
        world.rtc.raw[12] ^= 1
    elif why == "pin":
        world._asleep[0].on_press = True
        world.press(20, 1000)
    n = vault.Vault(world.nor).recover().n
    world.run(world.now_ms + 700)
    begins = retained.encode(retained.SelfTestRecord(0, 0))[:5]
    assert not world.rtc.memory().startswith(begins), "the next leave would begin it"
    world.run(world.now_ms + 60_000)
    assert not world.heard
    assert vault.Vault(world.nor).recover().n == n


@pytest.mark.parametrize("after_ms", [0, 60, 500, 4000])
def test_a_hold_is_an_alert_whoever_asked_for_a_self_test(after_ms):
    world = asleep_in_peace()
    ask(world)
    world.press(after_ms, 3800)
    world.run(world.now_ms + 9000)
    assert alerts(world, 2)[0].plain.status == 0x20
    assert alerts(world, 2)[0].t_ms < alerts(world, 1)[0].t_ms + after_ms + 4000


def test_a_flat_battery_ends_an_event_but_not_the_first_alert():
    world = Invariants(Settings(SHORT))
    world.battery = 2500
    world.press(8000, 3500)
    world.run(world.now_ms + 30000)
    assert alerts(world, 1)[0].plain.status == 0x28
    assert not vault.Vault(world.nor).recover().open


@pytest.mark.parametrize("by", ["resumption", "squeeze"])
def test_nothing_slow_stands_before_the_first_alert(by, monkeypatch):
    """Known answers, the signature, the motor: each comes when the event is on air already."""
    world = squeezed(vibrate=True)
    world.run(world.now_ms + 80_000)
    if by == "squeeze":
        world.press(1000, 3500)  # it wakes the beacon
    else:
        world.press(1000, 4000)
        world.run(world.now_ms + 8000)
        world.cut_at_ms = world.now_ms + 100
    expected = 2 if by == "squeeze" else 3
    came = {}

    def come(what, answer=None):
        if world.life._vault.record.n > expected:
            came.setdefault(what, world.newest)
        return answer

    known, signed = known_answers.run, frames.Frames.sign
    monkeypatch.setattr(known_answers, "run", lambda: come("answers") or known())
    monkeypatch.setattr(frames.Frames, "sign", lambda *a: come("signature") or signed(*a))
    world.motor = _Noted(lambda: come("motor"))
    world.run(world.now_ms + 12_000)
    assert came == dict.fromkeys(("answers", "signature", "motor"), expected)


class _Noted(list):
    """A motor that says when it is switched."""

    def __init__(self, note):
        super().__init__()
        self._note = note

    def append(self, level):
        if level:
            self._note()


def test_an_address_that_does_not_change_is_not_used_and_tried_again():
    world = squeezed(alert_s=60)
    heard = len(world.heard)
    world.ble.stuck = 20
    world.run(world.now_ms + 10_000)
    assert len({heard.address for heard in world.heard[heard:]}) >= 4


def test_a_new_slot_has_its_own_address_identifier_and_signature():
    world = squeezed(alert_s=7200, event_s=7200)
    world.life._emission.event.at(896_500)
    heard = len(world.heard)
    world.run(world.now_ms + 10_000)
    slots = [heard.slot for heard in world.heard[heard:]]
    assert slots == sorted(slots)
    later = [heard for heard in world.heard[heard:] if heard.slot == 1]
    assert [heard.kind for heard in later[:2]] == ["alert", "page"]
    assert {heard.plain for heard in later if heard.kind == "page"} == set(range(12))


def test_a_wake_with_a_spoiled_record_is_a_cold_boot():
    world = squeezed(event_s=600)
    world.run(world.now_ms + 9000)
    assert retained.decode(world.rtc.memory()).state == event.TRACK
    world.rtc.raw[20] ^= 1
    world.run(world.now_ms + 20000)
    assert world.newest == 2


def test_an_unprovisioned_beacon_is_silent():
    world = World(Settings(SHORT), seed_vault=False)
    world.press(2000, 3500)
    world.press(20000, 5000)
    world.run(world.now_ms + 60000)
    assert not world.heard


def test_a_corrupt_vault_is_silent_and_no_brick():
    world = World(Settings(SHORT))
    for sector in world.nor.data:
        sector[30] ^= 0x04
    world.press(2000, 3500)
    boots = world.run(world.now_ms + 60000)
    assert not world.heard
    assert boots < 10
    with pytest.raises(vault.VaultError):
        vault.Vault(world.nor).recover()
