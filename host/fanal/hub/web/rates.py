"""How often somebody may do something. All in memory, all bounded, all per worker."""

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from starlette.types import Scope

_MOST_KEYS = 20_000  # addresses or names that are remembered; the longest unseen is forgotten


def source(scope: Scope) -> str:
    """Return who a request is from, for counting: an IPv4 address, or the /64 of an IPv6 one."""
    client = scope.get("client")
    return "local" if client is None else source_of(client[0])


def source_of(host: str) -> str:
    """Return the same for an address as text; any text may come."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return "unknown"
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    # one subscriber has at least a /64 of addresses to itself
    return str(ipaddress.ip_network((address, 64), strict=False))


class Buckets:
    """So many a minute for each key, and as many at once."""

    def __init__(self, per_minute: int, now_s: Callable[[], float] = time.monotonic) -> None:
        self._most, self._per_s, self._now_s = float(per_minute), per_minute / 60, now_s
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_s(self, key: str) -> float:
        """Take one and return 0, or take none and return for how many seconds there is none."""
        now = self._now_s()
        left, at = self._left.pop(key, (self._most, now))
        left = min(self._most, left + (now - at) * self._per_s)
        wait = 0.0 if left >= 1 else (1 - left) / self._per_s
        self._left[key] = (left if wait else left - 1, now)
        if len(self._left) > _MOST_KEYS:
            self._left.popitem(last=False)
        return wait


@dataclass(slots=True)
class _Tries:
    failures: int = 0
    last_s: float = 0.0
    until_s: float = 0.0  # before that, none more


class Attempts:
    """Failures of one kind: five in a minute, then a wait that doubles up to a quarter of an hour.

    A try counts as a failure from its start, so that many at once are not many for free.
    """

    FREE, WINDOW_S, LONGEST_S = 5, 60.0, 900.0

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._tries: OrderedDict[str, _Tries] = OrderedDict()

    def wait_s(self, key: str) -> float:
        """Return for how many seconds `key` may not try, 0 if it may."""
        tries = self._tries.get(key)
        return 0.0 if tries is None else max(0.0, tries.until_s - self._now_s())

    def begin(self, key: str) -> None:
        """Count a try."""
        now = self._now_s()
        tries = self._tries.pop(key, None)
        if tries is None or now - tries.last_s >= self._remembered_s(tries):
            tries = _Tries()
        tries.failures, tries.last_s = tries.failures + 1, now
        if tries.failures >= self.FREE:
            doublings = min(tries.failures - self.FREE, 8)
            tries.until_s = now + min(self.LONGEST_S, self.WINDOW_S * 2.0**doublings)
        self._tries[key] = tries
        if len(self._tries) > _MOST_KEYS:
            self._tries.popitem(last=False)

    def succeeded(self, key: str) -> None:
        """Take one try back: it was none of a guesser."""
        if (tries := self._tries.get(key)) is None:
            return
        tries.failures -= 1
        if tries.failures < self.FREE:
            tries.until_s = 0.0
        if tries.failures <= 0:
            del self._tries[key]

    def _remembered_s(self, tries: _Tries) -> float:
        return self.WINDOW_S if tries.failures < self.FREE else 2 * self.LONGEST_S


class Crowd:
    """How many may do something at one moment: altogether, and each key."""

    def __init__(self, most: int, most_each: int) -> None:
        self._most, self._most_each, self._here = most, most_each, 0
        self._each: dict[str, int] = {}

    @contextmanager
    def place(self, key: str) -> Iterator[bool]:
        """Give whether there was room; it is taken until the end of the block."""
        fits = self._here < self._most and self._each.get(key, 0) < self._most_each
        if not fits:
            yield False
            return
        self._here += 1
        self._each[key] = self._each.get(key, 0) + 1
        try:
            yield True
        finally:
            self._here -= 1
            self._each[key] -= 1
            if not self._each[key]:
                del self._each[key]


class Regulars:
    """Sources from which somebody came lately whom the hub knows: a user, or a listener of the
    fleet. What strangers do together must not keep these out."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, None] = OrderedDict()

    def __contains__(self, key: object) -> bool:
        return key in self._known

    def welcome(self, key: str) -> None:
        """Remember one; the longest unseen is forgotten."""
        self._known[key] = None
        self._known.move_to_end(key)
        if len(self._known) > _MOST_KEYS:
            self._known.popitem(last=False)
