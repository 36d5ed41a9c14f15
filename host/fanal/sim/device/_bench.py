# The board's end of the control channel, and its clock. Everything a stand-in cannot do
# itself is asked of the supervisor here, one request at a time.
import struct
from opcode import EDGE, INTERRUPTED, LONGEST_SLEEP, OK, REPLY, REPLY_SIZE, REQUEST, SENSE, SLEEP

import utime as _native

_control = open(3, "r+b")
_reply = bytearray(REPLY_SIZE)
_STALE_US = 2000

status = OK
level = 0
force_mv = 0
battery_mv = 0
virtual = False
edge_handlers = []
fed = 0  # told with the next request: feeding a watchdog is not worth a request of its own
_base_us = 0
_base_native = 0
_free_until = 0  # virtual time that is ours: nothing else happens before
_synced_us = 0
_DRIFT_US = 500


def now_us():
    # virtual time stands still while we compute: each look at the clock moves it by one
    # microsecond, so that a loop that waits for it comes to an end
    global _base_us
    if virtual:
        _base_us += 1
        return _base_us
    return _base_us + _native.ticks_diff(_native.ticks_us(), _base_native)


def call(op, a=0, b=0, data=b"", now=None):
    """Ask the supervisor; return the payload of its answer and note senses and time."""
    global status, level, force_mv, battery_mv, fed, _base_us, _base_native, _free_until, _synced_us
    request = struct.pack(REQUEST, op, fed, len(data), a, b, now_us() if now is None else now)
    _control.write(request + data if data else request)
    fed = 0
    caught = False
    while True:
        try:
            if not _control.readinto(_reply):
                raise SystemExit  # the world is gone
            break
        except KeyboardInterrupt:
            caught = True
    status, level, force_mv, battery_mv, size, _base_us, free = struct.unpack(REPLY, _reply)
    _synced_us = _base_us
    _free_until = _base_us + free
    _base_native = _native.ticks_us()
    answer = _control.read(size) if size else b""
    if caught or status == INTERRUPTED:
        raise KeyboardInterrupt
    return answer


def sense():
    """Have level, force_mv and battery_mv as they are now."""
    if not virtual and _native.ticks_diff(_native.ticks_us(), _base_native) > _STALE_US:
        call(SENSE)


def sync():
    """Let the world catch up with this board's time, before it does what others can see."""
    if virtual and _base_us - _synced_us > _DRIFT_US:
        call(SENSE)


def sleep_us(duration):
    """Let time pass; a pin that changes runs its handler in between."""
    if duration <= 0:
        return
    global _base_us
    until = now_us() + duration
    if virtual and until < _free_until:
        _base_us = until
        return
    while duration > 0:
        call(SLEEP, min(duration, LONGEST_SLEEP))
        if status == EDGE:
            for handler in edge_handlers:
                handler()
        duration = until - now_us()
