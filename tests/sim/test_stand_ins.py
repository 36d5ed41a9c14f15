"""The stand-ins keep the contracts of the real modules, errors included.

Each case is one line of a board's program; what it prints, or the error it raises, is what the
ESP32 port of MicroPython 1.28 does.
"""

import pytest

pytestmark = pytest.mark.sim

ALL = ("esp32", "esp32c3", "esp32s3")
C3 = ("esp32c3",)
XTENSA = ("esp32", "esp32s3")

# (chips, expression, what it gives or the error it raises)
CASES = [
    (ALL, "Pin(99)", "ValueError: invalid pin"),
    (ALL, "Pin('x')", "ValueError: expecting a pin"),
    (("esp32",), "Pin(34, Pin.OUT)", "ValueError: pin can only be input"),
    (C3, "Pin(22)", "ValueError: invalid pin"),
    (ALL, "Pin(5, Pin.OUT, value=1)()", "1"),
    (C3, "ADC(Pin(10))", "ValueError: invalid pin"),
    (C3, "ADC(Pin(3), atten=9)", "ValueError: invalid atten"),
    (C3, "ADC(Pin(1), atten=ADC.ATTN_11DB).read_uv()", "1950000"),
    (C3, "ADC(Pin(1), atten=ADC.ATTN_0DB).read_u16()", "65535"),
    (C3, "ADC(3, atten=ADC.ATTN_11DB).read_u16()", "0"),
    (ALL, "RTC().memory()", "b''"),
    (ALL, "RTC().memory(bytes(2049))", "ValueError: buffer too long"),
    (ALL, "(RTC().memory(b'ab'), RTC().memory())", "(None, b'ab')"),
    (ALL, "RTC().memory(b'') or RTC().memory()", "b''"),
    (ALL, "WDT(timeout=0)", "ValueError: WDT timeout too short"),
    (ALL, "WDT(id=1)", "ValueError"),
    (ALL, "reset_cause() == PWRON_RESET", "True"),
    (ALL, "len(unique_id())", "6"),
    (ALL, "freq(1)", "ValueError: frequency must be"),
    (ALL, "freq(80000000) or freq()", "80000000"),
    (ALL, "time.gmtime(0)", "(2000, 1, 1, 0, 0, 0, 5, 1)"),
    (ALL, "time.mktime((2000, 1, 2, 0, 0, 0, 0, 0))", "86400"),
    (ALL, "time.ticks_diff(2, time.ticks_add(1, -5))", "6"),
    (ALL, "time.ticks_add(0, -1)", str((1 << 30) - 1)),
    (ALL, "time.ticks_add(0, 1 << 29)", "OverflowError"),
    (ALL, "os.uname().sysname, os.uname().release", "('esp32', '1.28.0')"),
    (C3, "os.uname().machine", "ESP32C3 module with ESP32C3"),
    (ALL, "sys.platform, sys.implementation.name", "('esp32', 'micropython')"),
    (ALL, "len(os.urandom(33)), os.urandom(4) != os.urandom(4)", "(33, True)"),
    (ALL, "os.getenv", "AttributeError"),
    (ALL, "os.system", "AttributeError"),
    (ALL, "open('/etc/passwd')", "OSError: [Errno 2]"),
    (ALL, "sorted(os.listdir('/'))", "['boot.py', 'main.py']"),
    (ALL, "Partition.find(Partition.TYPE_DATA, label='vault')[0].info()",
     "(1, 64, 2097152, 16384, 'vault', False)"),
    (ALL, "len(Partition.find(Partition.TYPE_DATA))", "4"),
    (ALL, "Partition('none')", "OSError: [Errno 2]"),
    (ALL, "Partition(7)", "ValueError"),
    (ALL, "Partition(Partition.RUNNING).info()[4]", "factory"),
    (ALL, "(vault.ioctl(4, 0), vault.ioctl(5, 0), vault.ioctl(6, 0))", "(4, 4096, 0)"),
    (ALL, "vault.readblocks(4, bytearray(1))", "OSError"),
    (ALL, "vault.writeblocks(3, bytes(2), 4095)", "OSError"),
    (ALL, "vault.writeblocks(0, bytes(9))", "OSError"),
    (ALL, "vault.ioctl(6, 4)", "OSError"),
    # without an offset it erases first, with one it only clears bits
    (ALL, "wrote(0, b'\\x0f' * 4096), wrote(0, b'\\xf1', 0)", "(15, 1)"),
    (ALL, "wrote(0, b'\\x0f' * 4096), wrote(0, b'\\xf1' * 4096)", "(15, 241)"),
    (C3, "hasattr(esp32, 'wake_on_ext0'), hasattr(esp32, 'wake_on_ext1')", "(False, False)"),
    (C3, "esp32.wake_on_gpio((Pin(6),), 1)", "ValueError: invalid pin"),
    (C3, "esp32.wake_on_gpio((Pin(5),), 1)", "None"),
    (XTENSA, "hasattr(esp32, 'wake_on_gpio')", "False"),
    (("esp32",), "esp32.wake_on_ext0(Pin(5), 1)", "ValueError: invalid pin"),
    (("esp32s3",), "esp32.wake_on_ext1((Pin(21), Pin(22 + 4)), 1)", "ValueError: invalid pin"),
    (ALL, "hashlib.sha512", "AttributeError"),
    (ALL, "hashlib.sha256().copy", "AttributeError"),
    (ALL, "twice(hashlib.sha256(b'x'))", "ValueError: hash is final"),
    (ALL, "cryptolib.aes(bytes(16), 6, bytes(16))", "ValueError: mode"),
    (ALL, "both(cryptolib.aes(bytes(16), 1))", "ValueError: can't encrypt & decrypt"),
    (ALL, "ble is bluetooth.BLE()", "True"),
    (ALL, "ble.config('mac')", "OSError: [Errno 19]"),
    (ALL, "ble.config(addr_mode=3)", "OSError: [Errno 19]"),
    (ALL, "ble.gap_advertise(100000, b'')", "OSError: [Errno 19]"),
    (ALL, "ble.gap_advertise(None)", "OSError: [Errno 19]"),
    (ALL, "on().config('mac') == (0, unique_id())", "True"),
    (ALL, "on().config('nonsense')", "ValueError: unknown config param"),
    (ALL, "on().config(nonsense=1)", "ValueError: unknown config param"),
    (ALL, "on().config(addr_mode=9)", "OSError: [Errno 22]"),
    (ALL, "on().irq(5)", "ValueError: invalid handler"),
    (ALL, "private()[0], private()[1][0] >> 6", "(1, 0)"),
    (ALL, "private() != private()", "True"),
    (ALL, "on().gap_advertise(100000, bytes(31), connectable=False)", "None"),
    (ALL, "on().gap_advertise(100000, bytes(32), connectable=False)", "OSError"),
    (ALL, "on().gap_advertise(100000, b'', resp_data=bytes(32))", "OSError"),
    (ALL, "on().gap_advertise(10000, b'')", "OSError"),
    (ALL, "on().gap_advertise(11000000, b'')", "OSError"),
    (("esp32",), "on().gap_advertise(99999, b'', connectable=False)", "OSError"),
    (("esp32c3", "esp32s3"), "on().gap_advertise(20000, b'', connectable=False)", "None"),
    # refused by the controller while advertising, and nobody says so
    (ALL, "moved_while_advertising()", "False"),
    (ALL, "moved_after_stop()", "True"),
    (ALL, "ble.active(False), ble.active()", "(False, False)"),
    (ALL, "network.WLAN(9)", "OSError"),
    (ALL, "network.WLAN(network.STA_IF).scan()", "OSError: STA must be active"),
    (ALL, "sys.modules['umachine'] is sys.modules['machine']", "True"),
]  # fmt: skip

PROLOGUE = """
import bluetooth, cryptolib, esp32, hashlib, network, os, sys, time
from esp32 import Partition
from machine import *
ble = bluetooth.BLE()
vault = Partition("vault")

def wrote(block, data, *offset):
    vault.writeblocks(block, data, *offset)
    back = bytearray(1)
    vault.readblocks(block, back)
    return back[0]

def twice(digest):
    digest.digest()
    digest.digest()

def both(cipher):
    cipher.encrypt(bytes(16))
    cipher.decrypt(bytes(16))

def on():
    ble.active(True)
    return ble

def private():
    on().config(addr_mode=3)
    return ble.config("mac")

def moved_while_advertising():
    before = private()
    ble.gap_advertise(100000, b"x", connectable=False)
    return private() != before

def moved_after_stop():
    before = private()
    ble.gap_advertise(100000, b"x", connectable=False)
    ble.gap_advertise(None)
    return private() != before

def show(number, act):
    try:
        text = str(act())
    except Exception as error:
        text = type(error).__name__ + (": " + str(error) if str(error) else "")
    ble.active(False)
    print(number, text)
"""


@pytest.mark.parametrize("chip", ALL)
def test_every_contract(printed, chip):
    """One boot answers all the cases of a chip, so that this stays quick."""
    lines = [f"show({i}, lambda: ({code}))" for i, (_, code, _) in enumerate(CASES)]
    said = dict(line.split(" ", 1) for line in printed(PROLOGUE + "\n".join(lines), chip))
    wrong = [
        f"{code}: {said.get(str(i))!r}, not {expected!r}"
        for i, (chips, code, expected) in enumerate(CASES)
        if chip in chips and not _matches(said.get(str(i), ""), expected)
    ]
    assert wrong == []


def _matches(said, expected):
    # of an error the kind, and the beginning of its text, count
    return said.startswith(expected) if "Error" in expected else said == expected


def test_deep_inside_the_chip_no_stand_in_of_the_bench_is_importable(printed):
    code = "\n".join(
        f"try:\n import {name}\n print('found')\nexcept ImportError:\n print('none')"
        for name in ("_bench", "_sys", "board", "opcode", "_boot", "stage0")
    )
    assert printed(code) == ["none"] * 6


def test_random_numbers_repeat_with_the_seed_and_differ_between_boots(live):
    code = "import os\nprint(os.urandom(8).hex() if hasattr(bytes, 'hex') else os.urandom(8))"

    async def two_boots(world, board):
        await world.wait_until(lambda: ">>> " in board.console_text)
        board.reset()
        await world.wait_until(lambda: board.console_text.count(">>> ") == 2)
        return [line for line in board.console_text.split("\r\n") if len(line) >= 16][:4]

    first, again = live(code, two_boots, seed=1), live(code, two_boots, seed=1)
    other = live(code, two_boots, seed=2)
    assert first == again
    assert first != other
    assert first[0] != first[2]


def test_real_time_clock_survives_deep_sleep_but_not_a_cut(live):
    code = """
import machine, time
if machine.reset_cause() == machine.PWRON_RESET:
    print("cold", time.time())
    machine.RTC().datetime((2026, 5, 4, 0, 3, 2, 1, 0))
    machine.deepsleep(3600000)
print("woke", machine.RTC().datetime()[:7])
"""

    async def act(world, board):
        await world.run_for(3601)
        board.power_off()
        board.power_on()
        await world.run_for(1)
        return board.console_text

    text = live(code, act)
    assert "woke (2026, 5, 4, 0, 4, 2, 1)" in text
    assert text.count("cold 0") == 2
