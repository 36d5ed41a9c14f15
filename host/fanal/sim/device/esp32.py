# esp32: partitions of the flash file, and what may wake the chip from deep sleep.
import struct
from opcode import ERASE, OK, PROGRAM

import _bench
import board

_flash = open(4, "rb")
_seek = _flash.seek
_readinto = _flash.readinto
_BLOCK = 4096
_TABLE = 0x8000
_MAGIC = 0x50AA
_EIO = 5
_ENOENT = 2
_ESP_ERR_INVALID_SIZE = 260

HEAP_DATA = 4
HEAP_EXEC = 1


def _read_table():
    entry = bytearray(32)
    found = []
    _flash.seek(_TABLE)
    while True:
        _flash.readinto(entry)
        magic, kind, subtype, address, size = struct.unpack_from("<HBBII", entry)
        if magic != _MAGIC:
            break
        label = bytes(entry[12:28]).rstrip(b"\0").decode()
        found.append((kind, subtype, address, size, label, False))
    if not any(info[4] == "vfs" for info in found):
        # as the port does: what the table leaves over is the file system
        found.append((1, 0x81, board.vfs[0], board.vfs[1], "vfs", False))
    return found


_partitions = _read_table()

# per chip: pins of the RTC domain that may wake, and by which function
_RTC_PINS = {
    "esp32": (0, 2, 4, 12, 13, 14, 15, 25, 26, 27, 32, 33, 34, 35, 36, 37, 38, 39),
    "esp32s3": tuple(range(22)),
    "esp32c3": tuple(range(6)),
    "esp32c6": tuple(range(8)),
}[board.chip]

# what deep sleep hands to the supervisor: kind -> (pins, level)
wakes = {}


def _pin_numbers(pins):
    numbers = [pin._id for pin in pins]
    for number in numbers:
        if number not in _RTC_PINS:
            raise ValueError("invalid pin")
    return numbers


def _wake_on(kind, pins, level):
    if pins is None:
        wakes.pop(kind, None)
    else:
        wakes[kind] = (_pin_numbers(pins), 1 if level else 0)


if board.chip == "esp32c3":
    # no ext0, ext1, touch: the chip has none of them, so the module has none either
    WAKEUP_ALL_LOW = False
    WAKEUP_ANY_HIGH = True

    def wake_on_gpio(pins=None, level=True):
        _wake_on("gpio", pins, level)

else:
    WAKEUP_ALL_LOW = False
    WAKEUP_ANY_HIGH = True

    def wake_on_ext0(pin=None, level=False):
        _wake_on("ext0", None if pin is None else (pin,), level)

    def wake_on_ext1(pins=None, level=False):
        _wake_on("ext1", pins, level)

    def wake_on_touch(wake):
        pass

    def wake_on_ulp(wake):
        pass


def gpio_deep_sleep_hold(enable):
    pass


def idf_heap_info(capabilities):
    return [(200000, 150000, 110000, 140000)]


def mcu_temperature():
    return 25


class Partition:
    """A partition as the table at 0x8000 has it. Writing without an offset erases first."""

    BOOT = 0
    RUNNING = 1
    TYPE_APP = 0
    TYPE_DATA = 1

    def __init__(self, label):
        is_app = label in (Partition.BOOT, Partition.RUNNING)
        if not is_app and not isinstance(label, str):
            raise ValueError
        for info in _partitions:
            if info[4] == label or (is_app and info[2] == board.app):
                self._info = info
                return
        raise OSError(_ENOENT)

    @staticmethod
    def find(type=0, subtype=0xFF, label=None, block_size=_BLOCK):
        found = []
        for info in _partitions:
            if info[0] == type and subtype in (0xFF, info[1]) and label in (None, info[4]):
                found.append(Partition(info[4]))
        return found

    def info(self):
        return self._info

    def _address(self, offset, size):
        if offset < 0 or offset + size > self._info[3]:
            raise OSError(-_ESP_ERR_INVALID_SIZE, "ESP_ERR_INVALID_SIZE")
        return self._info[2] + offset

    def _perform(self, op, address, size, data=b""):
        _bench.call(op, address, size, data)
        if _bench.status != OK:
            raise OSError(_EIO)

    def readblocks(self, block, buf, offset=0):
        # inline what `_address` does: a boot comes here a thousand times
        at = block * _BLOCK + offset
        if at < 0 or at + len(buf) > self._info[3]:
            self._address(at, len(buf))
        _seek(self._info[2] + at)
        _readinto(buf)

    def writeblocks(self, block, buf, offset=None):
        size = len(buf)
        address = self._address(block * _BLOCK + (offset or 0), size)
        if offset is None:
            if size % _BLOCK:
                raise OSError(-_ESP_ERR_INVALID_SIZE, "ESP_ERR_INVALID_SIZE")
            self._perform(ERASE, address, size)
        self._perform(PROGRAM, address, size, bytes(buf))

    def ioctl(self, cmd, arg):
        if cmd in (1, 2, 3):
            return 0
        if cmd == 4:
            return self._info[3] // _BLOCK
        if cmd == 5:
            return _BLOCK
        if cmd == 6:
            self._perform(ERASE, self._address(arg * _BLOCK, _BLOCK), _BLOCK)
            return 0
        return None

    def set_boot(self):
        raise OSError(_ENOENT)

    def get_next_update(self):
        raise OSError(_ENOENT)

    @classmethod
    def mark_app_valid_cancel_rollback(cls):
        pass
