"""What nobody could resolve yet: kept for 48 hours, bounded, to be tried again. SPEC 3.4."""

from bisect import bisect_left, insort
from collections import Counter
from hashlib import blake2b

from fanal.heard import Heard

KEPT_MS = 48 * 3600 * 1000
LOT_BYTES = 32

_MINUTE_MS = 60_000
_DRAWN_BYTES = 8

_SHARES = 4  # of those who send to a hub nobody gets more than one


class Waiting:
    """Payloads that wait, each with the first and the latest time it was heard.

    A flood is bounded twice: of each listener `most_per_minute` payloads of one minute are kept,
    by when it heard them, and of `most` the oldest make room. At a hub, which has many listeners,
    one that takes a quarter of the room makes room for its own. Both losses are counted, as
    `crowded` and `evicted`; `expired` had its 48 hours, from when it came in. Payloads with the
    same bytes at `group` are found together.

    Which ones of a minute are kept is drawn by lot, and not by who came first: otherwise whoever
    sends `most_per_minute` of them as each minute begins keeps everybody else out. The lot of a
    payload is a hash of it and of the minute, by a key that nobody knows, and the smallest ones
    stay. Beside N others in a minute each has a chance of k / (N + 30), k being `most_per_minute`.
    So of a beacon's 30 alerts of a minute one at least stays with a probability of
    1 - (1 - k / (N + 30)) ** 30, and one is enough: of 240 among 6,000 that is 0.70 a minute, among
    60,000 it is 0.11, so that it takes nine minutes on the average.
    """

    def __init__(
        self, counts: Counter[str], name: str, most_per_minute: int, most: int, *, group: slice,
        lot: bytes,
    ) -> None:  # fmt: skip
        """Count losses in `counts` under "`name`_crowded" and so on.

        lot: the key to draw by, 32 bytes: who starts anew with the same one keeps the same.
        """
        self._counts = counts
        self._name = name
        self._most_per_minute = most_per_minute
        self._most = most
        self._group = group
        self._lot = lot
        self._waiting: dict[bytes, tuple[Heard, Heard]] = {}  # in order of first arrival
        self._of_listener: dict[str, dict[bytes, None]] = {}  # in the same order
        self._of_minute: dict[tuple[str, int], list[tuple[bytes, bytes]]] = {}  # by lot
        self.groups: dict[bytes, set[bytes]] = {}  # to look into, not to change

    def __len__(self) -> int:
        return len(self._waiting)

    def keep(self, heard: Heard) -> bool:
        """Keep one payload and return whether it waits now (False: the minute is full)."""
        self._expire(_arrived_ms(heard))
        payload = heard.payload
        known = self._waiting.get(payload)
        if known is not None:
            self._waiting[payload] = (known[0], heard)
            return True
        listener, minute = _owner(heard)
        drawn = self._drawn(payload, minute)
        rivals = self._of_minute.get((listener, minute), [])
        if len(rivals) >= self._most_per_minute:
            if drawn > rivals[-1]:
                self._counts[f"{self._name}_crowded"] += 1
                return False
            self._drop(rivals[-1][1], "crowded")
        self._make_room(heard)
        insort(self._of_minute.setdefault((listener, minute), []), drawn)
        self._of_listener.setdefault(listener, {})[payload] = None
        self._waiting[payload] = (heard, heard)
        self.groups.setdefault(payload[self._group], set()).add(payload)
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
        waited = self._waiting.pop(payload, None)
        if waited is None:
            return False
        self._disown(payload, *_owner(waited[0]))
        group = payload[self._group]
        self.groups[group].discard(payload)
        if not self.groups[group]:
            del self.groups[group]
        return True

    def _disown(self, payload: bytes, listener: str, minute: int) -> None:
        rivals = self._of_minute[listener, minute]
        del rivals[bisect_left(rivals, self._drawn(payload, minute))]
        if not rivals:
            del self._of_minute[listener, minute]
        del self._of_listener[listener][payload]
        if not self._of_listener[listener]:
            del self._of_listener[listener]

    def _drawn(self, payload: bytes, minute: int) -> tuple[bytes, bytes]:
        """Return the lot of a payload in a minute, to be compared, with the payload."""
        text = minute.to_bytes(8, "big", signed=True) + payload
        return blake2b(text, key=self._lot, digest_size=_DRAWN_BYTES).digest(), payload

    def _make_room(self, heard: Heard) -> None:
        own = self._of_listener.get(_owner(heard)[0], {})
        if heard.receipt is not None and len(own) >= max(1, self._most // _SHARES):
            self._drop(next(iter(own)), "evicted")
        elif len(self._waiting) >= self._most:
            self._drop(next(iter(self._waiting)), "evicted")

    def _expire(self, now_ms: int) -> None:
        while self._waiting:
            first, _ = next(iter(self._waiting.values()))
            if now_ms - _arrived_ms(first) <= KEPT_MS:
                return
            self._drop(first.payload, "expired")

    def _drop(self, payload: bytes, loss: str) -> None:
        self.remove(payload)
        self._counts[f"{self._name}_{loss}"] += 1


def _arrived_ms(heard: Heard) -> int:
    return heard.t_ms if heard.receipt is None else heard.receipt.received_ms


def _owner(heard: Heard) -> tuple[str, int]:
    """Return who heard it, "" for this computer itself, and in which minute."""
    listener = "" if heard.receipt is None else heard.receipt.listener
    return listener, heard.t_ms // _MINUTE_MS
