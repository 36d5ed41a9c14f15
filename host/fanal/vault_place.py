"""The place of the vault on a board that runs: what is no vault's is taken out of it.

A board that had another layout holds anything there, old files for instance, which the firmware
would take for a vault that is spoiled. The board itself looks, so that nothing of a vault ever
comes here, and so that it is this board and no other. A sector that begins as a record does is a
vault's, damaged or not: then nothing is touched, and a person decides.
"""

from fanal.repl import Repl

RECORD_BEGINS = b"fanal/v1"  # as in firmware/beacon/vault.py

_CLEAR = f"""
from esp32 import Partition
for place in Partition.find(Partition.TYPE_DATA, label="vault"):
    sectors = range(place.ioctl(4, 0))
    head, part, is_vault = bytearray({len(RECORD_BEGINS)}), bytearray(256), False
    for sector in sectors:
        place.readblocks(sector, head, 0)
        is_vault = is_vault or bytes(head) == {RECORD_BEGINS!r}
    for sector in () if is_vault else sectors:
        for at in range(0, 4096, 256):
            place.readblocks(sector, part, at)
            if part.count(b"\\xff") != 256:
                place.ioctl(6, sector)
                print(sector)
                break
"""


def clear(repl: Repl) -> int:
    """Erase sectors of the vault's partition that hold something, if none of them is a vault's.

    Return how many. Raises ScriptFailed, BoardLost.
    """
    return len(repl.run(_CLEAR).split())
