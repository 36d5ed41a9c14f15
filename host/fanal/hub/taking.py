"""What comes of taking frames, gathered until it is written."""

from collections.abc import Callable, Iterable, Sequence

from fanal_protocol.frame import HDR_ALERT

from fanal.heard import Heard
from fanal.hub.heard_rows import Slot
from fanal.resolver import Resolver
from fanal.sighting import Outcome, PageMatched, Refusal, Sighting

_RID_AT = slice(1, 9)
_SIGNATURE = "signature"  # of `PageMatched`


class Taking:
    """Takes frames by a resolver, and remembers what has to be written of that.

    outcomes: what is ours, in order. kept: what waits from now on, by payload and listener.
    woken: identifiers under which alerts waited, and wait no more. owners: by payload of a page,
    whose it turned out to be. frames: how many were taken.
    """

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self.outcomes: list[Outcome] = []
        self.kept: dict[tuple[bytes, str], Heard] = {}
        self.woken: set[bytes] = set()
        self.owners: dict[bytes, Slot] = {}
        self.frames = 0
        self._at_listener: set[tuple[str, int, int, int, str]] = set()

    def __bool__(self) -> bool:
        return bool(self.outcomes or self.kept or self.woken or self.owners)

    def take(self, heard: Heard) -> None:
        """Take one frame, and whatever it makes clear of what waited."""
        self.frames += 1
        outcomes = self._resolver.take(heard)
        first = outcomes[0]
        is_kept = isinstance(first, Refusal) and first.is_kept
        if isinstance(first, PageMatched) and first.kind == _SIGNATURE and first.is_new:
            self.owners[heard.payload] = (first.beacon_id, first.event, first.slot)
            is_kept = True
        if is_kept:
            assert heard.receipt is not None
            self.kept[heard.payload, heard.receipt.listener] = heard
        self._add(outcomes, heard)

    def take_again(self, heard: Heard) -> None:
        """Take a frame that waits in the database, and may be somebody's by now."""
        self._add(self._resolver.take(heard), None)

    def search(self, budget: int) -> None:
        """Look for what waits in up to `budget` events beyond the windows."""
        self._add(self._resolver.search_deeper(budget), None)

    def take_others(self, waiting: Callable[[Sequence[bytes]], Iterable[Heard]]) -> None:
        """Take what other listeners heard of the alerts that were found just now.

        The resolver keeps one of each payload. waiting: from identifiers to what the database
        has.
        """
        done: set[bytes] = set()
        while todo := self.woken - done:
            done.update(todo)
            own = [heard for (payload, _), heard in self.kept.items()
                   if payload[0] == HDR_ALERT and payload[_RID_AT] in todo]  # fmt: skip
            for heard in [*waiting(sorted(todo)), *own]:
                assert heard.receipt is not None
                self.kept.pop((heard.payload, heard.receipt.listener), None)
                first, *more = self._resolver.take(heard)
                if isinstance(first, Sighting) and self._where(first) not in self._at_listener:
                    self._add([first], heard)
                self._add(more, heard)

    def _add(self, outcomes: Iterable[Outcome], heard: Heard | None) -> None:
        self.owners.update(self._resolver.found_pages())
        for outcome in outcomes:
            if isinstance(outcome, Refusal):
                continue
            self.outcomes.append(outcome)
            is_own = heard is not None and getattr(outcome, "receipt", None) is heard.receipt
            if isinstance(outcome, Sighting) and not is_own:
                self.woken.add(outcome.rid)
                self._at_listener.add(self._where(outcome))

    @staticmethod
    def _where(seen: Sighting) -> tuple[str, int, int, int, str]:
        assert seen.receipt is not None
        return (seen.beacon_id, seen.event, seen.slot, seen.seq, seen.receipt.listener)
