"""Hardware for the firmware's loop on a bare MicroPython, which allocates nothing itself."""

import sys


class Ble:
    """As bluetooth.BLE as far as the radio asks. Every address is another one."""

    def __init__(self):
        self.address = 0
        self.advertised = 0

    def active(self, on):
        pass

    def gap_advertise(self, interval_us, adv_data=None, resp_data=None, connectable=True):
        if interval_us is not None:
            self.advertised += 1

    def config(self, *names, **values):
        self.address += 1 if values else 0
        return (0, self.address)


class _Bluetooth:
    BLE = Ble


sys.modules["bluetooth"] = _Bluetooth


class Clock:
    """ticks and the RTC: one number that the test moves."""

    def __init__(self):
        self.now_ms = 0

    def ticks_ms(self):
        return self.now_ms

    def ticks_diff(self, after, before):
        return after - before

    def rtc_ms(self):
        return self.now_ms


class Flash:
    """Four sectors of NOR flash in memory."""

    sector_bytes = 4096
    count = 4

    def __init__(self):
        self._sectors = [bytearray(b"\xff" * 4096) for _ in range(4)]

    def read_into(self, sector, offset, buffer):
        buffer[:] = self._sectors[sector][offset : offset + len(buffer)]

    def write(self, sector, offset, data):
        for i, byte in enumerate(data):
            self._sectors[sector][offset + i] &= byte

    def erase(self, sector):
        self._sectors[sector][:] = b"\xff" * 4096


class Memory:
    """RTC memory."""

    def read(self):
        return b""

    def write(self, data):
        pass

    def wipe(self):
        pass


class Sensor:
    """Force in mV, set by the test."""

    def __init__(self):
        self.now_mv = 0

    def force_mv(self):
        return self.now_mv

    def battery_mv(self):
        return 4000

    def active(self):
        return self.now_mv > 1600


class Sleep:
    """It never sleeps: `deep` says that it was asked to."""

    def woken(self):
        return False

    def by_pin(self):
        return False

    def deep(self, duration_ms, on_press):
        raise SystemExit

    def watch(self):
        pass

    def feed(self):
        pass


class Motor:
    """Nothing moves."""

    def on(self):
        pass

    def off(self):
        pass
