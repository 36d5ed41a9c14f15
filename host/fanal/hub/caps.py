"""How much a hub takes from whom: buckets that fill with time and are emptied by frames.

What is taken is taken whole, so a bucket may go below zero, and waits until it is above again: a
delivery larger than a bucket passes too, if rarely.
"""

from collections import OrderedDict
from dataclasses import dataclass

from fanal.error import FanalError
from fanal.hub.config import Limits

MOST_LISTENERS = 10_000

_MINUTE_MS = 60_000
_CLOSED_S = 3600.0  # whoever is given nothing may ask again when hub.toml was changed


class Crowded(FanalError):
    """A listener has sent too much; nothing of this delivery was taken.

    retry_after_s: when it may be tried again. is_enrolled: whether it is one of the fleet's own.
    """

    def __init__(self, retry_after_s: float, is_enrolled: bool) -> None:
        super().__init__("The listener sends more than the hub takes from one.",
                         "It is taken later.", code="crowded")  # fmt: skip
        self.retry_after_s = retry_after_s
        self.is_enrolled = is_enrolled


@dataclass
class _Bucket:
    """per_minute: what flows in, and the most there is; 0 is never enough. level: at `at_ms`."""

    per_minute: int
    level: float
    at_ms: int

    def fill(self, now_ms: int) -> None:
        # a clock that was set back fills nothing, and one set forward fills it once
        gained = max(0, now_ms - self.at_ms) * self.per_minute / _MINUTE_MS
        self.level, self.at_ms = min(self.per_minute, self.level + gained), now_ms

    def wait_s(self) -> float:
        if not self.per_minute:
            return _CLOSED_S
        return max(0.0, 1 - self.level) * 60 / self.per_minute


class Caps:
    """The buckets of all listeners of this worker. Not safe to share between threads."""

    def __init__(self, limits: Limits) -> None:
        """limits: see `config.Limits`; its frames are used."""
        self._limits = limits
        self._own: OrderedDict[str, _Bucket] = OrderedDict()
        self._strangers = _Bucket(limits.unconfirmed_frames, limits.unconfirmed_frames, 0)

    def check(self, listener: str, is_enrolled: bool, now_ms: int) -> Crowded | None:
        """Return None if something may be taken from a listener now, else what to answer."""
        wait_s = max(b.wait_s() for b in self._buckets(listener, is_enrolled, now_ms))
        return Crowded(wait_s, is_enrolled) if wait_s > 0 else None

    def charge(self, listener: str, is_enrolled: bool, frames: int, now_ms: int) -> None:
        """Count what was taken. frames: at least 1."""
        for bucket in self._buckets(listener, is_enrolled, now_ms):
            bucket.level -= frames

    def _buckets(self, listener: str, is_enrolled: bool, now_ms: int) -> list[_Bucket]:
        limits = self._limits
        most = limits.listener_frames if is_enrolled else limits.unconfirmed_listener_frames
        own = self._own.get(listener)
        if own is None or own.per_minute != most:
            own = self._own[listener] = _Bucket(most, most, now_ms)
        self._own.move_to_end(listener)
        if len(self._own) > MOST_LISTENERS:
            self._own.popitem(last=False)
        buckets = [own] if is_enrolled else [own, self._strangers]
        for bucket in buckets:
            bucket.fill(now_ms)
        return buckets
