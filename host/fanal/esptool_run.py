"""esptool as a child process, one a port: what it is asked for, and its failures as sentences.

esptool is GPL-2.0-or-later and keeps a global logger, so it is run and never imported. Nothing
secret is on its command line or in the files that pass between: it never reads the vault.
"""

import os
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fanal import serial_port
from fanal.chips import Chip, by_title
from fanal.error import (
    BoardLost,
    DeviceError,
    EnvironmentFault,
    FanalError,
    ReadBackError,
)
from fanal.partition_table import ADDRESS, TABLE_BYTES
from fanal.printable import printable

DEFAULT_BAUD = 460800

_SILENCE_S = 120.0  # the longest that esptool says nothing: an erase of the whole flash
_CHIP = re.compile(r"^Chip type:\s+(.+)$", re.MULTILINE)
_MAC = re.compile(r"^(?:BASE )?MAC:\s+((?:[0-9a-f]{2}:){5}[0-9a-f]{2})\s*$", re.MULTILINE | re.I)
_SHARE = re.compile(r"(\d{1,3}(?:\.\d+)?)\s?%")

BOOT_BUTTON = (
    "Hold the button BOOT (or IO0), press and let go RESET (or EN), let go BOOT, and run the"
    " command again. Without a RESET button: hold BOOT while you plug the cable in."
)


@dataclass(frozen=True)
class ChipFound:
    """What the ROM of a chip says. mac: "aa:bb:cc:dd:ee:ff"."""

    chip: Chip
    mac: str


@dataclass(frozen=True)
class Part:
    """Bytes that go to an address of the flash."""

    address: int
    content: bytes


def identify(port: str) -> ChipFound:
    """Ask the ROM which chip this is. The board is reset, into its ROM and out again.

    Raises DeviceError (no answer, code "no_rom"), EnvironmentFault.
    """
    return _found(_run(port, ["--after", "hard-reset", "--no-stub", "read-mac"]), port)


def read_table(port: str, baud: int = DEFAULT_BAUD) -> tuple[ChipFound, bytes]:
    """Return which chip this is, and the bytes where its partition table belongs (0xC00).

    The board is reset, into its ROM and out again. Raises as `identify` does.
    """
    with tempfile.TemporaryDirectory(prefix="fanal-") as folder:
        file = Path(folder) / "table.bin"
        where = [hex(ADDRESS), hex(TABLE_BYTES), str(file)]
        said = _run(port, ["--after", "hard-reset", "--baud", str(baud), "read-flash", *where])
        return _found(said, port), file.read_bytes()


def write(
    port: str,
    chip: Chip,
    parts: Iterable[Part],
    *,
    baud: int = DEFAULT_BAUD,
    on_share: Callable[[float], None] = lambda _: None,
) -> ChipFound:
    """Write parts into the flash of a chip of that kind, compare their MD5, and start the board.

    on_share: told how much is done, 0 to 1. Raises DeviceError (another chip, code "wrong_chip",
    before anything is erased), BoardLost, ReadBackError; what was written so far stays.
    """
    with tempfile.TemporaryDirectory(prefix="fanal-") as folder:
        words: list[str] = []
        for number, part in enumerate(parts):
            file = Path(folder) / f"{number}.bin"
            file.write_bytes(part.content)
            words += [hex(part.address), str(file)]
        options = ["--chip", chip.name, "--baud", str(baud), "--after", "hard-reset"]
        return _found(_run(port, [*options, "write-flash", *words], on_share), port)


def erase(port: str, chip: Chip, address: int, size: int) -> None:
    """Erase whole sectors. Raises as `write` does."""
    options = ["--chip", chip.name, "--after", "hard-reset"]
    _run(port, [*options, "erase-region", hex(address), hex(size)])


# -- the child


def _run(
    port: str, words: Sequence[str], on_share: Callable[[float], None] = lambda _: None
) -> str:
    """Run esptool to its end and return what it printed. Raises FanalError if it failed."""
    # the passphrase may be among our own variables, and none of them is its business
    ours = {name: value for name, value in os.environ.items() if not name.startswith("FANAL_")}
    child = subprocess.Popen(
        # -P: a file of this folder that is called serial.py is not to be run instead
        [sys.executable, "-P", "-m", "esptool", "--port", port, *words],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env={**ours, "PYTHONUNBUFFERED": "1", "NO_COLOR": "1", "COLUMNS": "200"},
        # Ctrl-C is for us: a board that is half written is brought to its end
        process_group=0,
    )  # fmt: skip
    watch = _Silence(child)
    said = ""
    try:
        assert child.stdout is not None
        # esptool moves its progress on one line: not lines but what is there is read
        while text := os.read(child.stdout.fileno(), 4096).decode("utf-8", "replace"):
            watch.heard()
            said += text
            if shares := _SHARE.findall(text):
                on_share(min(float(shares[-1]) / 100, 1.0))
        code = child.wait()
    except BaseException:
        child.terminate()
        child.wait()
        raise
    finally:
        watch.end()
        if child.stdout is not None:
            child.stdout.close()
    if code:
        is_killed = code < 0 and not watch.has_bitten
        raise _ended(port) if is_killed else _failure(port, said, watch.has_bitten)
    return said


class _Silence:
    """Ends a child that has said nothing for too long: a dead cable must not hold a batch up."""

    def __init__(self, child: "subprocess.Popen[bytes]") -> None:
        self.has_bitten = False
        self._child = child
        self._timer: threading.Timer | None = None
        self.heard()

    def heard(self) -> None:
        self.end()
        self._timer = threading.Timer(_SILENCE_S, self._bite)
        self._timer.daemon = True
        self._timer.start()

    def end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _bite(self) -> None:
        self.has_bitten = True
        self._child.kill()


def _found(said: str, port: str) -> ChipFound:
    chip, mac = _CHIP.search(said), _MAC.search(said)
    if chip is None or mac is None:
        raise EnvironmentFault(
            f"esptool does not say which chip is on {port}.",
            "Another version of esptool may be installed: see `fanal doctor`.",
            code="esptool", port=port,
        )  # fmt: skip
    return ChipFound(by_title(chip[1]), mac[1].lower())


# -- its failures

# what esptool prints -> what becomes of it, the first that is found
_LOST = (
    "stopped responding", "Serial data stream stopped", "Packet content transfer stopped",
    "Invalid head of packet", "Invalid SLIP escape", "Timed out waiting", "No more data",
    "serial exception error", "Response doesn't match", "Failed to communicate",
    "Unable to verify flash chip connection", "Guru Meditation", "Corrupt data",
    "Checksum error", "Bad data checksum", "Bad data length", "Bad blocksize", "Inflate error",
    "Deflate", "Not enough data", "Too much data", "Not in flash mode", "Invalid command",
    "Command not implemented", "received message is invalid", "not supported", "target RAM",
)  # fmt: skip
_NO_ROM = ("Failed to connect", "No serial data received", "Wrong boot mode detected")
_WRONG_CHIP = ("Wrong --chip argument", "Use --force to flash anyway", "is not an ESP32")
_PORT = ("Could not open", "could not open port", "port is busy")
_WORN = ("MD5 of file does not match", "Flash write error", "Flash read error",
         "Failed SPI", "running result is wrong", "failed to erase")  # fmt: skip
_SECURE = ("Secure Download Mode", "Flash encryption", "secure boot")


def _failure(port: str, said: str, is_silent: bool) -> FanalError:
    if "No module named esptool" in said:
        return EnvironmentFault(
            "Flashing needs the Python package esptool, which is not installed.",
            f"Run: {sys.executable} -m pip install 'fanal[technician]'",
            code="missing_extra",
        )
    if not serial_port.exists(port):
        return BoardLost(
            f"{port} is gone: the board was unplugged.",
            "Plug it in and run the command again: it goes on where it stopped.",
            code="unplugged", port=port,
        )  # fmt: skip
    for words, make in _KINDS:
        if any(word.lower() in said.lower() for word in words):
            return make(port)
    if is_silent:
        return _cut_short(port)
    return FanalError(
        f"esptool failed on {port}: {_last_sentence(said)}",
        "Check the cable, and run the command again.",
        code="esptool",
        port=port,
    )


def _ended(port: str) -> FanalError:
    return EnvironmentFault(
        f"esptool was ended from outside while it was at work on {port}.",
        "Does this computer lack memory? Run the command again: it goes on where it stopped.",
        code="esptool", port=port,
    )  # fmt: skip


def _no_rom(port: str) -> FanalError:
    return DeviceError(
        f"The chip on {port} does not answer.", BOOT_BUTTON, code="no_rom", port=port
    )


def _wrong_chip(port: str) -> FanalError:
    return DeviceError(
        f"The chip on {port} is of another kind than the image; nothing was erased.",
        "Run the command without --image: it takes the right one.",
        code="wrong_chip", port=port,
    )  # fmt: skip


def _cut_short(port: str) -> FanalError:
    return BoardLost(
        f"The board on {port} stopped answering while it was flashed.",
        "Try another cable or a powered hub, and run the command again: it starts this board anew"
        " and touches no key.",
        code="silent", port=port,
    )  # fmt: skip


def _worn(port: str) -> FanalError:
    return ReadBackError(
        f"The flash of the board on {port} does not hold what was written.",
        "Run the command again; if it fails again, its flash is worn out or its supply too weak.",
        port=port,
    )


def _secured(port: str) -> FanalError:
    return DeviceError(
        f"The chip on {port} is locked by its secure boot or flash encryption.",
        "Fanal cannot flash such a board; use another one.",
        code="locked", port=port,
    )  # fmt: skip


_KINDS = (
    (_PORT, serial_port.why_not),
    (_WRONG_CHIP, _wrong_chip),
    (_SECURE, _secured),
    (_WORN, _worn),
    (_NO_ROM, _no_rom),
    (_LOST, _cut_short),
)


def _last_sentence(said: str) -> str:
    """Return the last thing that it said, without what a terminal would obey."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    last = lines[-1].removeprefix("A fatal error occurred: ") if lines else "it said nothing"
    return printable(last, 160)
