# machine: pins, ADC, sleep, resets, RTC memory and watchdog of the virtual board.
import json
import struct
from opcode import (
    DEEP_SLEEP,
    EDGE,
    LIGHT_SLEEP,
    PIN_IRQ,
    PIN_OUT,
    RESET,
    RTC_READ,
    RTC_SET,
    RTC_WRITE,
    WATCHDOG,
)

import _bench
import board
import esp32
import umachine as _native

PWRON_RESET = 1
HARD_RESET = 2
WDT_RESET = 3
DEEPSLEEP_RESET = 4
SOFT_RESET = 5

PIN_WAKE = 2
EXT0_WAKE = 2
EXT1_WAKE = 3
TIMER_WAKE = 4
TOUCHPAD_WAKE = 5
ULP_WAKE = 6
GPIO_WAKE = 7

SLEEP = 2
DEEPSLEEP = 4

_RTC_MEMORY = 2048
_FREQUENCIES = {
    "esp32": (20, 40, 80, 160, 240),
    "esp32s3": (20, 40, 80, 160, 240),
    "esp32c3": (20, 40, 80, 160),
    "esp32c6": (20, 40, 80, 160),
}[board.chip]
_PINS = {
    "esp32": tuple(range(20)) + (21, 22, 23, 25, 26, 27) + tuple(range(32, 40)),
    "esp32s3": tuple(range(22)) + tuple(range(26, 49)),
    "esp32c3": tuple(range(22)),
    "esp32c6": tuple(range(31)),
}[board.chip]
_INPUT_ONLY = (34, 35, 36, 37, 38, 39) if board.chip == "esp32" else ()
_ADC_PINS = {
    "esp32": (0, 2, 4, 12, 13, 14, 15, 25, 26, 27, 32, 33, 34, 35, 36, 37, 38, 39),
    "esp32s3": tuple(range(1, 21)),
    "esp32c3": tuple(range(6)),
    "esp32c6": tuple(range(7)),
}[board.chip]
# the most that each attenuation can measure, in mV
_FULL_SCALE_MV = {
    "esp32": (950, 1250, 1750, 2450),
    "esp32s3": (950, 1250, 1750, 3100),
    "esp32c3": (750, 1050, 1300, 2500),
    "esp32c6": (1000, 1300, 1900, 3300),
}[board.chip]

_frequency = 160000000


class Pin:
    """A pin. The force pin reads the world; an output is reported to the supervisor."""

    IN = 1
    OUT = 3
    OPEN_DRAIN = 7
    PULL_UP = 2
    PULL_DOWN = 1
    IRQ_RISING = 1
    IRQ_FALLING = 2
    WAKE_LOW = 4
    WAKE_HIGH = 5
    DRIVE_0 = 0
    DRIVE_1 = 1
    DRIVE_2 = 2
    DRIVE_3 = 3

    def __init__(self, id, mode=None, pull=None, *, value=None, drive=None, hold=None):
        if isinstance(id, Pin):
            id = id._id
        if not isinstance(id, int):
            raise ValueError("expecting a pin")
        if id not in _PINS:
            raise ValueError("invalid pin")
        self._id = id
        self._value = 0
        self._handler = None
        self._trigger = 0
        self._mode = Pin.IN
        self._pull = None
        self.init(mode, pull, value=value)

    def __repr__(self):
        return "Pin({})".format(self._id)

    def init(self, mode=None, pull=None, *, value=None, drive=None, hold=None):
        if mode in (Pin.OUT, Pin.OPEN_DRAIN) and self._id in _INPUT_ONLY:
            raise ValueError("pin can only be input")
        if mode is not None:
            self._mode = mode
        self._pull = pull
        if value is not None:
            self.value(value)

    def value(self, value=None):
        if value is None:
            return self._read()
        self._value = 1 if value else 0
        _bench.call(PIN_OUT, self._id, self._value)
        return None

    __call__ = value

    def _read(self):
        if self._mode in (Pin.OUT, Pin.OPEN_DRAIN):
            return self._value
        if self._id == board.pins["wake"]:
            _bench.sense()
            return _bench.level
        return 1 if self._pull == Pin.PULL_UP else 0

    def on(self):
        self.value(1)

    def off(self):
        self.value(0)

    def toggle(self):
        self.value(not self._value)

    def irq(self, handler=None, trigger=3, wake=None, hard=False):
        """Run handler(pin) at an edge of the force pin, while the board sleeps or waits."""
        if self._on_edge in _bench.edge_handlers:
            _bench.edge_handlers.remove(self._on_edge)
        self._handler = handler
        self._trigger = trigger
        if self._id == board.pins["wake"]:
            if handler is not None:
                _bench.edge_handlers.append(self._on_edge)
            _bench.call(PIN_IRQ, 3 if _bench.edge_handlers else 0)
        return handler

    def _on_edge(self):
        if self._trigger & (Pin.IRQ_RISING if _bench.level else Pin.IRQ_FALLING):
            self._handler(self)


class Signal:
    """A pin whose on may be low."""

    def __init__(self, pin, *args, invert=False, **more):
        self._pin = pin if isinstance(pin, Pin) else Pin(pin, *args, **more)
        self._invert = invert

    def value(self, value=None):
        if value is None:
            return self._pin.value() ^ self._invert
        self._pin.value(bool(value) != self._invert)
        return None

    __call__ = value

    def on(self):
        self.value(1)

    def off(self):
        self.value(0)


class PWM:
    """Pulse width on a pin; the supervisor notes the duty."""

    def __init__(self, dest, *, freq=5000, duty=None, duty_u16=None, duty_ns=None, invert=False):
        self._pin = dest if isinstance(dest, Pin) else Pin(dest)
        self._freq = freq
        self._duty = 0
        if duty_u16 is not None or duty is not None:
            self.duty_u16(duty_u16 if duty_u16 is not None else duty << 6)

    def freq(self, value=None):
        if value is None:
            return self._freq
        if not 0 < value <= 40000000:
            raise ValueError("frequency must be from 1Hz to 40MHz")
        self._freq = value
        return None

    def duty_u16(self, value=None):
        if value is None:
            return self._duty
        if not 0 <= value <= 65535:
            raise ValueError("duty_u16 must be from 0 to 65535")
        self._duty = value
        _bench.call(PIN_OUT, self._pin._id, value)
        return None

    def duty(self, value=None):
        if value is None:
            return self._duty >> 6
        self.duty_u16(value << 6)
        return None

    def deinit(self):
        self.duty_u16(0)


class ADC:
    """A channel that reads force or battery, or an open pin (0)."""

    ATTN_0DB = 0
    ATTN_2_5DB = 1
    ATTN_6DB = 2
    ATTN_11DB = 3
    WIDTH_9BIT = 9
    WIDTH_10BIT = 10
    WIDTH_11BIT = 11
    WIDTH_12BIT = 12

    def __init__(self, pin, *, atten=0, sample_ns=None):
        self._pin = pin if isinstance(pin, Pin) else Pin(pin)
        if self._pin._id not in _ADC_PINS:
            raise ValueError("invalid pin")
        self.atten(atten)

    def init(self, *, atten=0, sample_ns=None):
        self.atten(atten)

    def atten(self, atten):
        if atten not in (0, 1, 2, 3):
            raise ValueError("invalid atten")
        self._full_mv = _FULL_SCALE_MV[atten]

    def width(self, bits):
        if bits != 12:
            raise ValueError("invalid bits")

    def _mv(self):
        _bench.sense()
        if self._pin._id == board.pins["force"]:
            mv = _bench.force_mv
        elif self._pin._id == board.pins["battery"]:
            mv = _bench.battery_mv // board.pins["divider"]
        else:
            mv = 0
        return min(mv, self._full_mv)

    def read_uv(self):
        return self._mv() * 1000

    def read(self):
        return self._mv() * 4095 // self._full_mv

    def read_u16(self):
        raw = self.read()
        return raw << 4 | raw >> 8


class RTC:
    """The real-time clock, and the 2048 bytes that survive everything but a power cut."""

    def __init__(self, id=0):
        if id != 0:
            raise ValueError("RTC does not exist")

    def memory(self, data=None):
        if data is None:
            return _bench.call(RTC_READ)
        data = bytes(data)
        if len(data) > _RTC_MEMORY:
            raise ValueError("buffer too long")
        _bench.call(RTC_WRITE, data=data)
        return None

    def datetime(self, when=None):
        import time

        if when is None:
            t = time.gmtime()
            us = time.time_ns() // 1000 % 1000000
            return (t[0], t[1], t[2], t[6], t[3], t[4], t[5], us)
        seconds = time.mktime((when[0], when[1], when[2], when[4], when[5], when[6], 0, 0))
        now = _bench.now_us()
        board.rtc_us = seconds * 1000000 + when[7] - now
        _bench.call(RTC_SET, data=struct.pack("<q", board.rtc_us))
        return None

    init = datetime


class WDT:
    """Resets the board unless fed. Cannot be stopped; a new one changes the timeout."""

    def __init__(self, id=0, timeout=5000):
        if id != 0:
            raise ValueError
        if timeout <= 0:
            raise ValueError("WDT timeout too short")
        self._timeout = timeout
        _bench.call(WATCHDOG, timeout)

    def feed(self):
        _bench.fed = 1
        _bench.sense()


def _wakes():
    return json.dumps(esp32.wakes).encode()


def deepsleep(time_ms=0):
    _bench.call(DEEP_SLEEP, time_ms, data=_wakes())


def lightsleep(time_ms=0):
    _bench.call(LIGHT_SLEEP, time_ms, data=_wakes())
    if _bench.status == EDGE:
        for handler in _bench.edge_handlers:
            handler()


def reset():
    _bench.call(RESET)


def soft_reset():
    raise SystemExit


def reset_cause():
    return board.reset_cause


def wake_reason():
    return board.wake_reason


def unique_id():
    return board.mac


def freq(hz=None):
    global _frequency
    if hz is None:
        return _frequency
    if hz // 1000000 not in _FREQUENCIES:
        raise ValueError("frequency must be one of " + ", ".join(str(f) for f in _FREQUENCIES))
    _frequency = hz
    return None


def idle():
    # a tick of the scheduler: without it a loop that only idles would never see time pass
    _bench.sleep_us(1000)


def disable_irq():
    return 0


def enable_irq(state):
    pass


mem8 = _native.mem8
mem16 = _native.mem16
mem32 = _native.mem32
time_pulse_us = _native.time_pulse_us
