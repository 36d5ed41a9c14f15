# Who this board is, as the supervisor said at boot.
chip = "esp32c3"
mac = b""
reset_cause = 1
wake_reason = 0
runs_main = True
rtc_us = 0
air_port = 0
pins = {}
version = ""  # of MicroPython, "1.28.0"
build = ""  # as the banner has it, "v1.28.0 on 2026-04-06"
app = 0  # address of the partition that runs
vfs = (0, 0)  # address and size of the file system
_seed = b""
_drawn = 0


def set_up(hello):
    global chip, mac, reset_cause, wake_reason, runs_main, rtc_us, air_port, pins, _seed
    global version, build, app, vfs
    from binascii import unhexlify

    chip = hello["chip"]
    mac = unhexlify(hello["mac"])
    reset_cause = hello["reset_cause"]
    wake_reason = hello["wake_reason"]
    runs_main = hello["runs_main"]
    rtc_us = hello["rtc_us"]
    air_port = hello["air_port"]
    pins = hello["pins"]
    version = hello["version"]
    build = "v" + version + " on " + hello["date"]
    app = hello["app"]
    vfs = tuple(hello["vfs"])
    _seed = unhexlify(hello["seed"])
    import random

    random.seed(int.from_bytes(urandom(4), "big"))


def urandom(n):
    """Return n bytes, the same in every run of this board with this seed."""
    global _drawn
    from hashlib import sha256

    out = b""
    while len(out) < n:
        _drawn += 1
        out += sha256(_seed + _drawn.to_bytes(8, "big")).digest()
    return out[:n]
