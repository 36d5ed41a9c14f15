"""The hot paths under heap_lock on MicroPython: a turn of the loop allocates nothing."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MICROPYTHON = Path(sys.executable).with_name("micropython")

pytestmark = pytest.mark.skipif(not MICROPYTHON.exists(), reason="needs the MicroPython wheel")

PROGRAM = """
import sys
sys.path[:0] = [{firmware!r}, {protocol!r}]
from micropython import heap_lock, heap_unlock
from beacon import event, life, profile, settings, vault

class Board:
    sector_bytes = 4096
    count = 4
    def __init__(self):
        self.now = 0
        self.force = 0
        self.shown = 0
        self.flash = [bytearray(b"\\xff" * 4096) for _ in range(4)]
    def read_into(self, sector, offset, buffer):
        buffer[:] = self.flash[sector][offset:offset + len(buffer)]
    def write(self, sector, offset, data):
        for i in range(len(data)):
            self.flash[sector][offset + i] &= data[i]
    def erase(self, sector):
        for i in range(4096):
            self.flash[sector][i] = 255
    def ticks_ms(self): return self.now
    def ticks_diff(self, a, b): return a - b
    def rtc_ms(self): return self.now
    def force_mv(self): return self.force
    def battery_mv(self): return 4000
    def active(self): return False
    def woken(self): return False
    def watch(self): pass
    def feed(self): pass
    def read(self): return b""
    def wipe(self): pass
    def start(self, data): return True
    def show(self, data):
        self.shown += 1
        return True
    def stop(self): pass
    def off(self): pass
    def on(self): pass

class Memory(Board):
    def __init__(self): pass
    def write(self, data): pass

board = Board()
v = vault.Vault(board)
v.recover()
from fanal_protocol import ed25519
v.commit(vault.provisioned(vault.identity(bytes(32), ed25519.public_key(bytes(32))), bytes(32)))
hw = life.Hardware(board, board, Memory(), board, board, board, board, lambda n: bytes(n))
l = life.Life(hw, settings.Settings(), profile.ESP32)
l.boot()
locked = 0

def step():
    board.now += 20
    l.step()

def locked_step():
    global locked
    board.now += 20
    heap_lock()
    try:
        l.step()
    finally:
        heap_unlock()
    locked += 1

for i in range(10): step()
for i in range(400): locked_step()
board.force = 2500
for i in range(140): locked_step()
while l._emission is None: step()
for i in range(3): step()
assert l._emission.frames.signed
before = board.shown
while board.shown < before + 400:
    age = l._emission.event.age_ms
    if (age + 20) // 2000 == age // 2000:
        locked_step()
    else:
        step()

# a whole unit's alert, sealed and wrapped
frames = l._emission.frames
seal = frames.seal
heap_lock()
seal(300, 0x20, 200, 0, 0)
heap_unlock()
print(locked, board.shown)
"""


def test_a_turn_of_the_loop_allocates_nothing():
    program = PROGRAM.format(firmware=str(ROOT / "firmware"), protocol=str(ROOT / "protocol"))
    done = subprocess.run(
        [MICROPYTHON, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stderr == "", done.stderr
    locked, shown = map(int, done.stdout.split())
    assert locked > 2000
    assert shown >= 400
