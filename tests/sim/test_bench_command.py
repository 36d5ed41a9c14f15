"""`fanal sim` as a person uses it: the bench in one terminal, its controls in another."""

import asyncio
import json
import re
import sys

import pytest

pytest.importorskip("bumble", reason="needs the extra `sim`")

from fanal.sim.chip import ROM
from fanal.sim.control import Control
from fanal.sim.world import World

pytestmark = pytest.mark.sim


@pytest.fixture
async def world(tmp_path):
    async with World(tmp_path / "bench", firmware="", boot_ms=0) as world, Control(world):
        world.add_board("b1")
        yield world


async def fanal_sim(world, *arguments):
    command = [sys.executable, "-m", "fanal", "sim", "--dir", str(world.directory), *arguments]
    return await world.run_client(*command)


async def test_squeeze_power_battery_and_status(world):
    board = world.boards["b1"]
    assert (await fanal_sim(world, "squeeze", "hold")).exit_code == 0
    assert board.senses.is_playing(board.loop.time())
    await fanal_sim(world, "battery", "3300")
    await fanal_sim(world, "power", "off")
    status = json.loads((await fanal_sim(world, "status", "--json")).output)
    assert status["air"] == world.air_address
    (shown,) = status["boards"]
    assert (shown["state"], shown["battery_mv"], shown["port"]) == ("off", 3300, board.port)
    await fanal_sim(world, "power", "on", "b1")
    assert board.state != "off"


async def test_the_air_is_set_recorded_forged_and_replayed(world, tmp_path):
    await fanal_sim(world, "loss", "0.4", "--listener", "far")
    assert world.air.listener("far").loss == 0.4
    assert world.air.reception.loss == 0
    await fanal_sim(world, "duplicate", "0.2")
    assert world.air.reception.duplicate == 0.2
    path = tmp_path / "tape.jsonl"
    await fanal_sim(world, "record", str(path))
    await fanal_sim(world, "forge", "0303a1f5")
    await fanal_sim(world, "record", "--stop")
    sent = []
    world.air.tap(sent.append)
    assert "1 packets" in (await fanal_sim(world, "replay", str(path))).output
    await world.wait_until(lambda: sent, 5)
    assert sent[0].data.hex() == "0303a1f5"


@pytest.mark.parametrize(
    ("arguments", "exit_code", "sentence"),
    [
        (["squeeze", "hold", "b9"], 3, "no board called b9"),
        (["squeeze", "tickle"], 2, "no squeeze called tickle"),
        (["forge", "00" * 32], 1, "31 is the most"),
        (["forge", "xyz"], 2, "not hexadecimal"),
        (["cut"], 2, "--after SECONDS or --operation N"),
        (["boards", "add", "b1"], 1, "already"),
        (["boards", "add", "b2", "--chip", "esp32c6"], 1, "can be blank"),
        (["start", "--chip", "esp32c6"], 2, "add --blank"),
        (["fault", "b1", "unplug"], 2, "needs --at"),
        (["fault", "b1", "bad-block", "--at", "0x400000"], 2, "no flash at"),
        (["fault", "b1", "slow", "--at", "x"], 2, "takes a number"),
        (["fault", "b9", "none"], 3, "no board called b9"),
    ],
)
async def test_what_cannot_be_ends_in_one_sentence(world, arguments, exit_code, sentence):
    outcome = await fanal_sim(world, *arguments)
    assert (outcome.exit_code, sentence in outcome.output) == (exit_code, True), outcome.output
    assert "Traceback" not in outcome.output


async def test_buttons_plugs_and_faults(world):
    board = world.boards["b1"]
    await fanal_sim(world, "boot-button", "hold")
    await fanal_sim(world, "reset")
    await world.wait_until(lambda: board.state == ROM)
    await fanal_sim(world, "boot-button", "release")
    await fanal_sim(world, "unplug")
    (shown,) = json.loads((await fanal_sim(world, "status", "--json")).output)["boards"]
    assert (shown["plugged"], shown["state"], shown["url"]) == (False, ROM, board.url)
    assert "unplugged" in (await fanal_sim(world, "status")).output
    await fanal_sim(world, "plug", "b1")
    assert board.is_plugged
    await fanal_sim(world, "fault", "b1", "bad-block", "--at", "0x1234")
    await fanal_sim(world, "fault", "b1", "loss", "--every", "2", "--direction", "in")
    assert b"".join(board.faults.bend("to chip", b"abcd")) == b"ac"
    assert board.faults.bad_sectors == {0x1000}
    await fanal_sim(world, "fault", "b1", "none")
    assert (board.faults.bad_sectors, board.faults.slow_baud) == (set(), None)


async def test_a_blank_board_is_added(world):
    answer = await fanal_sim(world, "boards", "add", "c6", "--chip", "esp32c6", "--blank", "--json")
    board = world.boards["c6"]
    assert json.loads(answer.output)["url"] == board.url
    assert set(board.flash_bytes()) == {0xFF}


async def test_without_a_bench_it_says_how_to_start_one(world, tmp_path):
    world.directory = tmp_path / "nowhere"
    outcome = await fanal_sim(world, "status")
    assert (outcome.exit_code, "fanal sim start" in outcome.output) == (7, True)


async def test_start_shows_ports_and_air_and_ends_with_ctrl_c(tmp_path):
    command = [sys.executable, "-m", "fanal", "sim", "--dir", str(tmp_path), "start"]
    process = await asyncio.create_subprocess_exec(
        *command, "--boards", "2", "--air-port", "0", stdout=asyncio.subprocess.PIPE
    )
    shown = b""
    async with asyncio.timeout(20):
        while b"Ctrl-C" not in shown:
            shown += await process.stdout.readline()
        process.send_signal(2)
        assert await process.wait() == 0
    text = shown.decode()
    assert f"{tmp_path}/b2/port" in text
    assert "fanal listen --air 127.0.0.1:" in text
    ports = re.search(r'export FANAL_PORTS="(.*)"', text)[1].split()
    assert ports == [f"{tmp_path}/b{number}/port" for number in (1, 2)]
    assert len(set(re.findall(r"rfc2217://127\.0\.0\.1:\d+", text))) == 2
    assert not (tmp_path / "control.sock").exists()
    assert not (tmp_path / "b1" / "port").is_symlink()
    assert (tmp_path / "b1" / "flash.bin").exists()
