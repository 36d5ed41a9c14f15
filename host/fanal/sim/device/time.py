# time of the ESP32 port: epoch 2000, ticks of 30 bits, a real-time clock that survives sleep.
import _bench
import board
import utime as _native

_PERIOD = 1 << 30
_EPOCH_2000 = 946684800


def ticks_ms():
    return (_bench.now_us() // 1000) & (_PERIOD - 1)


def ticks_us():
    return _bench.now_us() & (_PERIOD - 1)


def ticks_cpu():
    return ticks_us()


def ticks_add(ticks, delta):
    if not -_PERIOD // 2 < delta < _PERIOD // 2:
        raise OverflowError("ticks interval overflow")
    return (ticks + delta) & (_PERIOD - 1)


def ticks_diff(end, start):
    return ((end - start + _PERIOD // 2) & (_PERIOD - 1)) - _PERIOD // 2


def sleep(seconds):
    _bench.sleep_us(int(seconds * 1000000))


def sleep_ms(ms):
    _bench.sleep_us(ms * 1000)


def sleep_us(us):
    _bench.sleep_us(us)


def time():
    return (_bench.now_us() + board.rtc_us) // 1000000


def time_ns():
    return (_bench.now_us() + board.rtc_us) * 1000


def gmtime(seconds=None):
    return _native.gmtime((time() if seconds is None else seconds) + _EPOCH_2000)[:8]


localtime = gmtime


def mktime(when):
    return _native.mktime(when) - _EPOCH_2000
