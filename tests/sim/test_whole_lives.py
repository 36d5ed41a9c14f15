"""Whole lives of a beacon on the virtual board: real interpreter, real flash, virtual air and time.

What `tests/unit/test_lives.py` shows by the thousand with the firmware in-process is tried here
where that cannot go: a process that dies, a flash file of 4 MB, RTC memory, a serial line. The
witness of `whole_life.py` checks every frame; what is left to the tests is to be hostile.
"""

import asyncio
import json
import os
import time
from functools import wraps
from random import Random

import pytest

pytest.importorskip("bumble", reason="needs the extra `sim`")

from fanal.sim.chip import ASLEEP, OFF, PROMPT, RTC_MEMORY
from fanal.sim.clock import run_virtual
from fanal.sim.flash import PARTITIONS, SECTOR, Cut, PowerCut
from fanal_protocol import crypto, keys

from tests.sim import whole_life
from tests.sim.whole_life import (
    BUMP,
    FIRST_KEY,
    HOLD,
    HOLD_MS,
    PUBLIC_KEY,
    SEED,
    VAULT,
    Beacon,
    attached,
    beacon,
    event_key,
    pattern,
    vault,
)

pytestmark = pytest.mark.sim


@pytest.fixture(scope="module", autouse=True)
def _images(tmp_path_factory):
    with whole_life.keep_images(tmp_path_factory.mktemp("images")):
        yield


PROVISIONED = vault.provisioned(vault.identity(SEED, PUBLIC_KEY), FIRST_KEY)


def virtual(live):
    """Run an asynchronous test in virtual time."""

    @wraps(live)
    def run(*arguments, **named):
        return run_virtual(live(*arguments, **named))

    return run


# --- 1. the power goes at every operation of the flash ---

# A commit into a clean vault writes the record, then its mark, then erases the old sector.
# The record's key begins at its byte 84.
COMMIT = [
    Cut(0, "before"), Cut(0, "inside", 1), Cut(0, "inside", 20), Cut(0, "inside", 100),
    Cut(0, "inside", 131), Cut(0, "after"), Cut(1, "before"), Cut(1, "inside", 2), Cut(1, "after"),
    Cut(2, "before"), Cut(2, "inside", 1), Cut(2, "inside", 90), Cut(2, "inside", 4095),
    Cut(2, "after"),
]  # fmt: skip
# up to here the new record is not whole
LOST = 5
EVERY = range(len(COMMIT))
SOME = (1, 3, 4, 5, 7, 8, 9, 11, 13)


class Torn:
    """Stands over a flash; what is cut inside leaves each bit as it was or as it was to become."""

    def __init__(self, made: Beacon, seed: int) -> None:
        self._flash, self._random = made.board.flash, Random(seed)
        self._perform, self._flash._perform = self._flash._perform, self

    def __call__(self, address: int, result: bytes) -> None:
        cut, old = self._flash._cut, self._flash.read(address, len(result))
        try:
            self._perform(address, result)
        except PowerCut:
            if cut is not None and cut.where == "inside":
                mask = self._random.randbytes(len(result))
                mixed = bytes(map(lambda o, n, m: (o & m) | (n & ~m), old, result, mask))
                os.pwrite(self._flash.fd, mixed, address)
            raise


async def cut_at(made: Beacon, cut: Cut, act, seed: int | None = None) -> None:
    """Do `act()`, with the power cut at a flash operation of it, perhaps torn; power on again."""
    if seed is not None:
        Torn(made, seed)
    made.board.cut(cut)
    act()
    await made.world.wait_until(lambda: made.board.state == OFF, 120)
    made.witness.causes = 1
    made.board.power_on()


def erase_vault(made: Beacon) -> None:
    """Make a vault that was never written."""
    os.pwrite(made.board.flash.fd, b"\xff" * VAULT.size, VAULT.address)


def usable(made: Beacon, n: int) -> None:
    """The vault holds this beacon's identity, E_n and nothing that was."""
    record = made.record()
    assert (record.seed, record.public_key) == (SEED, PUBLIC_KEY)
    assert (record.n, record.event_key) == (n, event_key(n))
    made.witness.check_flash()


@pytest.mark.parametrize("number", EVERY)
@virtual
async def test_a_cut_while_an_event_opens(number):
    async with beacon() as made:
        await made.asleep()
        await cut_at(made, COMMIT[number], lambda: made.board.squeeze(HOLD), number)
        await made.run(3)
        # what was committed is burnt: event 1 was never on air, its resumption is event 2
        lost = number < LOST
        assert {h.n for h in made.witness.heard} == (set() if lost else {2})
        assert made.record().open != lost
        usable(made, 1 if lost else 3)
        await made.run(3)
        await made.hold()
        assert made.record().n == (2 if lost else 3)


@pytest.mark.parametrize("number", SOME)
@virtual
async def test_a_cut_while_an_event_is_resumed(number):
    opened = vault.opened(PROVISIONED, event_key(2), 1, False, 0)
    async with beacon(record=opened, powered=False) as made:
        await cut_at(made, COMMIT[number], made.board.power_on, number)
        lost = number < LOST
        await made.run(4)
        if lost:
            assert {h.n for h in made.witness.heard} == {2}
            usable(made, 3)
        else:
            # event 2 was never on air either, and the second resumption in a row waits
            assert not made.witness.heard
            usable(made, 3)
            await made.run(245)
            assert {h.n for h in made.witness.heard} == {3}
            usable(made, 4)
        assert all(h.plain.status == 0x22 for h in made.witness.alerts())


@pytest.mark.parametrize("number", SOME)
@virtual
async def test_a_cut_while_an_event_ends(number):
    async with beacon() as made:
        await made.run(1)
        await made.hold()
        await cut_at(made, COMMIT[number], lambda: None, number)
        lost = number < LOST
        await made.run(3)
        assert made.record().open == lost
        assert {h.n for h in made.witness.heard} == ({1, 2} if lost else {1})
        usable(made, 3 if lost else 2)


@pytest.mark.parametrize("seed", range(3))
@virtual
async def test_a_cut_at_any_moment(seed):
    rng = Random(seed)
    async with beacon({"event_s": 600}) as made:
        await made.run(rng.uniform(0.3, 8))
        for _ in range(4):
            made.witness.causes = 1
            made.board.squeeze(HOLD)
            # most of them between the decision and the first frames
            await made.run(rng.choice((2.9, 2.9, 3.0, 3.0, 5.0)) + rng.uniform(0, 0.3))
            await made.cut(rng.uniform(0.1, 2))
            await made.run(rng.uniform(0, 12))
            usable(made, made.record().n)
        await made.run(4)
        await made.hold()


CREATE = [cut for cut in COMMIT if cut.operation < 2]


@pytest.mark.parametrize("number", range(len(CREATE)))
@virtual
async def test_a_cut_while_an_identity_is_made(number):
    async with beacon(record=vault.EMPTY) as made:
        erase_vault(made)
        await made.run(1)
        wire = await attached(made)
        await cut_at(made, CREATE[number], lambda: wire.say("create_identity"), number)
        await made.run(1)
        wire = await attached(made)
        there = (await wire.call("status"))["public_key"]
        assert (there is None) == (number < LOST)
        answer = await wire.call("create_identity")
        assert answer["created"] == (there is None)
        assert there in (None, answer["public_key"])
        again = await wire.call("create_identity")
        assert (again["created"], again["public_key"]) == (False, answer["public_key"])


@pytest.mark.parametrize("number", EVERY)
@virtual
async def test_a_cut_while_the_first_key_is_written(number):
    async with beacon(record=vault.identity(SEED, PUBLIC_KEY)) as made:
        await made.run(1)
        wire = await attached(made)
        say = lambda: wire.say("provision", FIRST_KEY.hex())  # noqa: E731
        await cut_at(made, COMMIT[number], say, number)
        await made.run(1)
        check = crypto.kdf(FIRST_KEY, b"fanal/1 first key check", 8).hex()
        wire = await attached(made)
        status = await wire.call("status")
        assert status["public_key"] == PUBLIC_KEY.hex()
        assert status["provisioned"] == (number >= LOST)
        answer = await wire.call("provision", FIRST_KEY.hex())
        assert answer == {"ok": True, "check": check, "written": number < LOST}
        other = await wire.call("provision", event_key(2).hex())
        assert other["error"] == "provisioned"
        usable(made, 1)


@pytest.mark.parametrize("where", ["before", "inside", "after"])
@virtual
async def test_a_cut_at_every_operation_while_settings_are_written(where):
    """The file system has its own way to survive; the old settings or the new are in force."""
    wanted = json.dumps(whole_life.SHORT | {"hold_ms": 2500, "vibrate": True})
    async with beacon() as made:
        await made.run(1)
        flash = made.board.flash
        wire = await attached(made)
        before, operations = made.board.flash_bytes(), flash.operations
        hashes = await wire.call("hashes")
        assert (await wire.call("configure", wanted))["ok"]
        operations = flash.operations - operations
        assert operations > 3
        for number in range(operations):
            made.board.power_off()
            os.pwrite(flash.fd, before, 0)
            made.board.power_on()
            await made.run(1)
            wire = await attached(made)
            say = lambda wire=wire: wire.say("configure", wanted)  # noqa: E731
            await cut_at(made, Cut(number, where, 37), say)
            await made.run(1)
            wire = await attached(made)
            status = await wire.call("status")
            assert status["faults"] == []
            hold_ms, vibrate = status["settings"]["hold_ms"], status["settings"]["vibrate"]
            assert (hold_ms, vibrate) in ((3000, False), (2500, True))
            assert await wire.call("hashes") == hashes
            assert (await wire.call("configure", wanted))["ok"]
        usable(made, 1)


@pytest.mark.parametrize("what", ["end_event", "wipe"])
@pytest.mark.parametrize("number", SOME)
@virtual
async def test_a_cut_while_the_console_ends_or_wipes(what, number):
    opened = vault.opened(PROVISIONED, event_key(2), 0, False, 0)
    async with beacon(record=opened, powered=False) as made:
        made.board.power_on()
        await made.run(1)  # a self-test is not resumed: this closes it
        assert not made.record().open
        if what == "end_event":
            await made.hold()
        wire = await attached(made)
        said = (what, keys.beacon_id(PUBLIC_KEY)) if what == "wipe" else (what,)
        await cut_at(made, COMMIT[number], lambda: wire.say(*said), number)
        await made.run(2)
        if what == "wipe":
            assert (made.record().seed is None) == (number >= LOST)
            if number >= LOST:
                dump = made.board.flash_bytes()
                for secret in (SEED, event_key(1), event_key(2)):
                    assert not whole_life.remains(dump, secret)
        else:
            assert made.record().open == (number < LOST)
            made.witness.check_flash()


# --- 2. whole lives, written by a seed ---


class Fate:
    """What happens to a beacon in one life: one method a blow, all of it from one seed."""

    def __init__(self, made: Beacon, seed: int) -> None:
        self._made, self._board, self._random = made, made.board, Random(seed)
        # what the witness lets go on air next: 1 after what may open an event
        self._kinds = [
            self.hold, self.hold, self.hold, self.test, self.bump, self.cut, self.reset,
            self.flash, self.flash, self.clock, self.memory, self.flip, self.battery, self.wait,
            self.person,
        ]  # fmt: skip

    async def strike(self) -> None:
        """One blow, and a while."""
        rng, made = self._random, self._made
        await rng.choice(self._kinds)()
        await made.run(rng.choice((0.05, 1, 4, 15, 70)) * rng.uniform(0.5, 1.5))
        if self._board.state == OFF:
            made.witness.causes = 1
            self._board.power_on()
        if self._board.state != ASLEEP:
            await made.run(0.5)  # in the boot is the recovery
        if self._board.state == OFF:
            return
        usable(made, made.record().n)

    async def hold(self) -> None:
        self._made.witness.causes = 1
        self._board.squeeze(HOLD)

    async def test(self) -> None:
        self._made.witness.causes = 1
        self._board.squeeze(pattern())

    async def bump(self) -> None:
        self._board.squeeze(BUMP)

    async def cut(self) -> None:
        await self._made.cut(self._random.uniform(0, 1))

    async def reset(self) -> None:
        self._made.witness.causes = 1
        self._board.reset()

    async def flash(self) -> None:
        where = self._random.choice(("before", "inside", "after"))
        self._board.cut(Cut(self._random.randrange(6), where, self._random.randrange(1, 140)))
        await self.hold()

    async def clock(self) -> None:
        self._board.drift = self._random.choice((0.9, 0.97, 1.0, 1.03, 1.1))
        if self._board.state == ASLEEP:
            self._board.rtc_us += self._random.randrange(-9000, 9000) * 1_000_000

    async def memory(self) -> None:
        if self._board.state == ASLEEP:
            self._made.witness.causes = 1
            self._board.retained[:] = self._random.randbytes(RTC_MEMORY)

    async def flip(self) -> None:
        if self._board.state == ASLEEP:
            self._made.witness.causes = 1
            at = self._random.randrange(self._board.retained_size or RTC_MEMORY)
            self._board.retained[at] ^= 1 << self._random.randrange(8)

    async def battery(self) -> None:
        self._board.battery(self._random.choice((3900, 3300, 2850)))

    async def wait(self) -> None:
        await self._made.run(self._random.uniform(0, 600))

    async def person(self) -> None:
        """Somebody attaches, looks, may ask for a self-test, and leaves, properly or not."""
        if self._board.state != "running":
            return
        wire = await attached(self._made)
        await wire.call("status")
        if self._random.random() < 0.5:
            await wire.call("begin_self_test")
        self._made.witness.causes = 1
        if self._random.random() < 0.5:
            wire.say("leave")
        else:
            await self._made.run(301)


@pytest.mark.parametrize("profile", ["fixed", "carried"])
@pytest.mark.parametrize("seed", range(2))
@virtual
async def test_a_life(seed, profile):
    settings = {"profile": profile, "event_s": 120, "alert_s": 20, "track_period_s": 30}
    async with beacon(settings, seed=seed) as made:
        fate = Fate(made, seed)
        for _ in range(14):
            await fate.strike()
        # whatever it was, the next squeeze is heard
        made.board.cut(None)
        made.board.battery(3900)
        await made.run(12)
        await made.hold()


@virtual
async def test_resumptions_in_a_row_wait_and_give_up():
    async with beacon({"event_s": 7200, "alert_s": 7200}) as made:
        await made.run(1)
        await made.hold()
        for resumption in range(1, 17):
            began_ms = made.now_ms
            await made.cut()
            wait_s = 0 if resumption < 2 else min(60 * 2**resumption, 3600)
            await made.run(wait_s + 3)
            first = next(h for h in made.witness.heard if h.n == resumption + 1)
            assert wait_s - 1 < (first.t_ms - began_ms) / 1000 < wait_s + 3
            assert all(a.plain.status == 0x22 for a in made.witness.alerts(resumption + 1))
        await made.cut()
        await made.run(7200)
        assert made.record().n == 18
        assert not made.record().open
        await made.hold()
        assert made.witness.alerts()[-1].plain.status == 0x20
        # and the count begins anew
        began_ms = made.now_ms
        await made.cut()
        await made.run(3)
        assert made.witness.heard[-1].n == 19


@virtual
async def test_a_squeeze_ends_the_wait_and_resets_the_count():
    async with beacon({"event_s": 7200, "alert_s": 7200}) as made:
        await made.run(1)
        await made.hold()
        for resumption in range(1, 3):
            await made.cut()
            await made.run(3 if resumption < 2 else 245)
        await made.cut()
        await made.run(30)
        assert made.board.state == ASLEEP
        assert made.record().resumptions == 2
        await made.hold()
        assert made.record().resumptions == 0
        assert made.witness.alerts()[-1].plain.status == 0x20
        n = made.record().n
        await made.cut()
        await made.run(3)
        assert made.witness.heard[-1].n == n


@virtual
async def test_a_squeeze_in_a_resumed_event_resets_the_count():
    """It opens no event of its own, and still somebody squeezed."""
    async with beacon({"event_s": 7200, "alert_s": 60}) as made:
        await made.run(1)
        await made.hold()
        await made.cut()
        await made.run(1)
        assert made.record().resumptions == 1
        await made.hold(4)
        assert (made.record().n, made.record().resumptions) == (3, 0)
        await made.cut()
        await made.run(3)  # so this one does not wait
        assert made.witness.heard[-1].n == 3
        usable(made, 4)


@virtual
async def test_a_self_test_is_not_resumed():
    async with beacon({"self_test_s": 60}) as made:
        await made.asleep()
        made.witness.causes = 1
        made.board.squeeze(pattern())
        await made.run(15)
        assert {a.plain.status for a in made.witness.alerts()} == {0}
        made.board.power_off()
        heard = len(made.witness.heard)
        made.board.power_on()
        await made.run(120)
        assert len(made.witness.heard) == heard
        assert not made.record().open


# --- 3. on air after every squeeze ---


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("where", ["asleep", "window", "garbage", "between_bursts", "waiting"])
@virtual
async def test_a_hold_is_on_air_in_time(where, seed):
    rng = Random(seed)
    settings = {"event_s": 3600, "track_period_s": 120, "window_s": 60}
    async with beacon(settings) as made:
        if where == "window":
            await made.run(rng.uniform(0.3, 50))
        else:
            await made.asleep()
            await made.run(rng.uniform(0, 3600))
        if where == "garbage":
            made.board.retained[:] = rng.randbytes(RTC_MEMORY)
            made.board.retained_size = rng.randrange(RTC_MEMORY)
        elif where == "between_bursts":
            await made.hold(20)
            await made.asleep()
            await made.run(rng.uniform(0, 90))
            assert made.board.state == ASLEEP
        elif where == "waiting":
            await made.hold()
            await made.cut()
            await made.run(10)
            await made.cut()
            await made.run(rng.uniform(15, 200))
            assert made.board.state == ASLEEP
        n = made.record().n
        await made.hold()
        alert = made.witness.alerts()[-1]
        assert alert.plain.phase == 0
        assert alert.n == (n - 1 if where == "between_bursts" else n)


@pytest.mark.parametrize("chip", ["esp32", "esp32c3", "esp32s3"])
@virtual
async def test_every_chip_wakes_alerts_signs_and_ends(chip):
    async with beacon(chip=chip) as made:
        await made.asleep()
        await made.run(1000)
        await made.hold(8)
        assert made.witness.signed(1, 0)
        await made.run(60)
        assert not made.record().open
        made.witness.check_rtc()
        await made.asleep()
        await made.hold()
        assert made.witness.alerts()[-1].n == 2


@virtual
async def test_a_hold_right_after_a_burst_seals_no_unit_twice():
    """Its unit is used, with another phase in it: only pages until the next."""
    settings = {"event_s": 3600, "track_period_s": 20, "burst_s": 5}
    async with beacon(settings) as made:
        await made.run(1)
        await made.hold(12)
        for late_ms in range(100, 2000, 600):
            await made.asleep()
            await made.run(30)  # a whole burst, to know when the next one ends
            await made.asleep()
            ends_ms = made.witness.heard[-1].t_ms + 20_000
            await made.run((ends_ms + late_ms - HOLD_MS - made.now_ms) / 1000)
            made.board.squeeze(HOLD)
            await made.run(HOLD_MS / 1000 + 2.2)
            assert made.witness.alerts()[-1].plain.phase == 0
            assert made.record().n == 2
            await made.run(20)


# --- 4. RTC memory ---


@virtual
async def test_no_key_is_in_rtc_memory_after_an_event():
    async with beacon() as made:
        await made.run(1)
        await made.hold(20)
        await made.asleep()
        with pytest.raises(AssertionError):
            made.witness.check_rtc()  # while it lasts they are there: the look is able to see
        await made.run(60)
        assert not made.record().open
        made.witness.check_rtc()


@virtual
async def test_no_key_is_in_rtc_memory_after_the_console_ended_an_event():
    async with beacon() as made:
        await made.run(1)
        await made.hold()
        wire = await attached(made)
        assert (await wire.call("status"))["event"]["n"] == 1
        assert (await wire.call("end_event")) == {"ok": True, "event": None}
        made.witness.check_rtc()
        made.witness.check_flash()
        wire.say("leave")
        await made.run(30)
        assert {h.n for h in made.witness.heard} == {1}
        assert made.board.state == ASLEEP
        await made.hold()


@virtual
async def test_rtc_memory_that_flips_is_a_cold_boot():
    """Whatever bit it is: no two plaintexts, no loop, and a person is still helped."""
    async with beacon({"event_s": 3600}) as made:
        rng = Random(4)
        await made.run(1)
        for _ in range(6):
            await made.hold(10)
            await made.asleep()
            assert made.record().open
            n, boots = made.record().n, made.board.boots
            made.witness.causes = 1
            bit = rng.randrange(made.board.retained_size * 8)
            made.board.retained[bit // 8] ^= 1 << bit % 8
            await made.run(25)
            assert made.board.boots - boots <= 2
            assert made.record().n == n + 1
            assert made.witness.alerts(n)[0].plain.status == 0x22
        await made.hold()


# --- 5. long lives ---


@virtual
async def test_a_day_that_is_carried():
    settings = {"profile": "carried", "track_period_s": 900, "window_s": 5}
    async with beacon(settings) as made:
        await made.asleep()
        await made.hold()
        began_ms = made.witness.heard[0].t_ms
        await made.run(86400 + 600)
        alerts = made.witness.alerts(1)
        assert {a.slot for a in alerts} == set(range(96))
        assert all(abs(900 * a.slot + 2 * a.seq - (a.t_ms - began_ms) / 1000) < 3 for a in alerts)
        assert {a.plain.phase for a in alerts} == {0, 1}
        assert all(made.witness.signed(1, s) for s in range(96))
        assert made.witness.heard[-1].t_ms - began_ms < 86_400_000
        assert not made.record().open
        assert made.board.boots > 96
        made.witness.check_rtc()
        made.witness.check_flash()


@pytest.mark.parametrize("drift", [0.9, 1.1])
@virtual
async def test_hours_by_a_clock_that_drifts_and_is_set(drift):
    """What was counted never goes back, and a bad clock neither ends an event nor keeps it."""
    settings = {"event_s": 7200, "track_period_s": 600, "window_s": 5}
    async with beacon(settings) as made:
        made.board.drift = drift
        await made.asleep()
        await made.hold()
        began_ms = made.witness.heard[0].t_ms
        rng = Random(int(drift * 10))
        for _ in range(8):
            await made.asleep(3000)
            await made.run(rng.uniform(1, 400))
            if made.board.state == ASLEEP:
                made.board.rtc_us += rng.choice((-1, 1)) * rng.randrange(10**14)
            await made.run(200)
        await made.run(9000)
        lasted_s = (made.witness.heard[-1].t_ms - began_ms) / 1000
        assert 0.7 * 7200 < lasted_s < 1.15 * 7200
        assert not made.record().open


@virtual
async def test_a_fixed_event_ends_in_its_time():
    async with beacon({"event_s": 300}) as made:
        await made.run(1)
        await made.hold()
        began_ms = made.witness.heard[0].t_ms
        await made.run(400)
        assert 280_000 < made.witness.heard[-1].t_ms - began_ms < 300_000
        assert not made.record().open


@virtual
async def test_a_flat_battery_ends_an_event():
    async with beacon({"event_s": 600, "alert_s": 300}) as made:
        await made.run(1)
        await made.hold()
        made.board.battery(2800)
        await made.run(12)
        assert not made.record().open
        assert made.witness.alerts()[-1].plain.status == 0x28
        made.witness.check_rtc()
        await made.run(6)
        await made.hold()  # it still says what it can
        assert made.witness.alerts()[-1].n == 2


@pytest.mark.parametrize("what", ["drill", "test"])
@virtual
async def test_a_hold_during_a_rehearsal_is_real(what):
    async with beacon({"self_test_s": 60, "event_s": 600}) as made:
        if what == "drill":
            await made.run(1)
            await armed(made)
            await made.hold()
            assert {a.plain.status for a in made.witness.alerts(1)} == {0x30}
        else:
            await made.asleep()
            made.witness.causes = 1
            made.board.squeeze(pattern())
            await made.run(15)
            assert {a.plain.status for a in made.witness.alerts(1)} == {0}
        await made.run(4)
        await made.hold()
        assert {a.plain.status for a in made.witness.alerts(2)} == {0x20}


async def armed(made: Beacon, seconds: int = 600) -> None:
    """Arm a drill over the console and leave."""
    wire = await attached(made)
    assert (await wire.call("arm_drill", seconds))["drill_armed_s"] == seconds
    wire.say("leave")
    await made.run(2)
    assert made.board.state == ASLEEP


@virtual
async def test_a_drill_armed_by_wire_marks_one_event():
    async with beacon() as made:
        await made.run(1)
        await armed(made)
        await made.run(500)
        await made.hold()
        assert {a.plain.status for a in made.witness.alerts(1)} == {0x30}
        assert made.witness.signed(1, 0)
        await made.run(90)
        await made.hold()
        assert {a.plain.status for a in made.witness.alerts(2)} == {0x20}


@pytest.mark.parametrize("why", ["cut", "reset", "late", "garbage", "forgotten"])
@virtual
async def test_in_doubt_a_drill_is_real(why):
    async with beacon() as made:
        await made.run(1)
        if why == "forgotten":  # nobody says leave: the guard resets the board
            wire = await attached(made)
            await wire.call("arm_drill", 3600)
            await made.run(310)
        else:
            await armed(made)
        if why == "cut":
            await made.cut()
        elif why == "reset":
            made.board.reset()
        elif why == "late":
            await made.run(600)
        elif why == "garbage":
            made.board.retained[9] ^= 4
        await made.run(5)
        await made.hold()
        assert {a.plain.status for a in made.witness.alerts(1)} == {0x20}


async def asked(made: Beacon, wait_s: float = 0.0) -> None:
    """Ask for a self-test over the console, and leave."""
    wire = await attached(made)
    n = made.record().n
    assert await wire.call("begin_self_test") == {"ok": True, "n": n}
    await made.run(wait_s)
    made.witness.causes = 1
    made.witness.asked.add(n)
    wire.say("leave")


@pytest.mark.parametrize("chip", ["esp32", "esp32c3", "esp32s3"])
@virtual
async def test_a_self_test_asked_for_by_wire_is_one(chip):
    async with beacon({"self_test_s": 20}, chip=chip) as made:
        await made.run(1)
        for n in (1, 2):
            await asked(made)
            await made.run(30)
            assert {a.plain.status for a in made.witness.alerts(n)} == {0}
            assert made.witness.signed(n, 0)
            lasted_ms = made.witness.heard[-1].t_ms - made.witness.alerts(n)[0].t_ms
            assert 19_000 < lasted_ms < 20_100
            assert made.board.state == ASLEEP
            made.witness.check_rtc()
            usable(made, n + 1)
            made.board.reset()
            await made.run(1)
        await made.run(10)
        await made.hold()
        assert {a.plain.status for a in made.witness.alerts(3)} == {0x20}


@virtual
async def test_a_self_test_is_refused_in_an_event_and_in_a_drill():
    async with beacon({"event_s": 600}) as made:
        await made.run(1)
        wire = await attached(made)
        assert (await wire.call("arm_drill", 600))["ok"]
        assert (await wire.call("begin_self_test"))["error"] == "drill_armed"
        assert (await wire.call("status"))["drill_armed_s"] > 590
        assert (await wire.call("disarm_drill"))["ok"]
        wire.say("leave")
        await made.run(3)
        await made.hold()
        wire = await attached(made)
        assert (await wire.call("begin_self_test"))["error"] == "event_open"
        wire.say("leave")
        await made.run(3)
        assert {h.n for h in made.witness.heard} == {1}
        assert {a.plain.status for a in made.witness.alerts(1)} == {0x20}


@pytest.mark.parametrize("why", ["cut", "reset", "late", "forgotten", "garbage", "drill", "twice"])
@virtual
async def test_in_doubt_no_self_test_begins(why):
    async with beacon() as made:
        await made.run(1)
        wire = await attached(made)
        assert (await wire.call("begin_self_test"))["ok"]
        if why == "cut":
            made.board.power_off()
            made.board.power_on()
        elif why == "reset":
            made.board.reset()
        elif why == "forgotten":
            await made.run(310)  # nobody says leave: the guard resets the board
        elif why == "drill":
            await wire.call("arm_drill", 600)
            wire.say("leave")
        elif why == "twice":
            assert (await wire.call("disarm_drill"))["ok"]  # it forgets a self-test as well
            wire.say("leave")
        else:
            await made.run(31 if why == "late" else 0)
            wire.say("leave")
            await made.world.wait_until(lambda: made.board.state == ASLEEP)
            if why == "garbage":
                made.board.retained[9] ^= 4
        await made.run(40)
        assert not made.witness.heard
        usable(made, 1)


@pytest.mark.parametrize("number", SOME)
@virtual
async def test_a_cut_while_a_self_test_that_was_asked_for_opens(number):
    async with beacon() as made:
        await made.run(1)
        wire = await attached(made)
        assert (await wire.call("begin_self_test"))["ok"]
        await cut_at(made, COMMIT[number], lambda: wire.say("leave"), number)
        await made.run(30)
        # on air it never was, and it is not resumed
        assert not made.witness.heard
        assert not made.record().open
        usable(made, 1 if number < LOST else 2)


@virtual
async def test_a_hold_during_a_self_test_asked_for_by_wire_is_an_alert():
    async with beacon({"self_test_s": 60, "event_s": 600}) as made:
        await made.run(1)
        await asked(made)
        await made.run(5)
        assert {a.plain.status for a in made.witness.alerts(1)} == {0}
        await made.hold()
        assert {a.plain.status for a in made.witness.alerts(2)} == {0x20}


@pytest.mark.parametrize("curve", ["flat", "held-for-hours", "chair"])
@virtual
async def test_sat_on_for_hours_it_alerts_once_and_sleeps(curve):
    async with beacon({"event_s": 600, "alert_s": 30, "track_period_s": 120}) as made:
        await made.asleep()
        made.witness.causes = 1
        flat = ((0, 0), (200, 2000), (2400_000, 2000), (2400_200, 0))
        made.board.squeeze(flat if curve == "flat" else curve, seed=4)
        asleep = 0
        for _ in range(40):
            await made.run(97)
            asleep += made.board.state == ASLEEP
        assert made.record().n == 2
        assert asleep > 30
        await made.asleep()
        boots = made.board.boots
        await made.run(7200)
        assert made.board.boots == boots, "it wakes with nobody there"
        await made.hold()
        assert made.witness.alerts()[-1].n == 2


# --- 6. what is there is garbage ---


@virtual
async def test_a_vault_of_garbage_is_reported_and_no_brick():
    async with beacon() as made:
        os.pwrite(made.board.flash.fd, Random(1).randbytes(VAULT.size), VAULT.address)
        garbage = made.board.flash.read(VAULT.address, VAULT.size)
        made.board.reset()
        await made.run(1)
        wire = await attached(made)
        status = await wire.call("status")
        assert status["faults"] == ["vault_corrupt"]
        assert not status["provisioned"]
        for said in (
            ("create_identity",),
            ("provision", FIRST_KEY.hex()),
            ("challenge", "00" * 32),
        ):
            assert (await wire.call(*said))["error"] == "vault_corrupt"
        assert made.board.flash.read(VAULT.address, VAULT.size) == garbage
        wire.say("leave")
        await made.run(3600)
        assert made.board.boots < 6, "a crash loop"
        made.board.squeeze(HOLD)
        await made.run(2)
        wire = await attached(made)
        assert (await wire.call("wipe", "corrupt"))["wiped"]
        assert (await wire.call("create_identity"))["created"]
        assert not made.witness.heard


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        (None, []), (" ", ["settings"]), ("[]", ["settings"]), ('{"hold_ms": 1e99}', ["settings"]),
        ('{"board": "none"}', ["settings"]), ('{"board": []}', ["settings"]),
        ('{[]: 1}', ["settings"]), ("[" * 1000, ["settings"]), ("[" * 3000, ["settings"]),
        ("\x00\xff\xfe", ["settings"]), ("7" * 60000, ["settings"]),
    ],
)  # fmt: skip
@virtual
async def test_settings_of_garbage_are_reported_and_no_brick(text, faults):
    async with beacon(settings_text=text) as made:
        await made.run(1)
        assert made.board.state == "running", made.board.console_text
        wire = await attached(made)
        assert (await wire.call("status"))["faults"] == faults
        assert (await wire.call("configure", "{}"))["ok"]
        assert (await wire.call("status"))["faults"] == []
        wire.say("leave")
        await made.run(2)
        await made.hold()


@pytest.mark.parametrize(
    "spoiled",
    ["lib/beacon/known_answers.mpy", "lib/fanal_protocol/sha512.mpy",
     "lib/fanal_protocol/ed25519_table.mpy", "lib/fanal_protocol/erasure.mpy"],
)  # fmt: skip
@virtual
async def test_without_what_signs_it_alerts_all_the_same(spoiled):
    async with beacon(spoiled=spoiled) as made:
        await made.asleep()
        await made.hold(8)
        assert {h.kind for h in made.witness.heard} == {"alert"}
        await made.run(60)
        assert not made.record().open
        assert {h.n for h in made.witness.heard} == {1}, "it crashed, and was resumed"


@virtual
async def test_a_file_system_that_lost_sectors_leaves_the_secrets_alone():
    """Garbage anywhere in it: the board may need its files again, never another identity."""
    async with beacon() as made:
        vfs = next(p for p in PARTITIONS if p.label == "vfs")
        whole = made.board.flash_bytes()
        used = [
            address
            for address in range(vfs.address, vfs.address + vfs.size, SECTOR)
            if whole[address : address + SECTOR].count(0xFF) < SECTOR
        ]
        rng, lived = Random(6), 0
        for _ in range(12):
            made.board.power_off()
            os.pwrite(made.board.flash.fd, whole[vfs.address :], vfs.address)
            for _ in range(rng.randrange(1, 3)):
                os.pwrite(made.board.flash.fd, rng.randbytes(SECTOR), rng.choice(used))
            boots = made.board.boots
            made.board.power_on()
            await made.run(62)
            # a fault that is met again and again is met every 10 s, with time to attach between
            assert made.board.boots - boots <= 7, made.board.console_text[-400:]
            usable(made, 1)
            lived += made.board.state == ASLEEP
        assert 0 < lived < 12


# --- 7. left alone at the prompt ---


@pytest.mark.parametrize("how", ["status", "nothing", "soft reset"])
@virtual
async def test_an_event_that_is_interrupted_goes_on_within_300_s(how):
    async with beacon({"event_s": 7200, "alert_s": 7200}) as made:
        await made.run(1)
        await made.hold()
        wire = await attached(made)
        assert made.board.state == PROMPT
        heard = len(made.witness.heard)
        if how == "status":
            await wire.call("status")
        elif how == "soft reset":
            await wire.soft_reset()
        await made.run(20)
        assert len(made.witness.heard) == heard, "on air while a person has it"
        made.witness.causes = 1
        await made.run(285)
        assert made.witness.heard[-1].n == 2
        assert made.witness.alerts(2)[0].plain.status == 0x22


@virtual
async def test_an_event_that_is_interrupted_at_any_moment_is_silent_at_once():
    """Also by two Ctrl-C, of which the second may fall into what the first set off."""
    rng = Random(5)
    async with beacon({"event_s": 7200, "alert_s": 7200}) as made:
        await made.run(1)
        await made.hold()
        for _ in range(8):
            await made.run(rng.uniform(0, 3))
            made.board._typed(rng.choice((b"\x03", b"\r\x03\x03", b"\x03\x03\x03")))
            await made.world.wait_until(lambda: made.board.state == PROMPT)
            await made.run(0.2)
            heard = len(made.witness.heard)
            await made.run(20)
            assert len(made.witness.heard) == heard, "on air while a person has it"
            made.witness.causes = 1
            made.board.reset()
            resumptions = made.record().resumptions
            await made.run(245 if resumptions else 1)
            await made.hold(3.5)


@virtual
async def test_whoever_interrupts_a_boot_leaves_no_deaf_beacon():
    """Opening a port may reset a board, and what opened it sends Ctrl-C at once."""

    async def interrupt(after_s: float) -> None:
        while made.board.state != "running":
            await asyncio.sleep(0.01)
        began_s = time.perf_counter()
        while not made.board.console.listens or time.perf_counter() - began_s < after_s:
            await asyncio.sleep(0)  # no time passes in the world: its program computes
        made.board._typed(b"\r\x03")

    async with beacon() as made:
        for moment in range(10):
            printed = len(made.board.console_text)
            made.board.reset()
            interrupting = asyncio.create_task(interrupt(moment * 0.006))
            await made.world.wait_until(lambda: made.board.state == PROMPT)
            await interrupting
            boots = made.board.boots
            await made.run(310)
            # before boot.py nothing can be done about it; from main.py on there is no excuse
            is_deaf = made.board.boots == boots
            assert not is_deaf or "main.py" not in made.board.console_text[printed:]
        await made.run(12)
        await made.hold()
