"""A relay that takes, refuses or is down as the test says, and a hub that opens what was taken."""

from collections.abc import Callable
from typing import Any

from fanal.envelope import Delivery, HeardFrame, Opener, split
from fanal.gateway.relay import RelayDown, RelayRefused

SEALING = b"\x07" * 32


def down(asked_s: float | None = None) -> RelayDown:
    """The error of a network that is not there."""
    return RelayDown("It cannot be reached.", "Wait.", code="network", retry_after_s=asked_s)


def refused() -> RelayRefused:
    """The error of a hub that will never take it."""
    return RelayRefused("It is refused.", "", code="form")


class PaperRelay:
    """cut: makes what is raised instead of taking a delivery. answer: called with each that is
    opened; what it returns is raised, after the delivery was taken if `loses_answers`.
    taken: what the hub has, with the loop's time.
    """

    def __init__(self, now_s: Callable[[], float]) -> None:
        self.mend()
        self.loses_answers = False
        self.taken: list[tuple[float, Delivery]] = []
        self.tries: list[tuple[float, int]] = []
        self.raw: list[bytes] = []
        self.last_will: Callable[[], bytes] = bytes
        self.is_closed = False
        self._now_s = now_s
        self._opener = Opener(SEALING)

    def mend(self) -> None:
        """Take everything from now on."""
        self.cut: Callable[[], Exception] | None = None
        self.answer: Callable[[Delivery], Exception | None] = lambda _: None

    async def open(self) -> None:
        return None

    async def close(self) -> None:
        self.is_closed = True

    async def send(self, delivery: bytes) -> None:
        self.raw.append(delivery)
        self.tries.append((self._now_s(), len(split(delivery)) - 1))
        if self.cut is not None:
            raise self.cut()
        opened = self._opener.delivery(delivery)
        problem = self.answer(opened)
        if problem is None or self.loses_answers:
            self.taken.append((self._now_s(), opened))
        if problem is not None:
            raise problem

    def groups(self) -> dict[str, Any]:
        """All groups that were taken, by content id."""
        return {g.content_id: g.group for _, d in self.taken for g in d.groups}

    def frames(self) -> list[HeardFrame]:
        """All their frames, in order of hearing."""
        found = [f for group in self.groups().values() for f in group.frames]
        return sorted(found, key=lambda f: f.first_ms)

    def beats(self) -> list[tuple[float, Delivery]]:
        """The deliveries without groups."""
        return [(at, d) for at, d in self.taken if not d.groups]
