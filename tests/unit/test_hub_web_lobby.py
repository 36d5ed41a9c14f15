"""Who holds connections open, and who has to go when there are too many. Over real sockets."""

import asyncio
import socket
from contextlib import asynccontextmanager, suppress

import pytest
from fanal.hub.web.lobby import Lobby
from fanal.hub.web.rates import Regulars

HOST = "127.0.0.1"


@asynccontextmanager
async def echoing(regulars=(), **bounds):
    """A server that repeats what it is told. Gives the lobby."""

    async def serve(reader, writer):
        with suppress(ConnectionError):
            while data := await reader.read(100):
                writer.write(data)
                await writer.drain()
        writer.close()

    with Lobby(socket.create_server((HOST, 0)), regulars, **bounds) as lobby:
        async with await asyncio.start_server(serve, sock=lobby):
            yield lobby


async def call(lobby, source=HOST):
    return await asyncio.open_connection(*lobby.getsockname(), local_addr=(source, 0))


async def is_served(guest, say=b"hello"):
    """Return whether it is answered; False if the connection ends instead."""
    reader, writer = guest
    try:
        writer.write(say)
        return await reader.read(100) == say
    except ConnectionError:
        return False


async def left(*guests):
    for _, writer in guests:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def test_the_oldest_makes_room_so_that_nobody_is_turned_away():
    async with echoing(most=3) as lobby:
        guests = []
        for _ in range(10):
            guests.append(await call(lobby))
            assert await is_served(guests[-1])
        assert [await is_served(one) for one in guests] == [False] * 7 + [True] * 3
        await left(*guests)


async def test_one_address_makes_room_for_itself_alone():
    async with echoing(most=10, most_each=2) as lobby:
        other = await call(lobby, "127.0.0.9")
        assert await is_served(other)
        guests = [await call(lobby) for _ in range(8)]
        assert await is_served(guests[-1])
        assert [await is_served(one) for one in guests] == [False] * 6 + [True] * 2
        assert await is_served(other)
        await left(other, *guests)


async def test_regulars_stay_and_come_in_while_strangers_push():
    regulars = Regulars()
    async with echoing(regulars, most=4, most_each=2) as lobby:
        known = [await call(lobby, "127.0.0.7") for _ in range(2)]
        assert [await is_served(one) for one in known] == [True, True]
        regulars.welcome("127.0.0.7")
        strangers = [await call(lobby, f"127.0.0.{n}") for n in range(20, 40)]
        assert await is_served(strangers[-1])
        known += [await call(lobby, "127.0.0.7") for _ in range(2)]
        assert [await is_served(one) for one in known] == [True] * 4
        assert not any([await is_served(one) for one in strangers])
        await left(*known, *strangers)


@pytest.mark.parametrize("ends", ["close", "reset"])
async def test_places_are_given_back(ends):
    async with echoing(most=2) as lobby:
        stays = await call(lobby)
        assert await is_served(stays)
        for _ in range(20):
            guest = await call(lobby)
            assert await is_served(guest)
            if ends == "reset":
                guest[1].transport.abort()
            else:
                guest[1].close()
            while lobby.taken > 1:
                await asyncio.sleep(0)
        assert await is_served(stays)
        await left(stays)


async def test_what_comes_at_one_go_opens_no_more_files_than_may_be():
    async with echoing(most=5) as lobby:
        callers = []
        for _ in range(100):  # the loop does not run meanwhile
            caller = socket.create_connection(lobby.getsockname())
            callers.append(caller)
        most = 0
        last = await call(lobby)
        asked = asyncio.create_task(is_served(last))
        while not asked.done():
            await asyncio.sleep(0)
            most = max(most, lobby._open)
        assert await asked
        assert 5 <= most <= 5 + 32
        for caller in callers:
            caller.close()
        await left(last)
