"""Whose word it is when an alert was heard.

A listener says how long ago it heard what it sends. Whoever hears a beacon can be a listener, and
say that it was hours ago: then all that others hear would look delayed, as replays are. So what a
stranger says to be older than it takes to send it is hearsay, see `watch.Event`.
"""

# less than the 30 s by which alerts may disagree (SPEC 3.2), more than an honest sender takes
BELIEVED_MS = 20_000


def is_hearsay(heard_ms: int, received_ms: int, is_enrolled: bool) -> bool:
    """Return whether the time of an alert is the word of a stranger, and long ago."""
    return not is_enrolled and received_ms - heard_ms > BELIEVED_MS
