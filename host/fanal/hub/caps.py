"""How much a hub takes from whom: buckets that fill with time and are emptied by frames.

What is taken is taken whole, so a bucket may go below zero, and waits until it is above again: a
delivery larger than a bucket passes too, if rarely.

One of the fleet's own that was without a network for days brings a lot, and has room for it: all
that it did not send in the last minutes. When that is used up it still has a bucket for deliveries
of a few groups, so that its alert of now and its signs of life do not wait behind the days.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Self

from fanal.envelope import MOST_GROUPS
from fanal.error import FanalError
from fanal.hub.config import Limits

MOST_LISTENERS = 10_000

_MINUTE_MS = 60_000
_CLOSED_S = 3600.0  # whoever is given nothing may ask again when hub.toml was changed
_OWN_MINUTES = 20
_FEW_GROUPS = 4
_SHARE_OF_FEW = 10


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
    """per_minute: what flows in; most: what fits; 0 is never enough. level: at `at_ms`."""

    per_minute: int
    most: int
    level: float
    at_ms: int

    @classmethod
    def full(cls, per_minute: int, minutes: int, now_ms: int) -> Self:
        """Return one that holds what flows in in so many minutes."""
        return cls(per_minute, per_minute * minutes, per_minute * minutes, now_ms)

    def fill(self, now_ms: int) -> None:
        # a clock that was set back fills nothing, and one set forward fills it once
        gained = max(0, now_ms - self.at_ms) * self.per_minute / _MINUTE_MS
        self.level, self.at_ms = min(self.most, self.level + gained), now_ms

    def wait_s(self) -> float:
        if not self.per_minute:
            return _CLOSED_S
        return max(0.0, 1 - self.level) * 60 / self.per_minute


class Caps:
    """The buckets of all listeners of this worker. Not safe to share between threads."""

    def __init__(self, limits: Limits) -> None:
        """limits: see `config.Limits`; its frames are used."""
        self._limits = limits
        # of the fleet's own a second one, for deliveries of a few groups
        self._own: OrderedDict[str, tuple[_Bucket, ...]] = OrderedDict()
        self._strangers = _Bucket.full(limits.unconfirmed_frames, 1, 0)

    def check(
        self, listener: str, is_enrolled: bool, now_ms: int, groups: int = MOST_GROUPS
    ) -> Crowded | None:
        """Return None if something may be taken from a listener now, else what to answer.

        groups: how many there are in the delivery.
        """
        buckets = self._buckets(listener, is_enrolled, groups, now_ms)
        wait_s = max(bucket.wait_s() for bucket in buckets)
        return Crowded(wait_s, is_enrolled) if wait_s > 0 else None

    def charge(
        self, listener: str, is_enrolled: bool, frames: int, now_ms: int, groups: int = MOST_GROUPS
    ) -> None:
        """Count what was taken. frames: at least 1."""
        for bucket in self._buckets(listener, is_enrolled, groups, now_ms):
            bucket.level -= frames

    def _buckets(
        self, listener: str, is_enrolled: bool, groups: int, now_ms: int
    ) -> tuple[_Bucket, ...]:
        """Return the buckets that a delivery is taken from, filled."""
        limits = self._limits
        per_minute = limits.listener_frames if is_enrolled else limits.unconfirmed_listener_frames
        own = self._own.get(listener)
        if own is None or (own[0].per_minute, len(own)) != (per_minute, 1 + is_enrolled):
            minutes = _OWN_MINUTES if is_enrolled else 1
            own = (_Bucket.full(per_minute, minutes, now_ms),)
            if is_enrolled:
                own += (_Bucket.full(-(-per_minute // _SHARE_OF_FEW), 1, now_ms),)
            self._own[listener] = own
        self._own.move_to_end(listener)
        if len(self._own) > MOST_LISTENERS:
            self._own.popitem(last=False)
        buckets = own if is_enrolled else (*own, self._strangers)
        for bucket in buckets:
            bucket.fill(now_ms)
        if is_enrolled:
            is_left = own[0].wait_s() == 0
            return own[:1] if is_left or groups > _FEW_GROUPS else own[1:]
        return buckets
