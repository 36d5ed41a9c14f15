"""What listeners say of themselves, and whether it is news: an old word must hide no silence."""

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

from fanal.envelope import Postmark
from fanal.hub.caps import MOST_LISTENERS
from fanal.hub.placed import put
from fanal.hub.tables import ListenerRow

_MOST_BOOTS = 4


@dataclass
class _Life:
    """Of one listener. steady_ms: by boot, its newest word; wills: by boot, its newest last will.

    The boot that was heard last comes last.
    """

    steady_ms: OrderedDict[str, int] = field(default_factory=OrderedDict)
    wills: OrderedDict[str, int] = field(default_factory=OrderedDict)


class Lives:
    """How far each listener's own clock has come. Kept in memory alone: a restart forgets it.

    A postmark that is not newer than one of the same boot is a repetition, by a network that
    failed or by somebody who wants a dead listener to look alive. A last will was made when its
    connection began, so all that the connection carried is newer; but it is no news if a later
    connection's will has come, or if the listener has started anew.
    """

    def __init__(self) -> None:
        self._lives: OrderedDict[str, _Life] = OrderedDict()

    def is_news(self, listener: str, mark: Postmark) -> bool:
        """Return whether a postmark says anything new."""
        life = self._lives.get(listener)
        if life is None:
            return True
        known = life.wills if mark.is_last_will else life.steady_ms
        is_of_old_boot = life.steady_ms and mark.boot != next(reversed(life.steady_ms))
        if mark.is_last_will and is_of_old_boot:
            return False
        return mark.steady_ms > known.get(mark.boot, -1)

    def note(self, listener: str, mark: Postmark) -> None:
        """Remember a postmark that was news."""
        life = self._lives.setdefault(listener, _Life())
        known = life.wills if mark.is_last_will else life.steady_ms
        known[mark.boot] = mark.steady_ms
        known.move_to_end(mark.boot)
        _bound(known, _MOST_BOOTS)
        self._lives.move_to_end(listener)
        _bound(self._lives, MOST_LISTENERS)


def _bound(kept: OrderedDict[str, Any], most: int) -> None:
    while len(kept) > most:
        kept.popitem(last=False)


def new_row(key: str, received_ms: int) -> dict[str, Any]:
    """Return the columns of a listener of whom nothing is known yet."""
    return {"key": key, "name": "", "first_received_ms": received_ms,
            "last_received_ms": received_ms, "radio": "", "queued": 0, "dropped": {},
            "version": "", "is_lost": False}  # fmt: skip


def tell(row: ListenerRow, mark: Postmark | None, received_ms: int) -> None:
    """Put what a listener said into its row. mark: None for a gateway that only passes on."""
    if mark is not None and mark.is_last_will:
        row.is_lost = True
        return
    row.last_received_ms = max(row.last_received_ms, received_ms)
    row.is_lost = False
    if mark is None:
        row.last_advert_ms = received_ms
        return
    health = mark.health
    row.radio, row.queued, row.version = health.radio, health.queued, health.version
    row.dropped = dict(health.dropped)
    if health.advert_age_ms is not None:
        row.last_advert_ms = max(0, received_ms - health.advert_age_ms)
    put(row, mark.position)
