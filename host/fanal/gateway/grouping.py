"""What is heard becomes groups: what is new leaves at once, what goes on is gathered.

Everything is bounded, since anybody can fill the air. Distinct payloads pass a token bucket. A
flood takes its share of what is on air, and never all of it: a beacon says each thing many times,
and each time is a new chance. A payload that has passed needs no more tokens.

A beacon sends an alert for two seconds and never again, so one that comes later is an echo of
somebody's making: it is a hearing of its own, and the hub sees its time.
"""

import random
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass

from fanal_protocol import frame
from fanal_protocol.error import Refused
from fanal_protocol.slot import SLOT_S

from fanal.envelope import MOST_FRAMES, HeardFrame

FLOOD = "flood"

_FRAMES_OF_A_GROUP = MOST_FRAMES // 2  # a fraction of a delivery
_REMEMBERED_MS = 1000 * SLOT_S
_ECHO_MS = 5_000  # a unit, and what a system's Bluetooth may hold back
_RSSI_DBM = range(-126, 21)  # what a hub takes for one


@dataclass(frozen=True, slots=True)
class Limits:
    """How long and how much.

    new_ms: how long something new is held back at the most; together_ms: the same for what goes
    on; again_ms: how often a payload that is still heard is told again, as a count. per_minute
    and burst: of distinct payloads. remembered: how many payloads are known again.
    """

    new_ms: int = 300
    together_ms: int = 5_000
    again_ms: int = 60_000
    per_minute: int = 1_200
    burst: int = 300
    remembered: int = 20_000


class _Known:
    """A payload that has passed, and how it was heard since it was last told.

    is_placed: it is in the open group, or its turn to be told again will come.
    """

    __slots__ = ("count", "first_ms", "is_placed", "last_ms", "rssi_dbm")

    def __init__(self) -> None:
        self.count = 0
        self.first_ms = self.last_ms = 0
        self.rssi_dbm: int | None = None
        self.is_placed = False

    def add(self, rssi_dbm: int | None, t_ms: int) -> None:
        """Count one arrival."""
        if self.count == 0:
            self.first_ms, self.rssi_dbm = t_ms, rssi_dbm
        elif rssi_dbm is not None and (self.rssi_dbm is None or rssi_dbm > self.rssi_dbm):
            self.rssi_dbm = rssi_dbm
        self.last_ms = t_ms
        self.count += 1


class Grouper:
    """Takes payloads as they are heard, and gives groups when they are due.

    All times are of one steady clock, in ms. dropped: how many were not taken, by reason: those
    of `frame.decode`, and FLOOD.
    """

    def __init__(
        self, limits: Limits | None = None, draw: Callable[[], float] = random.random
    ) -> None:
        """draw: a number from 0 to 1."""
        self.dropped: Counter[str] = Counter()
        self._limits = limits or Limits()
        self._tokens = float(self._limits.burst)
        self._draw = draw
        self._price = 1.0
        self._filled_ms: int | None = None
        # both by when they were first heard
        self._known: OrderedDict[bytes, tuple[int, _Known]] = OrderedDict()
        self._rids: OrderedDict[bytes, int] = OrderedDict()
        self._open: list[tuple[bytes, _Known]] = []
        self._open_due_ms: int | None = None
        self._again: deque[tuple[int, bytes, _Known]] = deque()

    def take(self, payload: bytes, rssi_dbm: int | None, t_ms: int) -> None:
        """Take one payload off the air, untrusted. rssi_dbm: None if unknown."""
        self._forget(t_ms)
        first_ms, known = self._known.get(payload, (t_ms, None))
        is_echo = known is not None and _is_alert(payload) and t_ms - first_ms > _ECHO_MS
        if known is not None and not is_echo:
            hold_ms = self._limits.together_ms
        else:
            try:
                heard = frame.decode(payload)
            except Refused as refused:
                self.dropped[refused.reason] += 1
                return
            if not self._has_token(t_ms):
                self.dropped[FLOOD] += 1
                return
            known = _Known()
            self._known[payload] = (t_ms, known)
            self._known.move_to_end(payload)
            hold_ms = self._limits.new_ms if self._is_new(heard, t_ms) else self._limits.together_ms
        known.add(rssi_dbm if rssi_dbm in _RSSI_DBM else None, t_ms)
        if not known.is_placed:
            self._place(payload, known, t_ms + hold_ms)

    def due_ms(self) -> int | None:
        """Return when to call `close` next, None if nothing waits."""
        times = [] if self._open_due_ms is None else [self._open_due_ms]
        return min(times + [due for due, *_ in list(self._again)[:1]], default=None)

    def close(self, now_ms: int, *, is_last: bool = False) -> list[tuple[HeardFrame, ...]]:
        """Return the groups that are due, each with 1 to 256 frames in the order of hearing.

        is_last: also what is not due.
        """
        while self._again and (is_last or self._again[0][0] <= now_ms):
            _, payload, known = self._again.popleft()
            known.is_placed = False
            if known.count:
                self._place(payload, known, now_ms + self._limits.together_ms)
        if self._open_due_ms is None or not (is_last or self._open_due_ms <= now_ms):
            return []
        frames = [self._told(payload, known, now_ms) for payload, known in self._open]
        self._open.clear()
        self._open_due_ms = None
        size = _FRAMES_OF_A_GROUP
        return [tuple(frames[at : at + size]) for at in range(0, len(frames), size)]

    def _place(self, payload: bytes, known: _Known, due_ms: int) -> None:
        """Put a payload into the open group, which is due at `due_ms` at the latest."""
        known.is_placed = True
        self._open.append((payload, known))
        if len(self._open) >= _FRAMES_OF_A_GROUP:
            due_ms = known.last_ms
        if self._open_due_ms is None or due_ms < self._open_due_ms:
            self._open_due_ms = due_ms

    def _told(self, payload: bytes, known: _Known, now_ms: int) -> HeardFrame:
        """Return what is told of a payload now, and count anew."""
        told = HeardFrame(payload, known.first_ms, known.last_ms, known.count, known.rssi_dbm)
        known.count = 0
        self._again.append((now_ms + self._limits.again_ms, payload, known))
        return told

    def _is_new(self, heard: object, t_ms: int) -> bool:
        """Say whether a frame that was never heard tells of something new, or only goes on."""
        if not isinstance(heard, frame.AlertFrame):
            return True
        is_new = heard.rid not in self._rids
        self._rids.setdefault(heard.rid, t_ms)
        return is_new

    def _has_token(self, t_ms: int) -> bool:
        """Take one token, if there is one.

        One costs 0.5 to 1.5, 1 on average: with even prices a beacon that sends every 100 ms
        would keep step with a bucket that fills every 50 ms, and always come too late.
        """
        limits = self._limits
        if self._filled_ms is not None:
            more = (t_ms - self._filled_ms) * limits.per_minute / 60_000
            self._tokens = min(float(limits.burst), self._tokens + max(0.0, more))
        self._filled_ms = t_ms
        if self._tokens < self._price:
            return False
        self._tokens -= self._price
        self._price = min(0.5 + self._draw(), float(limits.burst))
        return True

    def _forget(self, t_ms: int) -> None:
        """Forget what is a slot old, and the oldest of too much."""
        until_ms = t_ms - _REMEMBERED_MS
        while self._known and (
            next(iter(self._known.values()))[0] < until_ms
            or len(self._known) > self._limits.remembered
        ):
            self._known.popitem(last=False)
        while self._rids and (
            next(iter(self._rids.values())) < until_ms or len(self._rids) > self._limits.remembered
        ):
            self._rids.popitem(last=False)


def _is_alert(payload: bytes) -> bool:
    return payload[:1] == bytes((frame.HDR_ALERT,))
