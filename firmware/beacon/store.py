"""Where secrets lie: the sectors of the raw partition `vault`, and RTC memory.

A MicroPython without that partition gets a file: enough to try everything, but a file system
leaves old bytes in flash, so `status` says "file" and `fanal verify` refuses such a board.
"""

from micropython import const

from beacon import retained

_SECTOR_BYTES = const(4096)
_FILE_SECTORS = const(4)
_ERASE = const(6)
_COUNT = const(4)


class PartitionSectors:
    """The sectors of an esp32.Partition with blocks of 4096 bytes."""

    sector_bytes = _SECTOR_BYTES

    def __init__(self, partition):
        self._partition = partition
        self.count = partition.ioctl(_COUNT, 0)

    def read_into(self, sector, offset, buffer):
        """Fill the buffer from an offset, bytes, of a sector."""
        self._partition.readblocks(sector, buffer, offset)

    def write(self, sector, offset, data):
        """Clear bits from an offset on; with one given, writeblocks does not erase first."""
        self._partition.writeblocks(sector, data, offset)

    def erase(self, sector):
        """Set all bits of a sector."""
        self._partition.ioctl(_ERASE, sector)


class FileSectors:
    """Four sectors in a file that behaves as flash does."""

    sector_bytes = _SECTOR_BYTES
    count = _FILE_SECTORS

    def __init__(self, path):
        self._path = path
        try:
            open(path, "rb").close()
        except OSError:
            with open(path, "wb") as file:
                for _ in range(self.count):
                    file.write(b"\xff" * self.sector_bytes)

    def read_into(self, sector, offset, buffer):
        """Fill the buffer from an offset, bytes, of a sector."""
        with open(self._path, "rb") as file:
            file.seek(sector * self.sector_bytes + offset)
            file.readinto(buffer)

    def write(self, sector, offset, data):
        """Clear bits from an offset on."""
        old = bytearray(len(data))
        self.read_into(sector, offset, old)
        self._put(sector, offset, bytes(old[i] & data[i] for i in range(len(data))))

    def erase(self, sector):
        """Set all bits of a sector."""
        self._put(sector, 0, b"\xff" * self.sector_bytes)

    def _put(self, sector, offset, data):
        with open(self._path, "r+b") as file:
            file.seek(sector * self.sector_bytes + offset)
            file.write(data)


class RtcMemory:
    """RTC memory: it outlives deep sleep and every reset but a cut of power."""

    def __init__(self, rtc):
        self._rtc = rtc

    def read(self):
        """Return its bytes, at most 2048."""
        return self._rtc.memory()

    def write(self, data):
        """Replace it."""
        self._rtc.memory(data)

    def wipe(self):
        """Overwrite all of it, then empty it: emptying alone leaves the bytes."""
        self._rtc.memory(bytes(retained.RTC_BYTES))
        self._rtc.memory(b"")


class NoMemory:
    """RTC memory of a board that has none: nothing outlives anything."""

    def read(self):
        """Return nothing."""
        return b""

    def write(self, data):
        """Drop it."""

    def wipe(self):
        """Do nothing."""


def sectors(path="vault.bin"):
    """Return (sectors, kind): those of the partition, "partition", or of a file, "file"."""
    try:
        from esp32 import Partition

        found = Partition.find(type=Partition.TYPE_DATA, label="vault")
    except ImportError:
        found = []
    if found:
        return PartitionSectors(found[0]), "partition"
    return FileSectors(path), "file"


def rtc_memory():
    """Return the RTC memory of this board."""
    try:
        from machine import RTC
    except ImportError:
        return NoMemory()
    rtc = RTC()
    return RtcMemory(rtc) if hasattr(rtc, "memory") else NoMemory()
