"""A board that a test owns: NOR flash and RTC memory with their vices, a radio that is heard.

Time is `World.now_ms`; it moves only when the firmware sleeps or the flash works. The firmware
above it is the real one, from life.Life down to vault.Vault and radio.Radio.
"""

import sys
import types
from collections import namedtuple
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "shim"), str(ROOT / "firmware")]

from beacon import event, life, profile, radio, retained, schedule, squeeze, store, vault  # noqa: E402, F401
from beacon.settings import Settings  # noqa: E402, F401
from fanal_protocol import advert, alert, frame, keys, signature, slot  # noqa: E402

SECTOR_BYTES = 4096
DIGITAL_MV = 1600
SEED = bytes(range(32))
FIRST_KEY = bytes(range(100, 132))

Heard = namedtuple("Heard", "t_ms address payload n slot rid kind plain")


class PowerCut(BaseException):
    """The power went, in the middle of whatever it was."""


class DeepSleep(BaseException):
    """The chip went to sleep: the next thing is a boot."""

    def __init__(self, duration_ms, on_press):
        super().__init__(duration_ms)
        self.duration_ms, self.on_press = duration_ms, on_press


class Nor:
    """Flash: writing clears bits, erasing sets them, and the power can go in any of it.

    cut: (operation, part): at that operation, counted from 0, do that part of it, 0..1, and
    cut; a part of 2 is the cut right after it. keep: shall an erase that is cut go from the end.
    """

    sector_bytes = SECTOR_BYTES

    def __init__(self, count=4):
        self.count = count
        self.data = [bytearray(b"\xff" * SECTOR_BYTES) for _ in range(count)]
        self.operations = 0
        self.cut = None
        self.from_the_end = False

    def read_into(self, sector, offset, buffer):
        buffer[:] = self.data[sector][offset : offset + len(buffer)]

    def write(self, sector, offset, data):
        done = self._part(len(data))
        for i in range(len(data) if done is None else done):
            self.data[sector][offset + i] &= data[i]
        self._finish(done)

    def erase(self, sector):
        done = self._part(SECTOR_BYTES)
        size = SECTOR_BYTES if done is None else done
        first = SECTOR_BYTES - size if self.from_the_end else 0
        self.data[sector][first : first + size] = b"\xff" * size
        self._finish(done)

    def dump(self):
        return b"".join(self.data)

    def _part(self, size):
        self._after = False
        operation, self.operations = self.operations, self.operations + 1
        if self.cut is None or self.cut[0] != operation:
            return None
        part, self.cut = self.cut[1], None
        if part == 2:
            self._after = True
            return None
        return int(part * size)

    def _finish(self, done):
        if done is not None or self._after:
            raise PowerCut


class Rtc:
    """machine.RTC: 2048 bytes; an empty write only sets the length."""

    def __init__(self):
        self.raw = bytearray(2048)
        self.size = 0

    def memory(self, data=None):
        if data is None:
            return bytes(self.raw[: self.size])
        if len(data) > len(self.raw):
            raise ValueError("buffer too long")
        self.raw[: len(data)] = data
        self.size = len(data)
        return None

    def lose(self):
        self.raw[:] = b"\xa5" * len(self.raw)
        self.size = 0


class Ble:
    """bluetooth.BLE as NimBLE has it: no new address while advertising, and not a word about it."""

    def __init__(self, world):
        self.world = world
        self.up = False
        self.advertising = False
        self.address = b"\x30\xae\xa4\x00\x00\x01"
        self.addresses = 0
        self.stuck = 0
        self.data = b""

    def active(self, up=None):
        if up is None:
            return self.up
        self.up = up
        self.advertising = self.advertising and up
        return up

    def config(self, name=None, *, addr_mode=None):
        if not self.up:
            raise OSError(19)
        if name == "mac":
            return (0 if self.addresses == 0 else 1, self.address)
        assert addr_mode == 3
        if self.stuck:
            self.stuck -= 1
        elif not self.advertising:
            self.addresses += 1
            self.address = b"\x01" + self.addresses.to_bytes(5, "big")
        return None

    def gap_advertise(self, interval_us, adv_data=None, *, resp_data=None, connectable=True):
        if not self.up:
            raise OSError(19)
        if interval_us is None:
            self.advertising = False
            return
        assert interval_us >= 100000
        assert len(adv_data) == 31
        assert resp_data == b""
        assert connectable is False
        self.data = bytes(adv_data)
        self.advertising = True
        self.world.on_air(self.address, self.data)


@cache
def event_key(n):
    return FIRST_KEY if n == 1 else keys.next_event_key(event_key(n - 1))


@cache
def rids(n):
    """Return rid → slot of event n."""
    key = keys.rid_key(event_key(n))
    return {slot.rid(key, number): number for number in range(slot.SLOTS)}


@cache
def event_secrets(n):
    """Return all that must not outlive event n."""
    key = event_key(n)
    return (
        keys.rid_key(key),
        keys.alert_key(key),
        keys.page_key(key),
        keys.crumb_chain(key),
        key,
    )


class World:
    """A board, its hand and its air. force: what the sensor reads, mV."""

    def __init__(self, settings, seed_vault=True):
        self.now_ms = 1000
        self.rtc_offset_ms = 5_000_000
        self.settings = settings
        self.force_curve = []
        self.battery = 4000
        self.nor = Nor()
        self.rtc = Rtc()
        self.ble = Ble(self)
        self.heard = []
        self.cut_at_ms = None
        self.is_wake = False
        self.is_by_pin = False
        self.motor = []
        self.life = None
        self._asleep = None
        self._boots = 0
        self._boot_ms = 0
        if seed_vault:
            prepared = vault.Vault(self.nor)
            prepared.recover()
            prepared.commit(vault.provisioned(vault.identity(SEED, _public_key()), FIRST_KEY))
        sys.modules["bluetooth"] = types.SimpleNamespace(BLE=lambda: self.ble)

    # what the firmware is given

    def hardware(self):
        return life.Hardware(
            self,
            self.nor,
            store.RtcMemory(self.rtc),
            radio.Radio(100),
            self,
            self,
            types.SimpleNamespace(
                on=lambda: self.motor.append(1), off=lambda: self.motor.append(0)
            ),
            lambda size: bytes(size),
        )

    def ticks_ms(self):
        return (self.now_ms - self._boot_ms) & 0x3FFFFFFF

    def ticks_diff(self, end, start):
        return ((end - start + 0x20000000) & 0x3FFFFFFF) - 0x20000000

    def rtc_ms(self):
        return self.now_ms + self.rtc_offset_ms

    def sleep_ms(self, ms):
        self.pass_ms(ms)

    def force_mv(self):
        for start_ms, end_ms, mv in self.force_curve:
            if start_ms <= self.now_ms < end_ms:
                return mv
        return 20

    def battery_mv(self):
        return self.battery

    def active(self):
        return self.force_mv() >= DIGITAL_MV

    def woken(self):
        return self.is_wake

    def by_pin(self):
        return self.is_by_pin

    def watch(self):
        pass

    def feed(self):
        pass

    def deep(self, duration_ms, on_press):
        assert duration_ms >= 0
        raise DeepSleep(duration_ms, on_press)

    # what a test does

    def press(self, after_ms, for_ms, mv=2500):
        start_ms = self.now_ms + after_ms
        self.force_curve.append((start_ms, start_ms + for_ms, mv))

    def pass_ms(self, ms):
        self.now_ms += ms
        if self.cut_at_ms is not None and self.now_ms >= self.cut_at_ms:
            self.cut_at_ms = None
            raise PowerCut

    def run(self, until_ms):
        """Live on until a moment, through every boot; return how many there were."""
        boots = self._boots
        while self.now_ms < until_ms:
            try:
                if self._asleep is not None:
                    self._sleep(until_ms)
                elif self.life is None:
                    self._boot()
                else:
                    self.life.step()
                    self.sleep_ms(20)
            except PowerCut:
                self._cold()
            except DeepSleep as sleep:
                self.ble.active(False)
                self.slept(sleep)
                self.life, self._asleep = None, (sleep, self.now_ms)
        return self._boots - boots

    def slept(self, sleep):
        """For a test to look at the board as it sleeps."""

    def on_air(self, address, data):
        """Take one advertisement apart with the keys of this beacon, and hold it to the rules."""
        payload = advert.unwrap(data)
        decoded = frame.decode(payload)
        if isinstance(decoded, frame.AlertFrame):
            n, number = self._find(decoded.rid)
            plain = alert.open_alert(keys.alert_key(event_key(n)), decoded)
            heard = Heard(self.now_ms, address, payload, n, number, decoded.rid, "alert", plain)
        else:
            heard = self._page(address, payload, decoded)
        self.heard.append(heard)
        self.check(heard)

    def check(self, heard):
        """Every key up to that of the event on air is gone from flash by now."""
        dump = self.nor.dump()
        for n in range(1, heard.n + 1):
            assert event_key(n) not in dump, f"E_{n} in flash while event {heard.n} is on air"

    def _boot(self):
        self._boots += 1
        self._boot_ms = self.now_ms
        self.pass_ms(300)
        self.life = life.Life(self.hardware(), self.settings, profile.ESP32)
        self.life.boot()

    def _cold(self):
        self.ble.active(False)
        self.rtc.lose()
        self.life = self._asleep = None
        self.is_wake = self.is_by_pin = False
        self.now_ms += 50

    def _sleep(self, until_ms):
        """Go on to what ends the sleep: the pin, the timer, a cut; or to the end of the run."""
        sleep, since_ms = self._asleep
        timer_ms = since_ms + sleep.duration_ms if sleep.duration_ms else None
        edges = {t for piece in self.force_curve for t in piece[:2]}
        moments = {self.now_ms, until_ms, timer_ms, self.cut_at_ms, *edges} - {None}
        for t_ms in sorted(t for t in moments if self.now_ms <= t <= until_ms):
            self.pass_ms(t_ms - self.now_ms)
            by_pin = self.active() == sleep.on_press
            if by_pin or (timer_ms is not None and t_ms >= timer_ms):
                self.is_wake, self.is_by_pin, self._asleep = True, by_pin, None
                return

    def _find(self, rid):
        for n in range(1, self.life._vault.record.n + 1):
            if rid in rids(n):
                return n, rids(n)[rid]
        raise AssertionError("a RID of no event")

    def _page(self, address, payload, decoded):
        known = [(old.n, old.slot, old.rid) for old in reversed(self.heard)]
        last = self.heard[-1].n
        near = [(n, number, rid) for n in (last, last + 1) for rid, number in rids(n).items()]
        for n, number, rid in known + near:
            key = keys.page_key(event_key(n))
            if signature.check(key, rid, decoded.page, decoded.chunk) == decoded.check:
                return Heard(self.now_ms, address, payload, n, number, rid, "page", decoded.page)
        raise AssertionError("a page of no slot")


@cache
def _public_key():
    from fanal_protocol import ed25519

    return ed25519.public_key(SEED)
