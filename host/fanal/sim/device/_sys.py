# ruff: noqa: F401  what is imported here is this module's content
# sys with the names of the board.
from collections import namedtuple
from os import MACHINE as _MACHINE

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
version = "3.4.0; MicroPython v1.28.0 on 2026-04-06"
version_info = (3, 4, 0)
_Implementation = namedtuple("implementation", ("name", "version", "_machine", "_mpy", "_build"))
implementation = _Implementation(
    "micropython", (1, 28, 0, ""), _MACHINE, _native.implementation._mpy, "ESP32_GENERIC"
)
