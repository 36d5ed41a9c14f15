"""What nobody could resolve yet: kept for 48 hours, bounded, to be tried again. SPEC 3.4."""

from collections import Counter

from fanal.heard import Heard

KEPT_MS = 48 * 3600 * 1000

_MINUTE_MS = 60_000


class Waiting:
    """Payloads that wait, each with the first and the latest time it was heard.

    A flood is bounded twice: `most_per_minute` new payloads are taken, and of `most` the oldest
    make room. Both losses are counted, as `crowded` and `evicted`; `expired` had its 48 hours.
    Payloads with the same bytes at `group` are found together.
    """

    def __init__(
        self, counts: Counter[str], name: str, most_per_minute: int, most: int, group: slice
    ) -> None:
        """Count losses in `counts` under "`name`_crowded" and so on."""
        self._counts = counts
        self._name = name
        self._most_per_minute = most_per_minute
        self._most = most
        self._group = group
        self._minute = -1
        self._taken = 0
        self._waiting: dict[bytes, tuple[Heard, Heard]] = {}  # in order of first arrival
        self.groups: dict[bytes, set[bytes]] = {}  # to look into, not to change

    def __len__(self) -> int:
        return len(self._waiting)

    def keep(self, heard: Heard) -> bool:
        """Keep one payload and return whether it waits now (False: the minute is full)."""
        self._expire(heard.t_ms)
        known = self._waiting.get(heard.payload)
        if known is not None:
            self._waiting[heard.payload] = (known[0], heard)
            return True
        if heard.t_ms // _MINUTE_MS != self._minute:
            self._minute, self._taken = heard.t_ms // _MINUTE_MS, 0
        if self._taken >= self._most_per_minute:
            self._counts[f"{self._name}_crowded"] += 1
            return False
        self._taken += 1
        if len(self._waiting) >= self._most:
            self._drop_oldest("evicted")
        self._waiting[heard.payload] = (heard, heard)
        self.groups.setdefault(heard.payload[self._group], set()).add(heard.payload)
        return True

    def each(self) -> list[tuple[Heard, Heard]]:
        """Return (first, latest) of each payload, in order of first arrival."""
        return list(self._waiting.values())

    def firsts(self, group: bytes) -> list[Heard]:
        """Return the first Heard of each payload of one group, in order of arrival."""
        payloads = self.groups.get(group, ())
        return sorted((self._waiting[p][0] for p in payloads), key=lambda heard: heard.t_ms)

    def remove(self, payload: bytes) -> bool:
        """Forget a payload and return whether it waited."""
        if self._waiting.pop(payload, None) is None:
            return False
        group = payload[self._group]
        self.groups[group].discard(payload)
        if not self.groups[group]:
            del self.groups[group]
        return True

    def _expire(self, now_ms: int) -> None:
        while self._waiting:
            first, _ = next(iter(self._waiting.values()))
            if now_ms - first.t_ms <= KEPT_MS:
                return
            self._drop_oldest("expired")

    def _drop_oldest(self, loss: str) -> None:
        self.remove(next(iter(self._waiting)))
        self._counts[f"{self._name}_{loss}"] += 1
