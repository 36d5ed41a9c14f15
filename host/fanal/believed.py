"""Lines without the times that cannot be: a wrong clock must not silence a beacon for good.

A computer without a battery for its clock begins in 1970, or where it was switched off. What it
heard then stands in the registry, and by the right clock everything after it would be decades late,
as replays are. An hour cannot be told from a replay; but nothing is heard after now, nor long
before its beacon was made, nor long before what was heard of it earlier.
"""

from collections.abc import Mapping

from fanal.resolver import Lines
from fanal.waiting import KEPT_MS

AGREES_MS = 20_000  # less than the 30 s by which alerts may disagree (SPEC 3.2)


def believed(
    lines: Lines, made_ms: Mapping[str, int], now_ms: int
) -> dict[tuple[str, int], list[tuple[int, int, int]]]:
    """Return what of lines can be, in their order. made_ms: by beacon id, when it was registered.

    What waited before it was found may be 48 hours older than what was written down before it.
    """
    latest_ms = dict(made_ms)
    found = {}
    for beacon_id, event in sorted(lines):
        kept = []
        for entry in lines[beacon_id, event]:
            known_ms = latest_ms.get(beacon_id, 0)
            if known_ms - KEPT_MS <= entry[0] <= now_ms + AGREES_MS:
                kept.append(entry)
                latest_ms[beacon_id] = max(known_ms, entry[0])
        if kept:
            found[beacon_id, event] = kept
    return found
