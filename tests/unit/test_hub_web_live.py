"""Following the number of changes: one poll for all, none for nobody, and an end when it fails."""

import asyncio
from contextlib import aclosing

import pytest
from fanal.error import EnvironmentFault
from fanal.hub import accounts, sessions
from fanal.hub.web import live as web_live
from fanal.hub.web.live import Live

from tests.unit.paper_web import PaperWeb


class PaperChanges:
    """A number that is read, how often, and what happens at the next reading."""

    def __init__(self):
        self.number, self.reads, self.fails = 7, 0, False

    def read(self):
        self.reads += 1
        if self.fails:
            raise EnvironmentFault("The hub's database cannot be used.")
        return self.number


@pytest.fixture
def changes():
    return PaperChanges()


@pytest.fixture
def live(changes):
    return Live(changes.read, poll_s=0.001, beat_s=60)


async def test_the_number_is_told_at_once_and_whenever_it_changes(changes, live):
    async with aclosing(live.changes()) as following:
        assert await anext(following) == 7
        changes.number = 8
        assert await anext(following) == 8


async def test_nothing_new_is_a_beat(changes):
    live = Live(changes.read, poll_s=0.001, beat_s=0.01)
    async with aclosing(live.changes()) as following:
        told = [await anext(following) for _ in range(100)]
    assert [one for one in told if one is not None] == [7]


async def test_one_poll_serves_all_and_none_is_made_for_nobody(changes, live):
    assert changes.reads == 0
    following = [live.changes() for _ in range(50)]
    assert [await anext(one) for one in following] == [7] * 50
    assert changes.reads < 50
    changes.number = 9
    assert [await anext(one) for one in following] == [9] * 50
    for one in following:
        await one.aclose()
    await asyncio.sleep(0)
    done = changes.reads
    for _ in range(50):
        await asyncio.sleep(0.001)
    assert changes.reads <= done + 1  # one that was under way


async def test_whoever_comes_when_the_last_has_just_gone_is_served(changes, live):
    for number in range(20):
        changes.number = number
        async with aclosing(live.changes()) as following:
            assert await anext(following) == number


async def test_a_database_that_fails_ends_all_and_comes_back(changes, live):
    following = [live.changes() for _ in range(3)]
    assert [await anext(one) for one in following] == [7] * 3
    changes.fails = True
    for one in following:
        with pytest.raises(StopAsyncIteration):
            await anext(one)
    changes.fails = False
    async with aclosing(live.changes()) as again:
        assert await anext(again) == 7


async def test_stopping_ends_all_from_any_thread(live):
    following = [live.changes() for _ in range(3)]
    assert [await anext(one) for one in following] == [7] * 3
    ended = [asyncio.create_task(anext(one)) for one in following]
    await asyncio.to_thread(live.stop)
    for one in await asyncio.gather(*ended, return_exceptions=True):
        assert isinstance(one, StopAsyncIteration | RuntimeError)
    assert [one async for one in live.changes()] == []


def test_stopping_what_nobody_ever_followed_is_nothing(live):
    live.stop()
    assert live.is_over


async def test_a_stream_ends_with_its_login(tmp_path, monkeypatch):
    monkeypatch.setattr(web_live, "RECHECK_S", 0)
    web = PaperWeb(tmp_path)
    live = Live(web.store.change, poll_s=0.001, beat_s=0.01)
    session = sessions.begin(web.store, web.users["chief"])
    async with aclosing(web_live._events(live, web.hub, session)) as events:
        told = [await anext(events) for _ in range(30)]
        assert set(told) == {"event: changed\ndata: 0\n\n", "event: beat\ndata: 0\n\n"}
        accounts.disable(web.store, "chief")
        told = [one async for one in events]
    assert told[-1] == "event: over\ndata: 0\n\n"
    assert live.crowd._each == {}


async def test_a_stream_keeps_nobody_logged_in(tmp_path, monkeypatch):
    monkeypatch.setattr(web_live, "RECHECK_S", 0)
    web = PaperWeb(tmp_path)
    live = Live(web.store.change, poll_s=0.001, beat_s=0.001)
    session = sessions.begin(web.store, web.users["chief"])
    async with aclosing(web_live._events(live, web.hub, session)) as events:
        await anext(events)
        web.store.clock[0] += sessions.IDLE_MS
        await anext(events)
        web.store.clock[0] += 1
        told = [one async for one in events]
    assert told[-1].startswith("event: over")


async def test_one_user_has_so_many_streams(tmp_path):
    web = PaperWeb(tmp_path)
    live = Live(web.store.change, poll_s=0.001, beat_s=60)
    session = sessions.begin(web.store, web.users["chief"])
    streams = [web_live._events(live, web.hub, session) for _ in range(13)]
    told = [await anext(one) for one in streams]
    assert [one.split("\n")[0] for one in told] == ["event: changed"] * 12 + ["event: crowded"]
    for one in streams:
        await one.aclose()
    assert live.crowd._here == 0


async def test_a_hub_that_goes_down_begins_no_stream(tmp_path):
    web = PaperWeb(tmp_path)
    web.app.state.live.stop()
    async with web.visitor("chief") as chief:
        assert (await chief.get("/live")).status_code == 503
