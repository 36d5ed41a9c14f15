"""Boards of every kind on the bench, asked at once: each is named, and none is harmed."""

import asyncio
from functools import partial

import pytest

pytest.importorskip("bumble", reason="needs the extra `sim`")

from fanal.board_link import BoardLink
from fanal.esptool_run import identify
from fanal.ports import by_mac
from fanal.probe import BLANK, NO_ANSWER, ask_board, probe
from fanal.provision import Request, provision
from fanal.sim.chip import ASLEEP, RUNNING
from fanal.sim.world import World
from fanal.status import read_status

pytestmark = [
    pytest.mark.sim,
    pytest.mark.filterwarnings("ignore:set(Daemon|Name):DeprecationWarning"),  # pyserial's RFC 2217
]


@pytest.fixture
async def world():
    async with World() as world:
        yield world


def ask_rom(port):
    found = identify(port)
    return found.chip.title, found.mac


async def asked(*ports, identify=None):
    return await asyncio.to_thread(probe, ports, partial(ask_board, identify=identify))


def give_identity(port, fleet, settings=None):
    request = Request("shelter-3", settings=settings or {})
    with BoardLink(port) as board:
        return provision(board, fleet.station, fleet.registry, request)


def state(port):
    with BoardLink(port) as board:
        return read_status(board)


async def test_every_kind_of_board_at_once(world, fleet):
    fanal, stock = world.add_board("fanal"), world.add_board("stock", "esp32", stock=True)
    blank = world.add_board("blank", "esp32s3", blank=True)
    done = await asyncio.to_thread(give_identity, fanal.url, fleet)
    found = await asked(fanal.url, stock.url, blank.url, "rfc2217://127.0.0.1:9")
    answers = list(found.values())
    assert [answer.state for answer in answers] == [
        "Fanal 0.1.0", "MicroPython 1.28.0", BLANK, "not asked",
    ]  # fmt: skip
    assert answers[0].beacon_id == done.beacon_id
    assert by_mac(fleet.registry)[answers[0].mac].beacon_id == done.beacon_id
    assert [answer.chip for answer in answers] == ["ESP32-C3", "ESP32", None, None]
    assert [answer.problem != "" for answer in answers] == [False, False, False, True]
    # the plain one runs on at its prompt, the beacon is back in its loop
    assert (await asked(stock.url))[stock.url].problem == ""
    await world.wait_until(lambda: fanal.state == "running", timeout_s=10)


async def test_the_chips_of_boards_without_a_prompt(world, fleet, monkeypatch):
    monkeypatch.setattr("fanal.probe._ATTACH_S", 1.0)
    board, blank = world.add_board("north"), world.add_board("blank", "esp32s3", blank=True)
    done = await asyncio.to_thread(give_identity, board.url, fleet, {"window_s": 5})
    await world.wait_until(lambda: board.state == ASLEEP, timeout_s=30)
    (answer,) = (await asked(board.url)).values()
    assert (answer.state, answer.code, board.state) == (NO_ANSWER, "no_answer", ASLEEP)
    found = await asked(board.url, blank.url, identify=ask_rom)
    slept, erased = found[board.url], found[blank.url]
    assert (slept.state, slept.beacon_id) == ("Fanal 0.1.0", done.beacon_id)
    mac = blank.identity.mac.hex(":")
    assert (erased.state, erased.chip, erased.mac, erased.problem) == (BLANK, "ESP32-S3", mac, "")


async def test_an_event_goes_on_as_the_same_after_it_was_asked_for(world, fleet):
    board = world.add_board("north")
    await asyncio.to_thread(give_identity, board.url, fleet)
    await world.wait_until(lambda: board.state == RUNNING, timeout_s=10)
    board.squeeze("hold")
    await world.wait_until(lambda: world.air.frames > 0, timeout_s=30)
    (answer,) = (await asked(board.url)).values()
    assert (answer.event["n"], answer.event["activation"], answer.event["drill"]) == (1, 1, False)
    frames = world.air.frames
    await world.wait_until(lambda: world.air.frames > frames, timeout_s=30)
    after = (await asyncio.to_thread(state, board.url)).event
    assert (after["n"], after["resumed"]) == (1, False)


async def test_a_board_without_power_is_no_answer(world, monkeypatch):
    monkeypatch.setattr("fanal.probe._ATTACH_S", 0.2)
    board = world.add_board("north")
    board.power_off()
    (answer,) = (await asked(board.url)).values()
    assert (answer.state, answer.code) == (NO_ANSWER, "no_answer")
