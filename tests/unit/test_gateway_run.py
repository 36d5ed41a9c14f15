"""A whole listener in jumping time: what it hears reaches the hub once, whatever breaks."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from bleak.exc import BleakError
from fanal.envelope import MOST_GROUPS, content_id, waited_ms
from fanal.gateway.bundle import Bundle, make
from fanal.gateway.clocks import Clocks
from fanal.gateway.gateway import Gateway
from fanal.gateway.grouping import Grouper, Limits
from fanal.gateway.listener_key import ListenerKey
from fanal.gateway.locate import Fixed
from fanal.gateway.outbox import OUTBOX_FILE, Outbox
from fanal.gateway.state import State
from fanal.position import Position
from fanal.radio import DEAF, HEARING, QUIET, Radio, RadioUnavailable

from tests.unit import jumping_loop
from tests.unit.paper_relay import PaperRelay, down, refused
from tests.unit.paper_scanner import Scanner
from tests.unit.test_gateway_grouping import alert, page

HERE = Position(35.9, 14.5, 25.0)
WALL_MS = 1_790_000_000_000


@pytest.fixture(autouse=True)
def air():
    Scanner.reset()


@dataclass
class Bench:
    """A listener with a paper radio and a paper relay; wall_ms may be set at any time."""

    folder: Path
    boot: str = "boot 1"
    most_bytes: int = 200_000_000
    wall_ms: int = WALL_MS
    tick_s: float = 1.0
    told: list[State] = field(default_factory=list)

    async def __aenter__(self) -> "Bench":
        loop = asyncio.get_running_loop()
        self.relay = PaperRelay(loop.time)
        self.outbox = Outbox(self.folder / OUTBOX_FILE, self.most_bytes)
        clocks = Clocks(lambda: int(1000 * loop.time()), lambda: self.wall_ms, self.boot)
        self.radio = Radio(backend=Scanner, now_ms=clocks.steady_ms)
        self.key = ListenerKey.in_folder(self.folder)
        self.gateway = Gateway(
            self.radio, self.bundle(), self.key, self.outbox, self._make_relay, Fixed(HERE),
            clocks, self.told.append, Grouper(Limits(per_minute=10**6, burst=10**6)),
        )  # fmt: skip
        self.gateway._tick_s = self.tick_s
        self.running = asyncio.create_task(self.gateway.run())
        await asyncio.sleep(1)
        return self

    async def __aexit__(self, kind: Any, *_: object) -> None:
        if kind is None:
            assert not self.running.done(), self.running
        self.running.cancel()
        await asyncio.gather(self.running, return_exceptions=True)
        self.outbox.close()

    @staticmethod
    def bundle() -> Bundle:
        return make("Harbour", PaperRelay(lambda: 0.0)._opener.recipient, "https://hub.example")

    def _make_relay(self, bundle: Bundle, last_will: Callable[[], bytes]) -> PaperRelay:
        self.relay.last_will = last_will
        return self.relay

    async def hear(self, count: int, first: int = 0, every_s: float = 6.0) -> list[bytes]:
        """New alerts of as many beacons, each a group of its own."""
        payloads = [alert(1 + first + number) for number in range(count)]
        for payload in payloads:
            Scanner.advertise(payload)
            await asyncio.sleep(every_s)
        return payloads

    def payloads(self) -> list[bytes]:
        return [frame.payload for frame in self.relay.frames()]


def bench_test(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test in jumping time, with a folder."""

    def run(tmp_path: Path) -> None:
        jumping_loop.run(test(tmp_path))

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


@bench_test
async def test_what_is_new_is_at_the_hub_in_less_than_half_a_second(folder):
    async with Bench(folder) as bench:
        now_s = asyncio.get_running_loop().time()
        Scanner.advertise(alert(1), rssi=-61)
        await asyncio.sleep(1)
        (at_s, delivery), *_ = bench.relay.taken[-1:]
        assert at_s - now_s < 0.35
        (opened,) = delivery.groups
        group = opened.group
        assert (group.listener, group.position) == (bench.key.public, HERE)
        assert group.boot == delivery.postmark.boot == bench.key.boot("boot 1")
        (frame,) = group.frames
        assert (frame.payload, frame.rssi_dbm, frame.count) == (alert(1), -61, 1)
        assert frame.first_ms == int(1000 * now_s)
        assert len(bench.outbox) == 0


@bench_test
async def test_a_sign_of_life_every_minute_and_at_every_change(folder):
    async with Bench(folder) as bench:
        Scanner.advertise()
        await asyncio.sleep(20)
        assert [d.postmark.health.radio for _, d in bench.relay.beats()] == [HEARING]
        await asyncio.sleep(20)  # now nobody is on air
        assert [d.postmark.health.radio for _, d in bench.relay.beats()] == [HEARING, QUIET]
        await asyncio.sleep(3600)
        times = [at for at, _ in bench.relay.beats()]
        assert all(b - a <= 60.001 for a, b in pairwise(times))
        health = bench.relay.beats()[-1][1].postmark.health
        assert health.advert_age_ms > 3_500_000
        assert (health.queued, health.version != "") == (0, True)
        Scanner.failures += [BleakError("gone")] * 3
        await asyncio.sleep(400)
        kinds = [d.postmark.health.radio for _, d in bench.relay.beats()]
        assert DEAF in kinds
        assert kinds[-1] in (HEARING, QUIET)


@bench_test
async def test_a_last_will_says_so(folder):
    async with Bench(folder) as bench:
        will = bench.relay._opener.delivery(bench.relay.last_will())
        assert (will.postmark.is_last_will, will.groups) == (True, ())
        assert not bench.relay.taken[0][1].postmark.is_last_will


@bench_test
async def test_no_network_for_a_week_and_then_everything_once(folder):
    async with Bench(folder, tick_s=600.0) as bench:
        bench.relay.cut = down
        heard = await bench.hear(50, every_s=7 * 86400 / 50)
        assert len(bench.outbox) == 50
        tries = [at for at, _ in bench.relay.tries]
        assert len(tries) < 7 * 86400 / 60  # it backs off
        bench.relay.mend()
        await asyncio.sleep(700)
        assert bench.payloads() == heard
        assert len(bench.outbox) == 0
        # each reckoned to the millisecond, though some waited for a week
        for at_s, delivery in bench.relay.taken:
            for one in delivery.groups:
                (frame,) = one.group.frames
                waited = waited_ms(delivery.postmark, one.group, frame)
                assert abs(int(1000 * at_s) - waited - frame.first_ms) <= 1


@bench_test
async def test_an_answer_that_is_lost_sends_twice_and_never_not_at_all(folder):
    dice = random.Random(1)
    async with Bench(folder) as bench:
        bench.relay.loses_answers = True
        bench.relay.answer = lambda _: down() if dice.random() < 0.6 else None
        heard = await bench.hear(40)
        bench.relay.mend()
        await asyncio.sleep(700)
        sent = [g.content_id for _, d in bench.relay.taken for g in d.groups]
        assert len(sent) > len(set(sent))  # else nothing was tried here
        assert bench.payloads() == heard  # by content id each is there once


@bench_test
async def test_what_is_new_does_not_wait_behind_a_backlog(folder):
    async with Bench(folder) as bench:
        bench.relay.cut = down
        await bench.hear(400, every_s=1.0)
        await asyncio.sleep(1000)
        slow = PaperRelay.send

        async def send(delivery: bytes) -> None:
            await asyncio.sleep(10)  # ten seconds for each delivery
            await slow(bench.relay, delivery)

        bench.relay.send = send
        bench.relay.mend()
        began_s = asyncio.get_running_loop().time()
        await asyncio.sleep(320)
        assert len(bench.outbox) > 50
        now_s = asyncio.get_running_loop().time()
        Scanner.advertise(alert(99_999))
        await asyncio.sleep(60)
        assert len(bench.outbox) > 0
        taken = [
            at for at, d in bench.relay.taken for g in d.groups
            if g.group.frames[0].payload == alert(99_999)
        ]  # fmt: skip
        assert taken
        assert taken[0] - now_s <= 30.5  # its own delivery, and at most two before
        assert began_s < now_s


@bench_test
async def test_a_hub_that_asks_for_long_pauses_is_given_less_at_once(folder):
    async with Bench(folder) as bench:
        now_s = asyncio.get_running_loop().time
        bench.relay.cut = down
        await bench.hear(900, every_s=1.0)
        await asyncio.sleep(1000)  # none of it is of the last minutes
        free_s = now_s()

        def answer(delivery: Any) -> Exception | None:
            nonlocal free_s
            if now_s() < free_s:
                return down(free_s - now_s())
            free_s = now_s() + len(delivery.groups)  # so many seconds for so many groups
            return None

        bench.relay.mend()
        bench.relay.answer = answer
        bench.gateway._sender._sealed_bytes = 160 * 1024
        while len(bench.payloads()) < 250:
            await asyncio.sleep(1)
        for number in range(90_000, 90_010):
            heard_s = now_s()
            Scanner.advertise(alert(number))
            await asyncio.sleep(40)
            (at_s,) = [at for at, d in bench.relay.taken for g in d.groups
                       if g.group.frames[0].payload == alert(number)]  # fmt: skip
            assert at_s - heard_s < 16
        assert len(bench.outbox) > 100


@bench_test
async def test_while_the_relay_is_down_something_new_is_tried_soon(folder):
    async with Bench(folder) as bench:
        bench.relay.cut = down
        await asyncio.sleep(20_000)  # the backoff is long by now
        for _ in range(5):
            await asyncio.sleep(random.Random(2).uniform(20, 100))
            now_s = asyncio.get_running_loop().time()
            Scanner.advertise(alert(int(now_s)))
            await asyncio.sleep(16)
            assert [at for at, _ in bench.relay.tries if at >= now_s]


@bench_test
async def test_the_other_side_is_left_alone_for_as_long_as_it_asks(folder):
    async with Bench(folder) as bench:
        bench.relay.cut = partial(down, 120.0)
        await bench.hear(1)
        tries = len(bench.relay.tries)
        last_s = bench.relay.tries[-1][0]
        await bench.hear(15, first=10)  # 90 seconds of something new
        assert len(bench.relay.tries) == tries
        await asyncio.sleep(200)
        assert bench.relay.tries[tries][0] - last_s >= 120


@bench_test
async def test_a_refused_group_is_given_up_and_the_others_are_not(folder):
    async with Bench(folder) as bench:
        bench.relay.cut = down
        heard = await bench.hear(20)
        bad = {alert(5), alert(6)}

        def answer(delivery: Any) -> Exception | None:
            frames = [f.payload for g in delivery.groups for f in g.group.frames]
            return refused() if bad & set(frames) else None

        bench.relay.cut, bench.relay.answer = None, answer
        await asyncio.sleep(700)
        assert bench.payloads() == [p for p in heard if p not in bad]
        assert len(bench.outbox) == 0
        tries = len(bench.relay.tries)
        assert bench.relay.beats()[-1][1].postmark.health.dropped["refused"] == 2
        await asyncio.sleep(600)
        assert len(bench.relay.tries) - tries <= 11  # signs of life only
        rows = bench.outbox._database.execute("SELECT count(*) FROM refused").fetchone()
        assert rows == (2,)


@bench_test
async def test_a_hub_that_refuses_everything_costs_nothing(folder):
    async with Bench(folder) as bench:
        bench.relay.answer = lambda _: refused()
        heard = await bench.hear(10)
        before = len(bench.relay.tries)
        await asyncio.sleep(3600)
        assert len(bench.relay.tries) - before < 200  # it backs off
        assert len(bench.outbox) == 10
        assert bench.gateway.state().relay == "down"
        bench.relay.mend()
        await asyncio.sleep(700)
        assert bench.payloads() == heard


@bench_test
async def test_a_relay_that_fails_in_unforeseen_ways_is_one_that_is_down(folder):
    async with Bench(folder) as bench:
        problems = [RuntimeError("x"), OSError(5, "x"), ValueError("secret"), TimeoutError()]
        bench.relay.answer = lambda _: problems.pop() if problems else None
        heard = await bench.hear(3)
        await asyncio.sleep(400)
        assert bench.payloads() == heard
        assert "secret" not in str(bench.told)


@bench_test
async def test_a_network_that_swallows_holds_nothing_up_for_long(folder):
    async with Bench(folder) as bench:
        bench.relay.cut = down
        await bench.hear(300, every_s=0.5)
        true_send, hanging = bench.relay.send, []

        async def hang(delivery: bytes) -> None:
            began_s = asyncio.get_running_loop().time()
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                hanging.append((len(delivery), asyncio.get_running_loop().time() - began_s))

        bench.relay.send = hang
        await asyncio.sleep(1000)
        assert hanging
        assert all(30 <= waited_s <= 32 + size / 2500 for size, waited_s in hanging)
        bench.relay.send = true_send
        bench.relay.mend()
        await asyncio.sleep(700)
        assert len(bench.payloads()) == 300


@bench_test
async def test_a_wall_clock_that_jumps_changes_nothing(folder):
    async with Bench(folder) as bench:
        bench.relay.cut = down
        heard = []
        for step, jump in enumerate((0, -(10**12), 5 * 10**12, -(10**13), 10**9)):
            bench.wall_ms = max(0, bench.wall_ms + jump)
            heard += await bench.hear(2, first=10 * step)
        bench.relay.mend()
        await asyncio.sleep(700)
        assert bench.payloads() == heard
        for at_s, delivery in bench.relay.taken:
            for one in delivery.groups:
                waited = waited_ms(delivery.postmark, one.group, one.group.frames[0])
                assert abs(1000 * at_s - waited - one.group.frames[0].first_ms) <= 1


def test_a_restart_in_the_same_boot_and_in_another(tmp_path):
    async def hear_and_die() -> tuple[list[bytes], int]:
        async with Bench(tmp_path) as bench:
            bench.relay.cut = down
            heard = await bench.hear(3)
            bench.gateway._end = _nothing  # as if it were killed
            return heard, int(1000 * asyncio.get_running_loop().time())

    async def send(boot: str) -> tuple[list[bytes], list[bool]]:
        async with Bench(tmp_path, boot=boot) as bench:
            await asyncio.sleep(100)
            same = [g.group.boot == d.postmark.boot for _, d in bench.relay.taken for g in d.groups]
            return bench.payloads(), same

    heard, _ = jumping_loop.run(hear_and_die())
    assert jumping_loop.run(send("boot 1")) == (heard, [True] * 3)
    heard, _ = jumping_loop.run(hear_and_die())
    assert jumping_loop.run(send("boot 2")) == (heard, [False] * 3)


async def _nothing() -> None:
    return None


@bench_test
async def test_an_end_keeps_and_sends_what_is_in_the_open_group(folder):
    async with Bench(folder) as bench:
        await bench.hear(1)
        Scanner.advertise(alert(1, 5))
        await asyncio.sleep(0.01)
    assert bench.payloads() == [alert(1), alert(1, 5)]
    assert bench.relay.is_closed


@bench_test
async def test_an_end_without_a_relay_keeps_it_on_the_disk(folder):
    async with Bench(folder) as bench:
        bench.relay.cut = down
        Scanner.advertise(alert(1))
        await asyncio.sleep(0.01)
    outbox = Outbox(folder / OUTBOX_FILE)
    assert len(outbox) == 1
    outbox.close()


@bench_test
async def test_an_outbox_that_is_full_is_said_and_what_is_new_is_sent_all_the_same(folder):
    async with Bench(folder, most_bytes=6000) as bench:
        bench.relay.cut = down
        heard = await bench.hear(10)
        state = bench.gateway.state()
        assert (state.waiting, state.is_spilling) == (10, True)
        assert "no room" in " ".join(state.warnings())
        assert state.dropped["outbox_full"] > 0
        assert "dropped" not in state.line()  # nothing is lost
        assert bench.told[-1].is_spilling
        bench.outbox._most_bytes += 3000  # some room for it
        await asyncio.sleep(2)
        assert len(bench.outbox) in range(6, 10)
        bench.relay.mend()
        await asyncio.sleep(700)
        assert bench.payloads() == heard
        health = bench.relay.taken[-1][1].postmark.health
        assert health.dropped["outbox_full"] > 0
        assert not bench.told[-1].is_spilling  # it recovered by itself
        assert bench.told[-1].relay == "connected"


@bench_test
async def test_without_a_radio_it_says_deaf_and_comes_back(folder):
    Scanner.failures[:] = [BleakError("no adapter")]
    async with Bench(folder) as bench:
        assert bench.relay.beats()[0][1].postmark.health.radio == DEAF
        assert "deaf" in " ".join(bench.told[0].warnings()) if bench.told else True
        await asyncio.sleep(60)
        heard = await bench.hear(1)
        assert bench.payloads() == heard
        assert bench.told[0].radio == DEAF
        assert bench.told[-1].radio == HEARING


def test_without_the_program_for_a_radio_it_ends(tmp_path, monkeypatch):
    async def go() -> None:
        async with Bench(tmp_path) as bench:
            await asyncio.wait([bench.running])
            with pytest.raises(RadioUnavailable):
                await bench.running
            bench.running = asyncio.create_task(asyncio.sleep(100))

    def missing(_: Any) -> None:
        raise RadioUnavailable("Not installed.") from ImportError("bleak")

    monkeypatch.setattr(Radio, "_scanner", missing)
    jumping_loop.run(go())


@bench_test
async def test_what_is_no_frame_never_leaves(folder):
    async with Bench(folder) as bench:
        for payload in (b"", b"x", bytes(23), b"\x40" + bytes(22), bytes(200)):
            Scanner.advertise(payload)
        await asyncio.sleep(100)
        assert bench.relay.groups() == {}
        dropped = bench.relay.taken[-1][1].postmark.health.dropped
        assert dropped == {"length": 3, "version": 2}


@bench_test
async def test_deliveries_are_small_enough_for_every_relay(folder):
    async with Bench(folder) as bench:
        bench.relay.cut = down
        for number in range(400):
            for extra in range(12):
                Scanner.advertise(alert(number, extra))
            await asyncio.sleep(6)
        bench.relay.mend()
        await asyncio.sleep(900)
        assert len(bench.payloads()) == 400 * 12
        assert max(map(len, bench.relay.raw)) <= 192 * 1024
        assert max(map(len, bench.relay.raw)) > 100 * 1024
        assert max(count for _, count in bench.relay.tries) <= MOST_GROUPS


@bench_test
async def test_pages_go_along(folder):
    async with Bench(folder) as bench:
        for number in range(12):
            Scanner.advertise(page(number))
        await asyncio.sleep(1)
        assert bench.payloads() == [page(number) for number in range(12)]
        assert len(bench.relay.groups()) == 1
        assert all(content_id(raw) for raw in bench.relay.raw)
