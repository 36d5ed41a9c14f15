"""Which frame stands in which interval of a unit. Pure, and allocates nothing. SPEC 2.5."""

from micropython import const

PAGES = const(12)
CYCLE = const(18)

# What `choose` returns beside a page number 0..11: the alert, nothing, or CRUMB + its index.
ALERT = const(12)
NOTHING = const(13)
CRUMB = const(16)

_CRUMB_EVERY = const(4)


def choose(unit, interval, sealed, signed, crumbs):
    """Return the frame for an interval, counted from 0, of a unit of an event.

    The cycle is alert, page, page, through all twelve pages; unit u opens with frame u mod 18,
    so that who hears one frame per address still gets everything. sealed: is there an alert of
    this unit (after a wake inside a used one there is not). signed: are there pages. crumbs:
    how many crumb pages there are, 0..255; every fourth page gives way to one of them, another
    one in each cycle, so that no signature page is always the one that is missing.
    """
    frame = unit % CYCLE + interval
    turn = frame % CYCLE
    if sealed and (turn % 3 == 0 or not signed):
        return ALERT
    if not signed:
        return NOTHING
    # Without an alert its place goes to the page that follows.
    page = turn // 3 * 2 + (turn % 3 == 2)
    cycle = unit // CYCLE + frame // CYCLE
    if crumbs and (page + cycle) % _CRUMB_EVERY == 0:
        return CRUMB + (cycle * (PAGES // _CRUMB_EVERY) + page // _CRUMB_EVERY) % crumbs
    return page
