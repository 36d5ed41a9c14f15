"""Whose word it is when an alert was heard.

A listener says how long ago it heard what it sends. Whoever hears a beacon can be a listener, and
say that it was hours ago: then all that others hear would look delayed, as replays are. So what a
stranger says to be older than it takes to send it is hearsay, see `watch.Event`. So is what anybody
says to be days old: a computer without a battery for its clock that was switched off and on again
takes hours for years.
"""

from fanal.waiting import KEPT_MS

# less than the 30 s by which alerts may disagree (SPEC 3.2), more than an honest sender takes
BELIEVED_MS = 20_000


def is_hearsay(heard_ms: int, received_ms: int, is_enrolled: bool) -> bool:
    """Return whether the time of an alert is too long ago to be believed of who reports it."""
    return received_ms - heard_ms > (KEPT_MS if is_enrolled else BELIEVED_MS)
