"""Times of the firmware on this machine: printed beside the budgets, judged by nobody."""

import asyncio

import pytest

pytest.importorskip("bumble", reason="needs the extra `sim`")

from fanal.sim.chip import ASLEEP, BOOT_MS
from fanal.sim.clock import run_virtual
from fanal.sim.world import World

from tests.micropython.budget_life import provisioned
from tests.micropython.interpreter import run_micropython

pytestmark = pytest.mark.sim

# held from the first moment; at the firmware's default that is an alert after three seconds
HOLD = [(0, 2500), (8000, 2500), (8100, 0)]
HOLD_S = 3.0

SIGN = """
import time
from beacon.frames import Frames
from fanal_protocol import ed25519
seed = bytes(range(32))
public_key = ed25519.public_key(seed)
frames = Frames(1, seed[:16], seed[16:], seed)
frames.enter(0)
times = []
for _ in range(9):
    start = time.ticks_us()
    frames.sign(seed, public_key, 0x20, lambda n: bytes(n))
    times.append(time.ticks_diff(time.ticks_us(), start))
print(sorted(times)[4])
"""


def test_a_slot_is_signed(budget, tmp_path):
    script = tmp_path / "sign.py"
    script.write_text(SIGN)
    done = run_micropython(script)
    assert (done.returncode, done.stderr) == (0, "")
    budget("signature and its pages", int(done.stdout) / 1000, unit="ms")


def test_the_first_packet_after_a_wake(budget):
    """The world's clock runs as the wall's from the squeeze on, so computing takes its time."""

    async def live():
        async with World() as world:
            board = world.add_board()
            aired = []
            world.air.tap(lambda _: aired.append(board.loop.time()))
            await provisioned(world, board)
            await world.wait_until(lambda: board.state == ASLEEP, 120)
            with world.at_pace():
                squeezed_s = board.loop.time()
                board.squeeze(HOLD)
                await world.wait_until(lambda: aired, 20)
                woken = aired[0] - squeezed_s - HOLD_S
                board.power_off()
                await asyncio.sleep(0)
                aired.clear()
                powered_s = board.loop.time()
                board.power_on()
                await world.wait_until(lambda: aired, 20)
                resumed = aired[0] - powered_s - BOOT_MS / 1000
            return woken, resumed

    woken, resumed = run_virtual(live())
    budget("first packet, after the 3 s of a hold", woken * 1000, unit="ms")
    budget("first packet, after a boot that resumes", resumed * 1000, unit="ms")
    assert woken > -0.5, "an alert before the hold was long enough"
