# ruff: noqa: F401  what is imported here is this module's content
# sys with the names of the board.
from collections import namedtuple
from os import MACHINE as _MACHINE

import board
import usys as _native
from usys import (
    argv,
    byteorder,
    exit,
    modules,
    path,
    print_exception,
    stderr,
    stdin,
    stdout,
)

platform = "esp32"
maxsize = 0x7FFFFFFF
version = "3.4.0; MicroPython " + board.build
version_info = (3, 4, 0)


def _numbers(text):
    """Return (1, 28, 0, "") for "1.28.0", (1, 29, 0, "preview") for "1.29.0-preview"."""
    numbers, _, suffix = text.partition("-")
    parts = [int(part) for part in numbers.split(".")]
    return tuple(parts + [0] * (3 - len(parts)) + [suffix.split(".")[0]])


_Implementation = namedtuple("implementation", ("name", "version", "_machine", "_mpy", "_build"))
implementation = _Implementation(
    "micropython", _numbers(board.version), _MACHINE, _native.implementation._mpy, "ESP32_GENERIC"
)
