"""On MicroPython only: what a beacon does in every unit allocates nothing. Prints `ok`."""

import micropython
from fanal_protocol import advert, alert, ccm

RID = b"\x10\x20\x30\x40\x50\x60\x70\x80"
KEY = bytes(range(16))
NONCE = bytes(range(13))
TEXT = bytes(range(25))
AD = b"\x30\x07"
PAGE = bytes(range(27))

payload = bytearray(23)
alert_adv = bytearray(31)
page_adv = bytearray(31)
sealed = bytearray(40)
sealer = alert.Sealer(KEY)
cipher = ccm.Ccm(KEY)


def hot():
    """One unit's work. With the heap locked, any allocation raises MemoryError."""
    sealer.seal_into(payload, RID, 449, 0x3A, 255, 255, 1)
    cipher.seal_into(sealed, 5, NONCE, TEXT, AD)
    advert.wrap_into(alert_adv, payload)
    advert.wrap_into(page_adv, PAGE)


def with_heap_locked(call):
    """Return whether `call` went through without allocating."""
    micropython.heap_lock()
    try:
        call()
    except MemoryError:
        return False
    finally:
        micropython.heap_unlock()
    return True


assert with_heap_locked(hot)
assert bytes(payload) == alert.seal(KEY, RID, 449, alert.Alert(0x3A, 255, 255, 1))
assert bytes(sealed[5:38]) == ccm.Ccm(KEY).seal(NONCE, TEXT, AD)
assert bytes(sealed[:5] + sealed[38:]) == bytes(7)
assert bytes(alert_adv) == advert.wrap(payload)
assert bytes(page_adv) == advert.wrap(PAGE)


def allocating():
    """What the lock must show, or the assertion above means nothing."""
    advert.wrap(payload)


assert not with_heap_locked(allocating)
print("ok")
