"""The compression function of SHA-512 in machine code, for the interpreter on a beacon.

Same functions, same arrays as `expand` and `rounds` in `sha512`, which explain them; that
module also checks the answer of this one. It is shipped as source although the other files are
shipped as .mpy: bytecode cannot hold viper, and a chip's own code would not run on another.

Viper's integers are 32 bits on a board and 64 on Unix. Nothing here depends on which: stores
through ptr32 drop what is above bit 31, every value that is shifted right was loaded through
it or is masked after the shift, and carries are counted in sums of 16-bit quarters.
"""

# ruff: noqa: F821 - ptr32 and uint are words of viper, not names
import micropython


@micropython.viper
def expand(window: ptr32):
    """Replace words t .. t + 15 of the message schedule by words t + 16 .. t + 31, in place."""
    i = 0
    while i < 32:
        j = (i + 2) & 31
        wh = uint(window[j])
        wl = uint(window[j + 1])
        x = (wl >> 1 | wh << 31) ^ (wl >> 8 | wh << 24) ^ (wl >> 7 | wh << 25)
        high = (wh >> 1 | wl << 31) ^ (wh >> 8 | wl << 24) ^ wh >> 7
        j = (i + 28) & 31
        wh = uint(window[j])
        wl = uint(window[j + 1])
        y = (wl >> 19 | wh << 13) ^ (wh >> 29 | wl << 3) ^ (wl >> 6 | wh << 26)
        high += (wh >> 19 | wl << 13) ^ (wl >> 29 | wh << 3) ^ wh >> 6
        j = (i + 18) & 31
        wh = uint(window[i + 1])
        wl = uint(window[j + 1])
        low = (x & 0xFFFF) + (y & 0xFFFF) + (wh & 0xFFFF) + (wl & 0xFFFF)
        mid = (x >> 16 & 0xFFFF) + (y >> 16 & 0xFFFF) + (wh >> 16) + (wl >> 16) + (low >> 16)
        window[i + 1] = int(mid << 16 | low & 0xFFFF)
        window[i] = int(high + uint(window[i]) + uint(window[j]) + (mid >> 16))
        i += 2


@micropython.viper
def rounds(work: ptr32, window: ptr32, constants: ptr32, first: int):
    """Do rounds first .. first + 15 on `work`, the eight working variables, in place."""
    t = 0
    while t < 32:
        place = 16 - t
        e = (place + 8) & 15
        f = (place + 10) & 15
        g = (place + 12) & 15
        last = (place + 14) & 15
        k = 2 * first + t
        eh = uint(work[e])
        el = uint(work[e + 1])
        x = (el >> 14 | eh << 18) ^ (el >> 18 | eh << 14) ^ (eh >> 9 | el << 23)
        high = (eh >> 14 | el << 18) ^ (eh >> 18 | el << 14) ^ (el >> 9 | eh << 23)
        y = uint(work[g + 1])
        y = y ^ (el & (uint(work[f + 1]) ^ y))
        high += uint(work[g]) ^ (eh & (uint(work[f]) ^ uint(work[g])))
        high += uint(work[last]) + uint(constants[k]) + uint(window[t])
        low = (x & 0xFFFF) + (y & 0xFFFF)
        mid = (x >> 16 & 0xFFFF) + (y >> 16)
        x = uint(work[last + 1])
        y = uint(constants[k + 1])
        wl = uint(window[t + 1])
        low += (x & 0xFFFF) + (y & 0xFFFF) + (wl & 0xFFFF)
        mid += (x >> 16) + (y >> 16) + (wl >> 16) + (low >> 16)
        high += mid >> 16
        low = low & 0xFFFF
        mid = mid & 0xFFFF
        j = (place + 6) & 15
        x = uint(work[j + 1])
        y = low + (x & 0xFFFF)
        x = mid + (x >> 16) + (y >> 16)
        work[j + 1] = int(x << 16 | y & 0xFFFF)
        work[j] = int(high + uint(work[j]) + (x >> 16))
        a = place & 15
        b = (place + 2) & 15
        c = (place + 4) & 15
        ah = uint(work[a])
        al = uint(work[a + 1])
        x = (al >> 28 | ah << 4) ^ (ah >> 2 | al << 30) ^ (ah >> 7 | al << 25)
        high += (ah >> 28 | al << 4) ^ (al >> 2 | ah << 30) ^ (al >> 7 | ah << 25)
        y = uint(work[b + 1])
        y = (al & (y | uint(work[c + 1]))) | (y & uint(work[c + 1]))
        high += (ah & (uint(work[b]) | uint(work[c]))) | (uint(work[b]) & uint(work[c]))
        low += (x & 0xFFFF) + (y & 0xFFFF)
        mid += (x >> 16 & 0xFFFF) + (y >> 16) + (low >> 16)
        work[last + 1] = int(mid << 16 | low & 0xFFFF)
        work[last] = int(high + (mid >> 16))
        t += 2
