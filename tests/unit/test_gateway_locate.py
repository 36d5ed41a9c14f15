"""Where a listener is: typed, or by a gpsd that may say anything, or nothing."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from fanal.error import UsageError
from fanal.gateway.locate import Fixed, Gpsd, read_report
from fanal.position import Position, typed

TPV = {"class": "TPV", "mode": 3, "lat": 35.9, "lon": 14.5, "eph": 4.0}


def line(**change) -> bytes:
    return json.dumps({**TPV, **change}).encode() + b"\n"


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("35.9,14.5", Position(35.9, 14.5, 25.0)),
        ("-33.9, 18.4, 100", Position(-33.9, 18.4, 100.0)),
        ("0,0,0", Position(0, 0, 0)),
    ],
)
def test_a_typed_place(text, position):
    assert typed(text) == position
    assert Fixed(typed(text)).position() == position
    assert Fixed().position() is None


@pytest.mark.parametrize(
    "text", ["", "1", "a,b", "91,0", "0,181", "1,2,-3", "1,2,3,4", "nan,0", "inf,0", "1;2", "1,2,"]
)
def test_no_place(text):
    with pytest.raises(UsageError):
        typed(text)


@pytest.mark.parametrize(
    ("change", "accuracy_m"),
    [
        ({}, 4.0), ({"eph": None, "epx": 3, "epy": 4}, None), ({"mode": 2}, 4.0),
        ({"eph": "5"}, 5.0),
    ],
)  # fmt: skip
def test_a_report_of_a_fix(change, accuracy_m):
    found = read_report(line(**change))
    assert (None if found is None else found.accuracy_m) == accuracy_m


def test_the_error_in_two_directions_and_none_at_all():
    bare = {k: v for k, v in TPV.items() if k != "eph"}
    both = read_report(json.dumps({**bare, "epx": 3, "epy": 4}).encode())
    assert both == Position(35.9, 14.5, 5.0, "gps")
    assert read_report(json.dumps(bare).encode()) == Position(35.9, 14.5, 20.0, "gps")


@pytest.mark.parametrize(
    "bad",
    [
        b"", b"\n", b"null", b"[]", b"5", b"\xff", b"{}", b"[" * 50_000, line(mode=1), line(mode=0),
        line(**{"class": "SKY"}), line(lat=91), line(lon="x"), line(lat=None), line(lat=10**400),
        line(eph=-1), line(eph=10**400), line(lat=[]), line(lat=float("nan")), line(mode=[3]),
        line(eph=float("inf")),
    ],
)  # fmt: skip
def test_anything_else_is_no_fix(bad):
    assert read_report(bad) is None


@pytest.mark.parametrize("address", ["", "x", ":1", "h:", "h:0", "h:65536", "h:x", "h:-1"])
def test_no_address_of_a_gpsd(address):
    with pytest.raises(UsageError):
        Gpsd(address)


class PaperGpsd:
    """A gpsd that says what it is told to, to each client anew."""

    def __init__(self, *said: bytes, hangs_up: bool = False) -> None:
        self.said, self.hangs_up, self.asked = said, hangs_up, []
        self.serving = []
        self.clients = asyncio.Queue()

    async def __aenter__(self):
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self.server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_):
        self.server.close()
        await asyncio.gather(*self.serving)

    async def _serve(self, reader, writer):
        self.serving.append(asyncio.current_task())
        self.asked.append(await reader.readline())
        for one in self.said:
            writer.write(one)
        await writer.drain()
        self.clients.put_nowait(writer)
        if not self.hangs_up:
            await reader.read()
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


@asynccontextmanager
async def followed(locator: Gpsd) -> AsyncIterator[asyncio.Task]:
    """Have it follow its gpsd meanwhile."""
    task = asyncio.create_task(locator.run())
    try:
        yield task
    finally:
        assert not task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(is_so) -> None:
    async with asyncio.timeout(20):
        while not is_so():
            await asyncio.sleep(0.001)


async def test_a_gpsd_that_gives_no_place_is_named_after_a_while():
    now = [1000.0]
    locator = Gpsd("127.0.0.1:1", now_s=lambda: now[0])
    assert locator.trouble() == Fixed().trouble() == ""
    async with followed(locator):
        await asyncio.sleep(0)
        now[0] += 29
        assert locator.trouble() == ""
        now[0] += 2
        assert "127.0.0.1:1" in locator.trouble()
        locator._take(line())
        assert locator.trouble() == ""
        now[0] += 61
        assert "gpsd" in locator.trouble()


async def test_it_follows_a_gpsd():
    async with PaperGpsd(b'{"class":"VERSION"}\n', b"\xff\n", line(), b'{"class":"TPV"') as gpsd:
        now = [100.0]
        locator = Gpsd(gpsd.address, now_s=lambda: now[0])
        assert locator.position() is None
        async with followed(locator):
            await until(lambda: locator.position() is not None)
            assert locator.position() == Position(35.9, 14.5, 4.0, "gps")
            assert gpsd.asked == [b'?WATCH={"enable":true,"json":true};\n']
            now[0] += 61
            assert locator.position() is None  # it may have moved since


async def test_it_comes_back_to_a_gpsd_that_hangs_up_or_says_too_much(monkeypatch):
    monkeypatch.setattr("fanal.gateway.locate._AGAIN_S", 0.0)
    for said in (line(), b"x" * 200_000, b"half a line"):
        async with (
            PaperGpsd(said, hangs_up=True) as gpsd,
            followed(Gpsd(gpsd.address)),
            asyncio.timeout(20),
        ):
            for _ in range(3):
                await gpsd.clients.get()


async def test_a_gpsd_that_is_not_there(monkeypatch):
    tries = []
    monkeypatch.setattr("fanal.gateway.locate._AGAIN_S", 0.0)

    async def refuse(*_, **__):
        tries.append(1)
        raise ConnectionRefusedError

    monkeypatch.setattr(asyncio, "open_connection", refuse)
    async with followed(Gpsd("127.0.0.1:1")):
        await until(lambda: len(tries) > 3)
