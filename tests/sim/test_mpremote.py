"""Real mpremote at the end of a virtual board's serial line, in real time."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

pytest.importorskip("bumble", reason="needs the extra `sim`")

from fanal.sim.chip import PROMPT
from fanal.sim.world import World

pytestmark = pytest.mark.sim

MPREMOTE = (sys.executable, "-m", "mpremote")


@pytest.fixture
async def world():
    async with World(firmware="", boot_ms=0) as world:
        yield world


@pytest.fixture
async def board(world):
    board = world.add_board("b1")
    await world.wait_until(lambda: board.state == PROMPT)
    return board


async def give_main(world, board, text):
    """Have `text` as main.py, closed: what is not closed is lost at a reset."""
    code = f"with open('main.py', 'w') as f: f.write({text!r})"
    assert (await mpremote(world, board, "exec", code)).exit_code == 0


async def mpremote(world, board, *command):
    return await world.run_client(*MPREMOTE, "connect", board.port, *command)


async def test_exec_prints_and_a_traceback_is_an_error(world, board):
    fine = await mpremote(world, board, "exec", "print(6 * 7)")
    assert (fine.exit_code, fine.output) == (0, "42\r\n")
    broken = await mpremote(world, board, "exec", "1 / 0")
    assert broken.exit_code == 1
    assert "ZeroDivisionError" in broken.output


async def test_files_go_there_and_back_and_survive_the_battery(world, board, tmp_path):
    content = os.urandom(9000)
    (tmp_path / "there").write_bytes(content)
    await mpremote(world, board, "cp", str(tmp_path / "there"), ":x.bin")
    board.power_off()
    board.power_on()
    await world.wait_until(lambda: board.state == PROMPT)
    listing = await mpremote(world, board, "fs", "ls")
    assert "9000 x.bin" in listing.output
    await mpremote(world, board, "cp", ":x.bin", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == content


async def test_soft_reset_keeps_the_port_and_forgets_the_variables(world, board):
    await mpremote(world, board, "exec", "x = 1")
    await mpremote(world, board, "soft-reset")
    answer = await mpremote(
        world,
        board,
        "resume",
        "exec",
        "import machine; print(machine.reset_cause(), 'x' in globals())",
    )
    assert answer.output == "5 False\r\n"


async def test_attaching_interrupts_a_program_that_sleeps_and_one_that_computes(world, board):
    for body in ("time.sleep(1000)", "pass"):
        await give_main(world, board, f"import time\nwhile 1: {body}")
        board.reset()
        await world.wait_until(lambda: board.console.listens)
        answer = await mpremote(world, board, "exec", "print('mine')")
        assert answer.output == "mine\r\n"
        assert "KeyboardInterrupt" in board.console_text


async def test_a_board_in_deep_sleep_does_not_answer(world, board):
    await give_main(world, board, "import machine\nmachine.deepsleep()")
    board.reset()
    await world.wait_until(lambda: board.state == "deep sleep")
    with open(board.port, "r+b", buffering=0) as line:
        os.set_blocking(line.fileno(), False)
        line.read(100000)  # what it said before
        line.write(b"\x03\r\x01")
        await world.run_for(0.1)
        assert line.read(100) is None


async def test_a_second_world_in_the_folder_resumes_the_boards(tmp_path):
    async with World(tmp_path, firmware="", boot_ms=0) as first:
        board = first.add_board("north", "esp32s3")
        mac, folder = board.identity.mac, board.port
        board.flash.program(0x200000, b"kept")
    async with World(tmp_path, firmware="", boot_ms=0) as second:
        again = second.boards["north"]
        assert (again.identity.mac, again.port, again.chip) == (mac, folder, "esp32s3")
        assert again.flash.read(0x200000, 4) == b"kept"
        assert again.state == "off"


async def test_children_die_with_the_world(tmp_path):
    """The worst end: nobody can tidy up."""
    command = [sys.executable, "-m", "fanal", "sim", "--dir", str(tmp_path), "start"]
    process = await asyncio.create_subprocess_exec(
        *command, "--air-port", "0", stdout=asyncio.subprocess.PIPE
    )
    await process.stdout.readline()
    async with asyncio.timeout(5):
        while len(children := descendants(process.pid)) < 2:
            await asyncio.sleep(0.01)
    process.kill()
    await process.wait()
    async with asyncio.timeout(5):
        while any(map(is_alive, children)):
            await asyncio.sleep(0.01)


def descendants(pid):
    own = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return own + [deeper for child in own for deeper in descendants(child)]


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def test_boards_without_a_name_or_with_a_bad_one(world):
    names = [world.add_board(powered=False).name for _ in range(2)]
    assert names == ["b1", "b2"]
    for name, chip in (("b1", "esp32"), ("../up", "esp32"), ("b3", "esp8266")):
        with pytest.raises(ValueError, match=r"board|chip"):
            world.add_board(name, chip)
