"""Power that fails, sleeps that end, watchdogs that bite: what survives what."""

import re

import pytest

pytest.importorskip("bumble", reason="needs the extra `sim`")

from fanal.sim.flash import Cut

pytestmark = pytest.mark.sim

COUNT = """
import machine
memory = machine.RTC()
kept = memory.memory()
n = kept[0] + 1 if kept else 1
memory.memory(bytes([n]))
print("boot", n, machine.reset_cause(), machine.wake_reason())
"""


def boots(board):
    found = re.findall(r"boot (\d+) (\d+) (\d+)", board.console_text)
    return [tuple(map(int, numbers)) for numbers in found]


def test_deep_sleep_keeps_rtc_memory_and_tells_why_it_ended(live):
    async def act(world, board):
        await world.run_for(15)
        board.squeeze([(0, 0), (100, 3000), (200, 0)])
        await world.wait_until(lambda: len(boots(board)) == 3)
        return boots(board)

    main = (
        COUNT
        + """
import esp32
pin = machine.Pin(4)
esp32.wake_on_gpio((pin,), esp32.WAKEUP_ANY_HIGH)
if n < 3: machine.deepsleep(10000 if n == 1 else 100000)
"""
    )
    assert live(main, act) == [(1, 1, 0), (2, 4, 4), (3, 4, 7)]


@pytest.mark.parametrize(
    ("chip", "arm", "reason"),
    [
        ("esp32", "esp32.wake_on_ext0(machine.Pin(33), True)", 2),
        ("esp32s3", "esp32.wake_on_ext1((machine.Pin(5),), esp32.WAKEUP_ANY_HIGH)", 3),
    ],
)
def test_each_chip_wakes_in_its_own_way(live, chip, arm, reason):
    async def act(world, board):
        await world.run_for(5)
        board.squeeze([(0, 0), (100, 3000)])
        await world.wait_until(lambda: len(boots(board)) == 2)
        return boots(board)[1]

    main = f"{COUNT}\nimport esp32\n{arm}\nif n == 1: machine.deepsleep()"
    assert live(main, act, chip=chip) == (2, 4, reason)


def test_a_light_touch_below_the_threshold_does_not_wake(live):
    async def act(world, board):
        await world.run_for(5)
        board.squeeze([(0, 0), (100, 1400), (3000, 0)])
        await world.run_for(60)
        return len(boots(board))

    main = COUNT + "import esp32\nesp32.wake_on_gpio((machine.Pin(4),), True)\nmachine.deepsleep()"
    assert live(main, act) == 1


def test_a_pin_that_is_active_already_wakes_at_once(live):
    async def act(world, board):
        await world.wait_until(lambda: len(boots(board)) == 2, 5)
        return boots(board)[1]

    main = (
        COUNT
        + "import esp32\nesp32.wake_on_gpio((machine.Pin(4),), False)\n"
        + "if n == 1: machine.deepsleep()"
    )
    assert live(main, act) == (2, 4, 7)


def test_what_each_kind_of_end_does_to_rtc_memory(live):
    async def act(world, board):
        await world.run_for(1)
        board.reset()
        await world.run_for(1)
        assert board.rtc_memory()[:1] == b"\x02"
        board.power_off()
        assert board.rtc_memory() == bytes(2048)
        board.power_on()
        await world.run_for(1)
        return boots(board)

    assert live(COUNT, act) == [(1, 1, 0), (2, 2, 0), (1, 1, 0)]


def test_emptying_rtc_memory_leaves_the_bytes(live):
    async def act(world, board):
        await world.run_for(1)
        return board.rtc_memory()[:6]

    main = "import machine\nm = machine.RTC().memory\nm(b'secret')\nm(b'')"
    assert live(main, act) == b"secret"


def test_watchdog_bites_a_loop_that_hangs_and_cannot_be_called_off(live):
    async def act(world, board):
        await world.wait_until(lambda: len(boots(board)) == 2, 60)
        return boots(board)[1], world.clock.now

    main = (
        COUNT
        + """
import time
if n == 1:
    dog = machine.WDT(timeout=5000)
    for _ in range(10):
        time.sleep(4)
        dog.feed()
    del dog
    while True:
        time.sleep_ms(50)
"""
    )
    boot, at_s = live(main, act)
    assert boot == (2, 3, 0)
    assert at_s == pytest.approx(45, abs=0.5)


def test_watchdog_bites_at_the_prompt_and_through_a_soft_reset(live):
    async def act(world, board):
        await world.wait_until(lambda: len(boots(board)) == 2, 60)
        return [cause for _, cause, _ in boots(board)]

    main = COUNT + "\nif n == 1:\n machine.WDT(timeout=20000)\n"
    assert live(main, act) == [1, 3]


@pytest.mark.parametrize("where", ["before", "inside", "after"])
def test_power_cut_at_a_flash_operation(live, where):
    main = """
import esp32
print("boot 1 0 0")
vault = esp32.Partition("vault")
vault.ioctl(6, 0)
vault.writeblocks(0, b"0123456789", 0)
vault.writeblocks(0, b"abcdefghij", 16)
print("done")
"""

    async def act(world, board):
        board.cut(Cut(1, where, 4))
        await world.wait_until(lambda: board.state == "off")
        assert "done" not in board.console_text
        return board.flash.read(0x200000, 32), board.flash.operations

    blank = b"\xff" * 32
    written = {"before": b"", "inside": b"0123", "after": b"0123456789"}[where]
    assert live(main, act) == (written + blank[len(written) :], 2)


def test_the_file_system_survives_a_cut_at_every_operation(live):
    """A file that is replaced is the old or the new one, whatever operation the power fails at."""
    main = """
try:
    print("was", len(open("f").read()))
except OSError:
    print("was", -1)
with open("f.new", "w") as f:
    f.write("x" * 600)
import os
os.rename("f.new", "f")
print("done")
"""

    async def act(world, board):
        await world.wait_until(lambda: "done" in board.console_text)
        operations, done = 0, 1
        while True:
            board.power_off()
            board.cut(Cut(operations, ("before", "inside", "after")[operations % 3], 7))
            board.power_on()
            await world.wait_until(
                lambda: board.state == "off" or board.console_text.count("done") > done
            )
            if board.state != "off":
                return board.console_text, operations
            operations += 1

    text, operations = live(main, act)
    said = [line for line in text.split("\r\n") if line.startswith("was")]
    assert operations > 5
    assert said[0] == "was -1"
    assert set(said[1:]) == {"was 600"}


def test_cut_after_a_moment(live):
    async def act(world, board):
        board.cut_after(5)
        await world.run_for(4.9)
        before = board.state
        await world.run_for(0.2)
        return before, board.state

    assert live("import time\nwhile True: time.sleep(1)", act) == ("running", "off")
