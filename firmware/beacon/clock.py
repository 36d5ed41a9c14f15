"""The two clocks: a short one in ticks, and the RTC's, which runs on through deep sleep."""

import time

sleep_ms = time.sleep_ms
ticks_diff = time.ticks_diff
ticks_ms = time.ticks_ms


def rtc_ms():
    """Return the RTC's time in ms: of no known epoch, and it jumps when somebody sets it."""
    return time.time_ns() // 1000000
