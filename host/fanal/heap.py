"""What Python's garbage collector need not look through again and again.

It looks through everything whenever there is a quarter more than last time: with a million beacons
that are a few million objects, at up to a third of a microsecond each, in the midst of a storm of
alerts; and finds nothing, since what goes away here goes by itself.
"""

import gc

_SMALL, _MIDDLE = 700, 10  # as Python has them
_WHOLE = 1000  # times _SMALL * _MIDDLE objects more, before it looks through everything


def settle() -> None:
    """Take what there is now for lasting, and look through all else a hundredth as often.

    To be called again when much of it was replaced: what is left over is found then.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    gc.set_threshold(_SMALL, _MIDDLE, _WHOLE)
