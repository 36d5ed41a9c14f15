"""What waits for the hub: in the outbox, and in memory while the disk takes nothing.

In which order it leaves is free: the hub reckons when each frame was heard, and takes that for the
order (SPEC 3.2). So what was heard in the last minutes does not stand behind the backlog of a day:
the two take turns. The backlog itself leaves from its oldest end, since a hub that hears of later
events of a beacon first may hold no key for much earlier ones any more.
"""

from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Sequence

from fanal.error import EnvironmentFault
from fanal.gateway.outbox import Item, Outbox, OutboxFull

NOT_ON_DISK = ("disk_full", "outbox_full")  # names in `dropped`: kept in memory all the same
LOST = "memory_full"

_MOST_MEMORY_BYTES = 8_000_000
_MOST_FRESH = 4096
_FRESH_S = 600.0


class Cargo:
    """Sealed groups by their numbers, negative for those in memory.

    now_s: any steady clock. dropped: how many could not be put on the disk, by reason, and how many
    of those were lost in the end.
    """

    def __init__(
        self,
        outbox: Outbox,
        now_s: Callable[[], float],
        most_memory_bytes: int = _MOST_MEMORY_BYTES,
    ) -> None:
        self.dropped: Counter[str] = Counter()
        self._outbox = outbox
        self._now_s = now_s
        self._most_memory_bytes = most_memory_bytes
        self._memory: OrderedDict[int, bytes] = OrderedDict()
        self._memory_bytes = 0
        self._next_number = -1
        self._fresh: deque[tuple[int, float]] = deque(maxlen=_MOST_FRESH)
        self._was_fresh = self._is_fresh = False  # what was taken last; what was given out last

    def __len__(self) -> int:
        """Return how many groups wait."""
        return len(self._outbox) + len(self._memory)

    @property
    def is_spilling(self) -> bool:
        """Whether there is something that a cut of power would lose."""
        return bool(self._memory)

    def add(self, sealed: bytes) -> None:
        """Keep a group: on the disk, else in memory, where the oldest make room. Never raises."""
        try:
            number = self._outbox.add(sealed)
        except OutboxFull as full:
            self.dropped[full.code] += 1
            number = self._remember(sealed)
        self._fresh.append((number, self._now_s()))

    def settle(self) -> None:
        """Put on the disk what is in memory, as far as there is room again. Never raises."""
        settled: dict[int, int] = {}
        for number in list(self._memory):
            try:
                settled[number] = self._outbox.add(self._memory[number])
            except OutboxFull:
                break
            self._forget(number)
        if settled:  # what is fresh stays so
            fresh = ((settled.get(number, number), at_s) for number, at_s in self._fresh)
            self._fresh = deque(fresh, maxlen=_MOST_FRESH)

    def next(self, most_bytes: int, most: int) -> list[Item]:
        """Return the groups to send now, in the order of hearing; [] if nothing waits."""
        while self._fresh and self._fresh[0][1] < self._now_s() - _FRESH_S:
            self._fresh.popleft()
        is_their_turn = bool(self._fresh) and not self._was_fresh
        found = self._newest(most_bytes, most) if is_their_turn else []
        self._is_fresh = bool(found)
        return found or self._oldest(most_bytes, most)

    def get(self, numbers: Sequence[int]) -> list[Item]:
        """Return those of these groups that still wait."""
        kept = [(number, self._memory[number]) for number in numbers if number in self._memory]
        try:
            return self._outbox.get([number for number in numbers if number > 0]) + kept
        except EnvironmentFault:
            return kept

    def remove(self, numbers: Sequence[int]) -> None:
        """Remove what the hub has taken. Never raises."""
        self._let_go(numbers)
        self._outbox.remove([number for number in numbers if number > 0])

    def refuse(self, numbers: Sequence[int]) -> None:
        """Remove what the hub will never take. Never raises."""
        self._let_go(numbers)
        self._outbox.refuse([number for number in numbers if number > 0])

    def _newest(self, most_bytes: int, most: int) -> list[Item]:
        """Return the oldest of the fresh ones."""
        items = self.get([number for number, _ in self._fresh][:most])
        return _fitting(items, most_bytes, most)

    def _oldest(self, most_bytes: int, most: int) -> list[Item]:
        try:
            if found := self._outbox.next(most_bytes, most):
                return found
        except EnvironmentFault:
            pass  # what is in memory can still be sent
        return _fitting(list(self._memory.items()), most_bytes, most)

    def _let_go(self, numbers: Sequence[int]) -> None:
        gone = set(numbers)
        self._was_fresh = self._is_fresh  # what was not taken has its turn again
        self._fresh = deque((f for f in self._fresh if f[0] not in gone), maxlen=_MOST_FRESH)
        for number in gone & self._memory.keys():
            self._forget(number)

    def _remember(self, sealed: bytes) -> int:
        number = self._next_number
        self._next_number -= 1
        self._memory[number] = sealed
        self._memory_bytes += len(sealed)
        while self._memory_bytes > self._most_memory_bytes and len(self._memory) > 1:
            self._forget(next(iter(self._memory)))
            self.dropped[LOST] += 1
        return number

    def _forget(self, number: int) -> None:
        self._memory_bytes -= len(self._memory.pop(number))


def _fitting(items: list[Item], most_bytes: int, most: int) -> list[Item]:
    """Return as many of the first ones as fit, at least one if there is any."""
    found: list[Item] = []
    size = 0
    for item in items[:most]:
        size += len(item[1])
        if found and size > most_bytes:
            break
        found.append(item)
    return found
