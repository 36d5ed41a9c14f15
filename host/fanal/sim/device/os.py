# ruff: noqa: F401  what is imported here is this module's content
# os of the ESP32 port: the file system of the flash, and nothing of the host.
from collections import namedtuple

import board
from board import urandom
from uos import (
    chdir,
    getcwd,
    ilistdir,
    listdir,
    mkdir,
    mount,
    remove,
    rename,
    rmdir,
    sep,
    stat,
    statvfs,
    umount,
    unlink,
)

_NAMES = {
    "esp32": "Generic ESP32 module with ESP32",
    "esp32c3": "ESP32C3 module with ESP32C3",
    "esp32s3": "Generic ESP32S3 module with ESP32S3",
    "esp32c6": "ESP32C6 module with ESP32C6",
}
MACHINE = _NAMES[board.chip]

_Uname = namedtuple("uname_result", ("sysname", "nodename", "release", "version", "machine"))


def uname():
    return _Uname("esp32", "esp32", board.version, board.build, MACHINE)


def sync():
    pass


def dupterm(stream, index=0):
    if index:
        raise ValueError("invalid dupterm index")
    return
