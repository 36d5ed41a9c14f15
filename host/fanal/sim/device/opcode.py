"""What a virtual board asks of its supervisor, over the control channel.

A request is REQUEST (op, whether the watchdog was fed, payload length, a, b, the board's own time
in microseconds) and its payload; a reply is REPLY (status, level of the wake pin, force in mV,
battery in mV, payload length, the board's new time, for how long nothing else will happen, both in
microseconds) and its payload. Read by CPython and MicroPython.
"""

REQUEST = "<BBHIIQ"
REQUEST_SIZE = 20
REPLY = "<BBHHHQI"
REPLY_SIZE = 20

HELLO = 1  # -> JSON: who this board is and why it boots
SLEEP = 2  # a = microseconds, at most LONGEST_SLEEP
PROGRAM = 3  # a = address, payload = data
ERASE = 4  # a = address, b = size
RTC_READ = 5  # -> what is retained
RTC_WRITE = 6  # payload = the new content
DEEP_SLEEP = 7  # a = ms, b = 1 if endless; payload = JSON of what wakes
LIGHT_SLEEP = 8  # the same; answered when it wakes
RESET = 9  # the chip resets; never answered
WATCHDOG = 10  # a = timeout in ms; feeds too
PIN_OUT = 11  # a = pin, b = level or duty
PIN_IRQ = 12  # a = edges that interrupt a sleep (1 rising, 2 falling)
SENSE = 13  # nothing but the fresh values of a reply
RTC_SET = 14  # payload = 8 bytes: microseconds to add to the real-time clock
READY = 15  # the prompt comes next
HEAP = 16  # a = bytes of heap taken by the stand-ins, b = bytes free for the firmware

LONGEST_SLEEP = 1000000000

OK = 0
INTERRUPTED = 1  # Ctrl-C came during a sleep
EDGE = 2  # a pin changed during a sleep
REFUSED = 3  # the flash address is wrong
