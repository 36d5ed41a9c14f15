"""On MicroPython only: what the firmware does per tick and per frame allocates nothing.

Prints `name=calls` for every path that was gone with the heap locked, then `unit=bytes`, what
the turn of the loop takes that begins a unit: one in two seconds.
"""

import gc

import micropython
from beacon import event, frames, life, profile, schedule, settings, squeeze, vault
from beacon.radio import Radio
from fanal_protocol import advert, alert, ed25519, slot
from hot_path_hardware import Clock, Flash, Memory, Motor, Sensor, Sleep

TICK_MS = 20
KEY = bytes(range(32))
HOURS_MS = 2 * 3600 * 1000
counts = {}


def locked(name, call):
    """Call with the heap locked: any allocation raises MemoryError. Arguments would allocate."""
    micropython.heap_lock()
    try:
        answer = call()
    finally:
        micropython.heap_unlock()
    counts[name] = counts.get(name, 0) + 1
    return answer


def is_felt(call):
    """Return whether the lock is felt by a call that allocates."""
    try:
        locked("planted", call)
    except MemoryError:
        return True
    return False


# --- the lock is felt: by what a careless edit of each path would bring


class Planted:
    def method(self):
        pass

    def bound(self):
        return self.method


planted = Planted()
number = 3
plants = (
    lambda: bytes(number),
    lambda: (number, number),
    lambda: [number],
    lambda: memoryview(KEY)[number:],
    lambda: f"{number}",
    lambda: number / 2,
    lambda: KEY[number:],
    lambda: lambda: number,
    planted.bound,
)
for plant in plants:
    assert is_felt(plant), plants.index(plant)


# --- the detector, over hours: rest, knocks, a hold, somebody who sits on it, drift


def force_mv(t_ms):
    """A force that goes through every state of the detector, repeated each half hour."""
    minute = t_ms // 60000 % 30
    second = t_ms // 1000 % 60
    if minute < 10:
        return 40 + minute  # rest, and a slow drift
    if minute < 12:
        return 2200 if t_ms // 150 % 40 == 0 else 30  # knocks
    if minute == 12:
        return 2500 if second < 8 else 20  # a hold
    if minute < 24:
        return 1500 + t_ms // 20 % 90 + (900 if minute == 20 and second < 5 else 0)  # a load
    if minute < 26:
        return 2000 if second % 3 == 0 else 10  # slow presses
    return 0


detector = squeeze.Detector()
felt = 0
states = set()


def feed():
    return detector.feed(t_ms, mv)


for t_ms in range(0, HOURS_MS, TICK_MS):
    mv = force_mv(t_ms)
    felt += locked("feed", feed) != squeeze.NONE
    if t_ms % 60000 == 0:
        states.add((detector.pressed, detector.waiting_release, detector.idle))
assert felt >= 4, felt
assert len(states) >= 3, states


# --- which frame, and its bytes


def choose():
    """Every choice of two cycles of units."""
    for unit in range(36):
        for interval in range(20):
            for sealed in (False, True):
                for signed in (False, True):
                    schedule.choose(unit, interval, sealed, signed, crumbs)


def seal():
    made.seal(seq, 0x3A, 200, 255, 1)


def advertising_data():
    made.advert(11)
    return made.advert(schedule.ALERT)


def show():
    return radio.show(data)


for crumbs in (0, 1, 7, 255):  # noqa: B007  the function reads it
    locked("choose", choose)

made = frames.Frames(1, KEY[:16], KEY[16:], KEY)
made.enter(7)
for seq in range(0, 450, 9):  # noqa: B007
    locked("seal and wrap", seal)
data = locked("advert", advertising_data)
expected = alert.seal(KEY[16:], made.rid, slot.masked(441, slot.mask(KEY[:16], 7)),
                      alert.Alert(0x3A, 200, 255, 1))  # fmt: skip
assert bytes(data) == advert.wrap(expected)

radio = Radio(100)
assert radio.start(data)
for _ in range(50):
    assert locked("show", show)


# --- the event's own clock: in its phases; a change of phase may allocate, ten in a day

opened = event.Event(1, event.ALERT, settings.Settings({"profile": "carried"}))
seen = set()


def at():
    return opened.at(age_ms)


for age_ms in range(0, HOURS_MS, 500):
    is_changing = opened.state == event.ALERT and age_ms >= 600000
    seen.add(at() if is_changing else locked("at", at))
assert seen == {event.TRANSMIT, event.LISTEN}, seen


# --- the loop itself

clock, sensor = Clock(), Sensor()
flash = Flash()
kept = vault.Vault(flash)
kept.recover()
kept.commit(vault.provisioned(vault.identity(KEY, ed25519.public_key(KEY)), KEY))
hardware = life.Hardware(clock, flash, Memory(), Radio(100), sensor, Sleep(), Motor(), bytes)
lived = life.Life(hardware, settings.Settings({"window_s": 3600}), profile.ESP32)
lived.boot()


def turn():
    lived.step()


def step(name=None):
    """One turn of the loop; with a name, with the heap locked."""
    clock.now_ms += TICK_MS
    if name is None:
        turn()
    else:
        locked(name, turn)


step()  # known answers, once
for _ in range(2000):
    step("step, quiet")
sensor.now_mv = 2500
for _ in range(130):
    step("step, pressed")
while lived._emission is None:
    step()
for _ in range(3):
    step()
emission = lived._emission
assert emission.frames.signed
sensor.now_mv = 0
unit_bytes = []
advertised = hardware.radio._ble.advertised
while len(unit_bytes) < 25:
    age_ms = emission.event.age_ms
    if (age_ms + TICK_MS) // event.UNIT_MS == age_ms // event.UNIT_MS:
        step("step, on air")
        continue
    gc.collect()
    gc.disable()
    before = gc.mem_alloc()
    step()
    unit_bytes.append(gc.mem_alloc() - before)
    gc.enable()
assert hardware.radio._ble.advertised - advertised > 450
# in the track phase, kept awake as by presses that are no hold
lived._may_sleep = lambda: False
while emission.event.at(emission.event.age_ms) == event.TRANSMIT:
    step()
for _ in range(500):
    step("step, between bursts")

for name in sorted(counts):
    print(f"{name}={counts[name]}")
print(f"unit={max(unit_bytes)}")
